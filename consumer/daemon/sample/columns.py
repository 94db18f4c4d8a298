"""The columns that records need for `bigquery.row = fields`, as BigQuery's schema files have them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from consumer.domain.routing import time_parser

type Column = dict[str, Any]

_DEEPEST = 15
"""https://cloud.google.com/bigquery/quotas#standard_tables: levels of nested columns."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,299}")
_LEAST_TIME = len("2001-02-03T04:05")
_is_time = time_parser("iso8601")
_WHOLE = range(-(2**63), 2**63)


def columns_of(
    objects: Iterable[Mapping[str, Any]], *, key: str, time: str
) -> tuple[list[Column], list[str]]:
    """The columns, and the names that no column can have. The key's is a STRING, and one of the name `time`, for the
    partitions, a TIMESTAMP."""
    kinds = _Kinds()
    for one in objects:
        kinds.add(one)
    columns, without = kinds.columns(1)
    by_name = {column["name"].lower(): column for column in columns}
    by_name[key.lower()] = {"name": key, "type": "STRING"}
    by_name[time.lower()] = {"name": time, "type": "TIMESTAMP"}
    return list(by_name.values()), without


class _Kinds:
    """What was seen in one place of the records."""

    def __init__(self) -> None:
        self._types: set[str] = set()
        self._has_null = False
        self._items: _Kinds | None = None
        self._members: dict[str, tuple[str, _Kinds]] = {}

    def add(self, value: Any, level: int = 0) -> None:
        """`level` counts the objects around the value."""
        if value is None:
            self._has_null = True
            return
        self._types.add(_type_of(value) if level <= _DEEPEST else "JSON")
        if level > _DEEPEST:
            return
        if isinstance(value, Mapping):
            for name, member in value.items():
                # BigQuery takes names that differ by case for one
                self._members.setdefault(name.lower(), (name, _Kinds()))[1].add(member, level + 1)
        elif isinstance(value, list):
            self._items = self._items or _Kinds()
            for item in value:
                self._items.add_item(item, level)

    def add_item(self, item: Any, level: int) -> None:
        """A REPEATED column takes no null, in its place or in an item's, and no array in an array."""
        if item is None or isinstance(item, list):
            self._types.add("JSON")
        else:
            self.add(item, level)

    def columns(self, level: int) -> tuple[list[Column], list[str]]:
        """Of the members, and the names of those that no column can have."""
        members = self._members.values()
        columns = [{"name": name, **kinds.column(level)} for name, kinds in members if _NAME.fullmatch(name)]
        return columns, [name for name, _ in members if not _NAME.fullmatch(name)]

    def column(self, level: int) -> Column:
        """Without its name; JSON for what has no other type, which takes any value."""
        types = self._types
        if types <= {"INTEGER", "FLOAT"} and types:
            return {"type": "FLOAT" if "FLOAT" in types else "INTEGER"}
        if types <= {"STRING", "TIMESTAMP"}:
            return {"type": "TIMESTAMP" if types == {"TIMESTAMP"} else "STRING"}
        if types == {"ARRAY"} and self._items is not None and not self._has_null:
            inner = self._items.column(level)
            return {"type": "JSON"} if inner["type"] == "JSON" else inner | {"mode": "REPEATED"}
        if types == {"RECORD"} and level < _DEEPEST:
            fields, without = self.columns(level + 1)
            return {"type": "JSON"} if without or not fields else {"type": "RECORD", "fields": fields}
        return {"type": types.pop()} if types == {"BOOLEAN"} else {"type": "JSON"}


def _type_of(value: Any) -> str:
    match value:
        case bool():
            return "BOOLEAN"
        case int():
            return "INTEGER" if value in _WHOLE else "FLOAT"
        case float():
            return "FLOAT"
        case str():
            return "TIMESTAMP" if _is_moment(value) else "STRING"
        case list():
            return "ARRAY"
        case _:
            return "RECORD"


def _is_moment(text: str) -> bool:
    """A day alone is none, nor is a number that may be read as one."""
    if len(text) < _LEAST_TIME or text[4:5] != "-":
        return False
    moment = _is_time(text)
    return moment is not None and moment.date() > date.min
