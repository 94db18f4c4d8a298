"""That an application is paused: by whom, why, and which of its workers have stopped."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """Who has paused the application, why, and when (milliseconds since the epoch)."""

    who: str
    why: str
    at_ms: int

    def __str__(self) -> str:
        return f"{self.who}: {self.why}" if self.why else self.who


class Paused(msgspec.Struct, frozen=True):
    """A pause, and the moments (milliseconds since the epoch) at which workers have stopped taking records for it."""

    pause: Pause
    stopped: Mapping[str, int] = {}
