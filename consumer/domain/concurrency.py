"""How many requests may be at one quota of the backend at once: additive increase, multiplicative decrease."""

_DECREASE = 0.5


class AdaptiveLimit:
    """Halved when the backend asks for less, raised by one for as many successes as the limit is high.

    Requests that were under way when the limit was lowered say nothing about the lower one, so a burst of refusals
    lowers it once. `refusals_in_a_row` counts them all until the next success: the measure of how long to wait.
    """

    def __init__(self, ceiling: int) -> None:
        """Between 1 and `ceiling`, where it starts."""
        self._ceiling = float(ceiling)
        self._limit = float(ceiling)
        self._inside = 0
        self._entered = 0
        self._lowered_at = 0
        self.refusals_in_a_row = 0

    @property
    def limit(self) -> int:
        return int(self._limit)

    @property
    def has_room(self) -> bool:
        return self._inside < self.limit

    def enter(self) -> int:
        """One request more; returns its ticket."""
        self._inside += 1
        self._entered += 1
        return self._entered

    def leave(self) -> None:
        self._inside -= 1

    def succeeded(self) -> None:
        self.refusals_in_a_row = 0
        self._limit = min(self._ceiling, self._limit + 1 / self._limit)

    def refused(self, ticket: int) -> None:
        """The backend asked for less in its answer to the request with this ticket."""
        self.refusals_in_a_row += 1
        if ticket > self._lowered_at:
            self._limit = max(1.0, self._limit * _DECREASE)
            self._lowered_at = self._entered
