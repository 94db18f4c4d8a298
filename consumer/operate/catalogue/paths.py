"""Partition columns of the paths of objects: which parts of a path they are, and how Athena projects their values.

https://docs.aws.amazon.com/athena/latest/ug/partition-projection-supported-types.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise

from consumer.domain.key_templates import NO_VALUE, OVERFLOW, escaped, parse_template
from consumer.domain.routing import epoch_ms, expand_time

LAST_YEAR = 2050
"""Of a year that is a column of its own: an integer has no NOW."""
NOW = "NOW+1DAYS"
"""Athena's NOW is in UTC: no zone is further than a day from it, and no clock."""
SHARD = "shard"

_INTEGERS = {
    "Y": ("year", 4, 0, 0),
    "m": ("month", 2, 1, 12),
    "d": ("day", 2, 1, 31),
    "H": ("hour", 2, 0, 23),
    "M": ("minute", 2, 0, 59),
    "j": ("day_of_year", 3, 1, 366),
}
"""By the letters of strftime: name, digits, least and largest value."""
_JAVA = {"Y": "yyyy", "m": "MM", "d": "dd", "H": "HH", "M": "mm", "j": "DDD"}
_DATES = {
    frozenset("Ym"): "MONTHS",
    frozenset("Ymd"): "DAYS",
    frozenset("Yj"): "DAYS",
    frozenset("YmdH"): "HOURS",
    frozenset("YjH"): "HOURS",
    frozenset("YmdHM"): "MINUTES",
    frozenset("YjHM"): "MINUTES",
}
"""Parts of a time that are a moment, with the distance to the next one."""
_DATE = "dt"
_MOST_NAME_BYTES = 200
"""Names of properties, which hold those of columns, have 255 at most."""
_PIECES = re.compile(r"%(?P<time>[YmdHMj])|/|[^%/]+|%")
_HEAD = re.compile(r"([^=]+)=")


@dataclass(frozen=True, slots=True)
class PartitionColumn:
    """`field` is that of the record whose value it has, `shard` for that of `{shard}`, None for a time; `default` is
    the value of records without the field. `projection` are the properties `projection.<name>.*`."""

    name: str
    type: str
    projection: Mapping[str, str]
    field: str | None = None
    default: str = ""

    @property
    def is_injected(self) -> bool:
        """Whether each query has to name its value."""
        return self.projection["type"] == "injected"


@dataclass(frozen=True, slots=True)
class Paths:
    """Paths of objects below the prefix. `template` has `${column}` for the columns, and a slash at its end unless it
    is empty."""

    template: str
    columns: tuple[PartitionColumn, ...]


@dataclass(frozen=True, slots=True)
class _Time:
    letter: str


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    default: str


type _Piece = str | _Time | _Field


def paths_of(
    template: str,
    *,
    stream: str,
    since: datetime,
    taken: Sequence[str] = (),
    values: Mapping[str, Sequence[str]] | None = None,
) -> Paths:
    """Of `s3.partition` or `s3.key_template`. Times begin `since`, in the zone of the paths. `taken` are names that no
    column can have, whatever their case. `values` are all those that a field has, which makes it an enumeration; other
    fields are injected. Raises TemplateError, and KeyError for a name in `values` that no field has."""
    values = values or {}
    segments = list(_segments(_without_shards(_parts(template, stream), values)))
    fields = {piece.name for _, pieces in segments for piece in pieces if isinstance(piece, _Field)}
    for name in values:
        if name not in fields:
            raise KeyError(name)
    columns = _Columns(since, values, taken)
    text = "/".join([columns.text_of(name, pieces) for name, pieces in segments])
    return Paths(f"{text}/" if text else "", tuple(columns.made))


class _Columns:
    """Makes columns of pieces, each with a name of its own."""

    def __init__(self, since: datetime, values: Mapping[str, Sequence[str]], taken: Sequence[str]) -> None:
        self._since = since
        self._values = values
        self._taken = {name.lower() for name in taken}
        self.made: list[PartitionColumn] = []

    def text_of(self, name: str | None, pieces: Sequence[_Piece]) -> str:
        """`name` is what stands before the first `=`, where that is one part with such a name."""
        runs = list(_runs(pieces))
        alone = name if sum(not isinstance(run, str) for run in runs) == 1 else None
        return "".join([run if isinstance(run, str) else self._column(alone, run) for run in runs])

    def _column(self, name: str | None, run: _Field | list[_Piece]) -> str:
        if isinstance(run, _Field):
            return self._add(name or run.name, "string", self._of_field(run), run)
        if len(run) > 1:
            return self._add(name or _DATE, "string", self._of_date(run))
        [time] = run
        assert isinstance(time, _Time)
        usual, digits, least, most = _INTEGERS[time.letter]
        if time.letter == "Y":
            least, most = self._since.year, LAST_YEAR
        return self._add(
            name or usual,
            "int",
            {"type": "integer", "range": f"{least},{most}", "digits": str(digits)},
        )

    def _of_field(self, field: _Field) -> dict[str, str]:
        if field.name not in self._values:
            return {"type": "injected"}
        more = () if field.name == SHARD else (field.default, OVERFLOW)
        listed = [*map(escaped, self._values[field.name]), *more]
        return {"type": "enum", "values": ",".join(dict.fromkeys(listed))}

    def _of_date(self, run: Sequence[_Piece]) -> dict[str, str]:
        pattern = "".join([f"%{piece.letter}" if isinstance(piece, _Time) else str(piece) for piece in run])
        since = expand_time(pattern, epoch_ms(self._since))
        return {
            "type": "date",
            "format": "".join(
                [_JAVA[piece.letter] if isinstance(piece, _Time) else _literal(str(piece)) for piece in run]
            ),
            "range": f"{since},{NOW}",
            "interval": "1",
            "interval.unit": _DATES[_letters(run)],
        }

    def _add(self, wanted: str, kind: str, projection: Mapping[str, str], field: _Field | None = None) -> str:
        """What stands for the column in the template."""
        name = unique(plain(wanted)[:_MOST_NAME_BYTES], self._taken, after_first="_partition")
        self._taken.add(name)
        made = PartitionColumn(name, kind, projection)
        self.made.append(made if field is None else replace(made, field=field.name, default=field.default))
        return f"${{{name}}}"


def plain(name: str) -> str:
    """In lower case, with `_` for whatever is no letter, digit or `_` of ASCII."""
    return re.sub(r"[^a-z0-9_]", "_", name.lower())


def unique(name: str, taken: set[str], *, after_first: str = "") -> str:
    """The name, or that with an end that makes it one which is not taken yet."""
    ends = ["", after_first]
    numbered = [f"{after_first}_{number}" for number in range(2, len(taken) + 3)]
    return next(name + end for end in [*ends, *numbered] if name + end not in taken)


def _parts(template: str, stream: str) -> list[list[_Piece]]:
    """The pieces of each part between slashes: no two texts side by side."""
    parts: list[list[_Piece]] = [[]]
    for told in parse_template(template):
        if isinstance(told, str):
            found = list(_PIECES.finditer(told))
        elif told[0] == "stream":
            found = list(_PIECES.finditer(escaped(stream)))
        else:
            name, default = told
            parts[-1].append(_Field(name, escaped(default) if default else "" if name == SHARD else NO_VALUE))
            continue
        for piece in found:
            last = parts[-1]
            if piece[0] == "/":
                parts.append([])
            elif piece["time"]:
                last.append(_Time(piece["time"]))
            elif last and isinstance(last[-1], str):
                last[-1] += piece[0]
            else:
                last.append(piece[0])
    return parts


def _without_shards(parts: list[list[_Piece]], values: Mapping[str, Sequence[str]]) -> list[list[_Piece]]:
    """A shard is no question of a query, and Athena reads whatever lies below a partition: at the end of a path, parts
    of a shard are left out."""
    last = len(parts)
    for number in range(len(parts) - 1, -1, -1):
        varying = [piece for piece in parts[number] if not isinstance(piece, str)]
        if any(not isinstance(piece, _Field) or piece.name != SHARD for piece in varying) or SHARD in values:
            break
        if varying:
            last = number
    return parts[:last]


def _segments(parts: list[list[_Piece]]) -> Iterator[tuple[str | None, list[_Piece]]]:
    """Parts as `name=…` alone, with their names; others joined with those beside them."""
    bare: list[_Piece] = []
    for part in parts:
        head = _HEAD.match(part[0]) if part and isinstance(part[0], str) else None
        if head is None:
            bare += ["/", *part] if bare else part
            continue
        if bare:
            yield None, bare
            bare = []
        yield head[1], part
    if bare:
        yield None, bare


def _runs(pieces: Sequence[_Piece]) -> Iterator[str | _Field | list[_Piece]]:
    """Texts; fields; and times that are one column each, with the texts between them where these are a moment."""
    waiting: list[_Piece] = []
    for piece in pieces:
        if isinstance(piece, _Field):
            yield from _times(waiting)
            waiting = []
            yield piece
        else:
            waiting.append(piece)
    yield from _times(waiting)


def _times(pieces: list[_Piece]) -> Iterator[str | list[_Piece]]:
    places = [place for place, piece in enumerate(pieces) if isinstance(piece, _Time)]
    if len(places) > 1 and _is_moment(pieces[places[0] : places[-1] + 1]):
        first, last = places[0], places[-1] + 1
        yield from map(str, pieces[:first])
        yield pieces[first:last]
        yield from map(str, pieces[last:])
        return
    for piece in pieces:
        yield piece if isinstance(piece, str) else [piece]


def _is_moment(run: Sequence[_Piece]) -> bool:
    """Whether one format says all of it, and can be read back: a digit behind the year would be read as one of it."""
    times = [piece for piece in run if isinstance(piece, _Time)]
    is_clear = all(
        isinstance(text, _Time) or ("%" not in text and not (before == _Time("Y") and text[:1].isdigit()))
        for before, text in pairwise(run)
        if not isinstance(text, _Field)
    )
    return len(set(times)) == len(times) and _letters(run) in _DATES and is_clear


def _letters(run: Sequence[_Piece]) -> frozenset[str]:
    return frozenset(piece.letter for piece in run if isinstance(piece, _Time))


def _literal(text: str) -> str:
    """Text in a format of java.time."""
    return re.sub(r"([A-Za-z]+)", r"'\1'", text)
