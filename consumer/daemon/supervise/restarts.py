"""When an ended JVM is started again, and when the supervisor gives up. Decides; never sleeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

_MOST_DOUBLINGS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """No wait after a first end, then random ones up to a bound that doubles with each rapid end in a row. `limit` of
    these are the last.

    An end is rapid when the JVM ran for less than `reset_seconds`.
    """

    base_seconds: float
    max_seconds: float
    reset_seconds: float
    limit: int

    def after_end(self, *, ran_seconds: float, rapid_ends: int) -> int:
        """The number of rapid ends in a row after one more end."""
        return rapid_ends + 1 if ran_seconds < self.reset_seconds else 1

    def gives_up(self, rapid_ends: int) -> bool:
        return rapid_ends > self.limit

    def delay_seconds(self, rapid_ends: int, random: Callable[[], float]) -> float:
        """Wait before the next start; `random` gives a number in [0, 1)."""
        if rapid_ends <= 1:
            return 0.0
        bound = self.base_seconds * 2.0 ** min(rapid_ends - 2, _MOST_DOUBLINGS)
        return random() * min(bound, self.max_seconds)
