"""One line per event on standard error, as JSON or as text: UTC time, level, backend, shard if any, message."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Literal, TextIO

from consumer.domain.event_names import EventName
from consumer.domain.events import Field, Level
from consumer.domain.excerpts import excerpt

type Format = Literal["json", "text"]

_LONGEST = 16 * 1024
"""Characters of a message: as much as a traceback of the JVM in one line."""
_RANKS: dict[Level, int] = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40}


def chosen_format(setting: str, stream: TextIO, environment: Mapping[str, str]) -> Format:
    """`auto` is text for people: on a terminal, and in systemd's journal, which shows lines as they come."""
    if setting == "json":
        return "json"
    is_for_people = setting == "text" or _is_terminal(stream) or _is_journal(stream, environment)
    return "text" if is_for_people else "json"


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def _is_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html#$JOURNAL_STREAM"""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environment.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def escaped(message: str) -> str:
    """The message with everything that is not printable escaped, so that no payload can forge a line or
    colour it."""
    if message.isprintable():
        return message
    return "".join(character if character.isprintable() else _escape(character) for character in message)


def format_line(*, now: float, level: Level, backend: str, message: str, shard: str | None = None) -> str:
    """The line as text, without its end. `now` is seconds since the epoch."""
    source = backend if shard is None else f"{backend} {escaped(shard)}"
    return f"{_moment(now)} {level:<7} {source}: {escaped(message)}"


def format_json(
    *,
    now: float,
    level: Level,
    event: EventName,
    application: str,
    backend: str,
    message: str,
    shard: str | None,
    fields: Mapping[str, Field],
) -> str:
    """The line as a JSON object in ASCII, without its end. Fields that an event has of its own come last."""
    source = {"application": application, "backend": backend} | ({} if shard is None else {"shard": shard})
    line = {"time": _moment(now), "level": level, **source, "event": event, "message": message}
    own = {name: value for name, value in fields.items() if name not in line}
    return json.dumps(line | own, separators=(",", ":"))


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
        application: str = "",
        form: Format = "text",
        write: Callable[[str], None] = write_to_stderr,
    ) -> None:
        self._backend = backend
        self._least = _RANKS[level]
        self._clock = clock
        self._application = application
        self._form = form
        self._write = write

    def line(
        self,
        level: Level,
        message: str,
        *,
        shard: str | None = None,
        event: EventName = "note",
        fields: Mapping[str, Field] | None = None,
    ) -> None:
        """A message that is longer than any line should be is cut. Fields show in JSON alone: the message holds what
        they say."""
        if _RANKS[level] < self._least:
            return
        now, message = self._clock(), excerpt(message, _LONGEST)
        if self._form == "text":
            line = format_line(now=now, level=level, backend=self._backend, shard=shard, message=message)
        else:
            line = format_json(
                now=now,
                level=level,
                event=event,
                application=self._application,
                backend=self._backend,
                message=message,
                shard=shard,
                fields=fields or {},
            )
        self._write(line)

    def debug(self, message: str, *, event: EventName = "note", **fields: Field) -> None:
        self.line("DEBUG", message, event=event, fields=fields)

    def info(self, message: str, *, event: EventName = "note", **fields: Field) -> None:
        self.line("INFO", message, event=event, fields=fields)

    def warning(self, message: str, *, event: EventName = "note", **fields: Field) -> None:
        self.line("WARNING", message, event=event, fields=fields)

    def error(self, message: str, *, event: EventName = "note", **fields: Field) -> None:
        self.line("ERROR", message, event=event, fields=fields)


def _moment(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
