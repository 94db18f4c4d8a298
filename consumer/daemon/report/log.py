"""One line per event on standard error: UTC time, level, backend, shard if any, message."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime

from consumer.domain.events import Level
from consumer.domain.excerpts import excerpt

_LONGEST = 16 * 1024
"""Characters of a message: as much as a traceback of the JVM in one line."""
_RANKS: dict[Level, int] = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40}


def escaped(message: str) -> str:
    """The message with everything that is not printable escaped, so that no payload can forge a line or
    colour it."""
    if message.isprintable():
        return message
    return "".join(character if character.isprintable() else _escape(character) for character in message)


def format_line(*, now: float, level: Level, backend: str, message: str, shard: str | None = None) -> str:
    """The line, without its end. `now` is seconds since the epoch."""
    moment = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    source = backend if shard is None else f"{backend} {escaped(shard)}"
    return f"{moment} {level:<7} {source}: {escaped(message)}"


def write_to_stderr(line: str) -> None:
    """Writes one line at once; a reader that is gone must not end the daemon."""
    try:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        return


class Log:
    """Writes the lines of one daemon from a least level on."""

    def __init__(
        self,
        *,
        backend: str,
        level: Level,
        clock: Callable[[], float],
        write: Callable[[str], None] = write_to_stderr,
    ) -> None:
        self._backend = backend
        self._least = _RANKS[level]
        self._clock = clock
        self._write = write

    def line(self, level: Level, message: str, *, shard: str | None = None) -> None:
        """A message that is longer than any line should be is cut."""
        if _RANKS[level] >= self._least:
            self._write(
                format_line(
                    now=self._clock(),
                    level=level,
                    backend=self._backend,
                    shard=shard,
                    message=excerpt(message, _LONGEST),
                )
            )

    def debug(self, message: str) -> None:
        self.line("DEBUG", message)

    def info(self, message: str) -> None:
        self.line("INFO", message)

    def warning(self, message: str) -> None:
        self.line("WARNING", message)

    def error(self, message: str) -> None:
        self.line("ERROR", message)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
