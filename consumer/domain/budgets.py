"""A quota by the day: how many of something may begin within any 24 hours."""

from collections import deque

DAY_SECONDS = 86_400.0


class DailyBudget:
    """Beginnings of the last 24 hours, by the clock that is handed in (seconds that only grow)."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._begun: deque[float] = deque()

    def wait_seconds(self, now: float) -> float:
        """How long until one more may begin; 0.0 if it may at once."""
        while self._begun and now - self._begun[0] >= DAY_SECONDS:
            self._begun.popleft()
        if len(self._begun) < self._limit:
            return 0.0
        return self._begun[0] + DAY_SECONDS - now

    def begin(self, now: float) -> None:
        self._begun.append(now)
