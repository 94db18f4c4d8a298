"""Back pressure: the share of time for which the callbacks of a shard wait for its backend."""

from __future__ import annotations

from collections import deque
from enum import StrEnum

WINDOW_SECONDS = 60.0


class Pressure(StrEnum):
    """The words and bounds of Flink's back pressure."""

    OK = "OK"
    LOW = "LOW"
    HIGH = "HIGH"

    @classmethod
    def of(cls, share: float) -> Pressure:
        if share <= 0.1:
            return cls.OK
        return cls.LOW if share <= 0.5 else cls.HIGH


class Waits:
    """Of one shard process, over the last minute."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, int]] = deque()

    def add(self, waited_ms: int, *, now: float) -> None:
        """How long its callbacks have waited since its start, as of `now` (seconds)."""
        self._looks.append((now, waited_ms))
        while len(self._looks) > 2 and self._looks[1][0] <= now - WINDOW_SECONDS:
            self._looks.popleft()

    @property
    def share(self) -> float:
        """From 0 to 1."""
        if len(self._looks) < 2:
            return 0.0
        (began, before), (ended, after) = self._looks[0], self._looks[-1]
        passed = ended - began
        return min(1.0, max(0.0, (after - before) / 1000 / passed)) if passed > 0 else 0.0
