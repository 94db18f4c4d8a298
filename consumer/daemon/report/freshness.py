"""Whether a shard that is behind catches up: told from how the age of its oldest record moves."""

from __future__ import annotations

from collections import deque

_SHARE_TO_BEGIN = 0.1
_SHARE_TO_GO_ON = 0.02
"""Of the time that passes: by so much the age has to fall. Two of them, so that the word does not change to and fro."""
_PARTS = 6


class Trend:
    """Of one shard process. The age falls in steps, when a chunk is delivered, and grows between them; so the least of
    one window counts against the least of the window before. Times and ages are in seconds."""

    def __init__(self, window_seconds: float) -> None:
        """`window_seconds` is longer than a chunk takes in the backend's usual course."""
        self._part_seconds = window_seconds / _PARTS
        self._least: deque[float] = deque(maxlen=2 * _PARTS)
        self._part_began: float | None = None
        self._catching_up = True

    @property
    def catching_up(self) -> bool:
        """True as well while it is not known yet: a process that begins with old records has just started on them."""
        return self._catching_up

    def add(self, age_seconds: float, *, now: float) -> None:
        """The age at `now`; zero when nothing waits."""
        if self._part_began is None or now - self._part_began >= self._part_seconds:
            self._part_began = now
            self._judge()
            self._least.append(age_seconds)
        else:
            self._least[-1] = min(self._least[-1], age_seconds)

    def _judge(self) -> None:
        """By whole parts: the last one has just ended."""
        if len(self._least) < 2 * _PARTS:
            return
        parts = list(self._least)
        fallen = min(parts[:_PARTS]) - min(parts[_PARTS:])
        share = _SHARE_TO_GO_ON if self._catching_up else _SHARE_TO_BEGIN
        self._catching_up = fallen >= share * self._part_seconds * _PARTS or not min(parts[_PARTS:])
