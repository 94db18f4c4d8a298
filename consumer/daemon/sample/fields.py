"""What the top-level fields of records hold: which of them could be the key, and which the time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from consumer.domain.routing import table_suffix, time_parser
from consumer.settings.table import SETTINGS

TIME_FORMATS = (
    *("iso8601", "epoch_s", "epoch_ms", "epoch_us", "epoch_ns"),
    *("%d/%b/%Y:%H:%M:%S %z", "%a, %d %b %Y %H:%M:%S %z", "%a %b %d %H:%M:%S %Y"),
    *("%Y/%m/%d %H:%M:%S", "%m/%d/%Y %H:%M:%S", "%d.%m.%Y %H:%M:%S", "%Y-%m-%d %H:%M:%S,%f"),
)
"""Those that are tried; record.time_format takes any pattern of strptime."""

MOST_PART = 0.9
"""Of the records, that a field has to suit to be proposed."""

_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_MOST_VALUES = 5_000
_TRIED_VALUES = 500
"""In each notation of a time."""
_LIKE_A_KEY = re.compile(
    r"(?:player|user|account|customer|member|client|device).*|.*(?:id|uuid|guid|key)", re.I
)
_LIKE_A_TIME = re.compile(r".*(?:time|date|_at|ts|timestamp|when|created|clock).*", re.I)


@dataclass(slots=True)
class Field:
    """The values of one field: how many records have one, and the first few thousand different ones, by how often."""

    name: str
    count: int = 0
    scalars: int = 0
    values: dict[Any, int] = field(default_factory=dict)

    def add(self, value: Any) -> None:
        if value is None or value == "":
            return
        self.count += 1
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return
        self.scalars += 1
        if value in self.values or len(self.values) < _MOST_VALUES:
            self.values[value] = self.values.get(value, 0) + 1

    def repeats(self) -> bool:
        """Whether different records have the same value, as those of one player do."""
        return len(self.values) < sum(self.values.values())

    def hex_part(self, digits: int) -> float:
        """Of the values, those that begin with so many hex digits."""
        known = sum(self.values.values())
        fitting = sum(n for value, n in self.values.items() if table_suffix(value, digits) is not None)
        return fitting / known if known else 0.0

    def time_part(self, time_format: str, *, now: datetime) -> float:
        """Of the records that have the field, those whose value is a time of this notation, and no absurd one."""
        parse, latest = time_parser(time_format), now + timedelta(days=365)
        some = dict(islice(self.values.items(), _TRIED_VALUES))
        moments = [(parse(value), n) for value, n in some.items()]
        fitting = sum(n for moment, n in moments if moment is not None and _EARLIEST <= moment <= latest)
        return fitting / sum(some.values()) * self.scalars / self.count if some else 0.0


def fields_of(objects: Iterable[Mapping[str, Any]]) -> dict[str, Field]:
    """In the order of their first appearance."""
    fields: dict[str, Field] = {}
    for one in objects:
        for name, value in one.items():
            found = fields.get(name)
            if found is None:
                found = fields[name] = Field(name)
            found.add(value)
    return fields


@dataclass(frozen=True, slots=True)
class TimeField:
    """A field with times in one notation; `part` is that of the records which have such a time."""

    name: str
    notation: str
    part: float


def time_fields(fields: Mapping[str, Field], records: int, *, now: datetime) -> list[TimeField]:
    """The most likely first."""
    found = list(_time_fields(fields, records, now))
    return sorted(found, key=lambda one: (-round(one.part, 1), not _LIKE_A_TIME.fullmatch(one.name)))


def _time_fields(fields: Mapping[str, Field], records: int, now: datetime) -> Iterator[TimeField]:
    for one in fields.values():
        if not _can_be_named(one.name) or not one.values:
            continue
        parts = {notation: one.time_part(notation, now=now) for notation in TIME_FORMATS}
        best = max(parts, key=parts.__getitem__)
        part = parts[best] * one.count / records
        if part >= MOST_PART:
            yield TimeField(one.name, best, part)


def key_fields(fields: Mapping[str, Field], records: int, times: Iterable[TimeField]) -> list[Field]:
    """Those that most records have as a text or a number, the most likely first."""
    taken = {one.name for one in times}
    found = [
        one
        for one in fields.values()
        if one.scalars >= MOST_PART * records and one.name not in taken and _can_be_named(one.name)
    ]
    found = [one for one in found if _LIKE_A_KEY.fullmatch(one.name) or one.hex_part(2) == 1]

    def rank(one: Field) -> tuple[bool, bool, bool, int]:
        name = _LIKE_A_KEY.fullmatch(one.name) is not None
        return (not one.repeats(), not name, one.hex_part(1) < MOST_PART, -len(one.values))

    return sorted(found, key=rank)


def _can_be_named(name: str) -> bool:
    """In a setting."""
    try:
        SETTINGS["record.key_field"].kind.parse(name)
    except ValueError:
        return False
    return True
