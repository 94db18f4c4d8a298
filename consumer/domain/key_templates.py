"""Templates of object keys: which path a record's object has, from its fields and its time.

A value of a record is what somebody has sent. Whatever it is, it becomes a text of a safe alphabet and a limited length
that is one part of a path, or a piece of one: never empty, without a slash, and with no dot at its start.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from consumer.domain.routing import expand_time

MOST_KEY_BYTES = 1024
"""Of an object of S3."""

MOST_VALUE_BYTES = 128
"""Of a value in a key, with its escapes."""

MOST_FIELDS = 8

NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
"""What readers of Hive-style keys take for null."""

OVERFLOW = "_overflow"
"""In place of every value of a route that is one too many in its chunk."""

_MOST_NAME_BYTES = 160
"""Of a file name beside the stream: shard, sequence number, sub-sequence number, number of records, extension."""

_SAFE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")

_TOKEN = re.compile(
    r"\{(?P<name>[A-Za-z_][A-Za-z0-9_-]{0,99})(?:\|(?P<default>[A-Za-z0-9_.-]{1,64}))?\}"
    r"|(?P<text>(?:%[YmdHMj]|[A-Za-z0-9=_./-])+)"
)
_DEFINED: tuple[Literal["stream"], Literal["shard"]] = ("stream", "shard")


@dataclass(frozen=True, slots=True)
class _Value:
    """A place in the template for the value of a field, by the field's number."""

    field: int
    default: str


class TemplateError(ValueError):
    """The template is none; says why."""


class KeyTemplate:
    """`content_type={content_type|none}/year=%Y/month=%m`: text, times as strftime has them, `{stream}`, `{shard}`, and
    `{field}` or `{field|default}` for top-level fields of the record."""

    def __init__(self, text: str, *, stream: str, shard: str, zone: datetime.tzinfo = datetime.UTC) -> None:
        """Raises TemplateError."""
        names: list[str] = []
        self._pieces: list[str | _Value] = []
        for piece in parse_template(text):
            if isinstance(piece, str):
                self._add(piece)
            elif piece[0] in _DEFINED:
                self._add(escaped(stream if piece[0] == "stream" else shard))
            else:
                name, default = piece
                if name not in names:
                    names.append(name)
                self._pieces.append(_Value(names.index(name), escaped(default) if default else NO_VALUE))
        if len(names) > MOST_FIELDS:
            raise TemplateError(f"names {len(names)} fields, and {MOST_FIELDS} are the most")
        self.fields = tuple(names)
        """Of the record, in the order of the values that `path` takes."""
        hours_are_alike = zone is datetime.UTC and "%M" not in text
        self.bucket_ms = 3_600_000 if hours_are_alike else 60_000
        """Times that are in one such span have one path."""
        self._zone = zone
        self._expanded: dict[int, list[str | _Value]] = {}

    def path(self, values: Sequence[str | None], time_ms: int) -> str:
        """With a slash at its end. `values` are those of `fields`, None for what a record does not have."""
        return "".join(
            [
                piece
                if isinstance(piece, str)
                else escaped(value)
                if (value := values[piece.field])
                else piece.default
                for piece in self._at(time_ms // self.bucket_ms)
            ]
        )

    def overflow_path(self, time_ms: int) -> str:
        return "".join(
            piece if isinstance(piece, str) else OVERFLOW for piece in self._at(time_ms // self.bucket_ms)
        )

    @property
    def most_bytes(self) -> int:
        """Of a path, whatever the records say."""
        return sum(
            # no time is longer than what stands for it, but for %Y and %j
            len(piece) + 2 * piece.count("%Y") + piece.count("%j")
            if isinstance(piece, str)
            else MOST_VALUE_BYTES
            for piece in self._pieces
        )

    def _add(self, text: str) -> None:
        if self._pieces and isinstance(self._pieces[-1], str):
            self._pieces[-1] += text
        else:
            self._pieces.append(text)

    def _at(self, bucket: int) -> list[str | _Value]:
        pieces = self._expanded.get(bucket)
        if pieces is None:
            if len(self._expanded) > 1000:
                self._expanded.clear()
            pieces = [
                expand_time(piece, bucket * self.bucket_ms, self._zone) if isinstance(piece, str) else piece
                for piece in [*self._pieces, "/"]
            ]
            self._expanded[bucket] = pieces
        return pieces


def check_template(text: str, *, prefix: str, stream: str) -> None:
    """Raises TemplateError for what is no template, or may make a key that is too long for S3."""
    template = KeyTemplate(text, stream=stream, shard="shardId-000000000000")
    most = len(prefix.encode()) + template.most_bytes + 1 + len(stream.encode()) + _MOST_NAME_BYTES
    if most > MOST_KEY_BYTES:
        raise TemplateError(
            f"may make keys of {most} bytes, and S3 takes {MOST_KEY_BYTES}: each field counts {MOST_VALUE_BYTES}"
        )


def escaped(value: str) -> str:
    """The value in letters, digits, `-`, `_` and `.`; anything else is the %XX of its UTF-8, which readers of
    Hive-style keys undo. It is cut where it takes more than MOST_VALUE_BYTES, at a whole character."""
    if len(value) <= MOST_VALUE_BYTES and not value.startswith(".") and _SAFE.issuperset(value):
        return value
    pieces: list[str] = []
    left = MOST_VALUE_BYTES
    for place, character in enumerate(value[:MOST_VALUE_BYTES]):
        # a dot at the start: "." and ".." are other folders for many tools, and ".x" is hidden for Spark and Athena
        if character in _SAFE and (place or character != "."):
            piece = character
        else:
            piece = "".join([f"%{byte:02X}" for byte in character.encode("utf-8", "replace")])
        left -= len(piece)
        if left < 0:
            break
        pieces.append(piece)
    return "".join(pieces)


def parse_template(text: str) -> list[str | tuple[str, str | None]]:
    """Texts, in which times are as strftime has them, and names with their defaults. Raises TemplateError."""
    found: list[str | tuple[str, str | None]] = []
    place = 0
    while place < len(text):
        token = _TOKEN.match(text, place)
        if token is None:
            raise TemplateError(
                f'"{text[place : place + 20]}" is none of what a template has: letters, digits, = _ - . and slashes,'
                " %Y %m %d %H %M %j, {field} and {field|default}"
            )
        found.append(token["text"] or (token["name"], token["default"]))
        place = token.end()
    parts = "".join(piece if isinstance(piece, str) else "{}" for piece in found).split("/")
    if "" in parts:
        raise TemplateError("has an empty part: no slash at its start or end, and no two together")
    if {".", ".."} & set(parts):
        raise TemplateError('holds a part "." or "..", which many tools resolve')
    return found
