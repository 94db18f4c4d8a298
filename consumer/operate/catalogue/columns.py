"""Columns of a table of Athena, in Hive's types, for objects of Parquet and of lines.

https://docs.aws.amazon.com/athena/latest/ug/data-types.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from consumer.operate.catalogue.paths import plain, unique
from consumer.operate.errors import Refused
from consumer.settings import Settings
from consumer.settings.columns import lake_schema
from consumer.settings.schema import Column

LOG = "log"
"""The column that has the whole record."""

_MOST_NAME_BYTES = 255
_MOST_MAPPED_BYTES = 240
"""Of Glue, for the name of a column, and of one in the name of a property."""
_ALIKE = {
    "STRING": "string",
    "GEOGRAPHY": "string",
    "JSON": "string",
    "INTEGER": "bigint",
    "FLOAT": "double",
    "BOOLEAN": "boolean",
    "NUMERIC": "decimal(38,9)",
}
_PARQUET = {**_ALIKE, "BYTES": "binary", "TIMESTAMP": "timestamp", "DATETIME": "timestamp", "DATE": "date"}
_LINES = {
    **_ALIKE,
    **dict.fromkeys(("BYTES", "TIMESTAMP", "DATETIME", "DATE", "TIME", "BIGNUMERIC"), "string"),
}
"""Lines have values as they were spelled: only the reader's query knows which time `1769860800` is."""
_UNKNOWN = {
    "TIME": "Athena has no type for a time of day: let it be a STRING",
    "BIGNUMERIC": "a decimal of Athena has 38 digits at most: let it be NUMERIC or STRING",
}


@dataclass(frozen=True, slots=True)
class HiveColumn:
    name: str
    type: HiveType


@dataclass(frozen=True, slots=True)
class HiveType:
    """`name` is a type without parts, `array` with the type of its items, or `struct` with its `fields`."""

    name: str
    item: HiveType | None = None
    fields: tuple[HiveColumn, ...] = ()

    def text(self, quote: str = "") -> str:
        """As Glue has it; with `quote` around the names of fields, as a statement has it."""
        if self.item is not None:
            return f"array<{self.item.text(quote)}>"
        if self.fields:
            named = [f"{quote}{field.name}{quote}:{field.type.text(quote)}" for field in self.fields]
            return f"struct<{','.join(named)}>"
        return self.name


@dataclass(frozen=True, slots=True)
class Columns:
    """`keys` are the fields of records that columns of another name have, by these columns' names."""

    columns: tuple[HiveColumn, ...]
    keys: Mapping[str, str] = MappingProxyType({})

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]


def whole_lines() -> Columns:
    return Columns((HiveColumn(LOG, HiveType("string")),))


def parquet_columns(settings: Settings) -> Columns:
    """Of `s3.format = parquet`. Raises Refused and SchemaError."""
    columns = lake_schema(settings)
    if not columns:
        columns = (
            Column(name=settings.text("record.key_field"), type="STRING"),
            Column(name=settings.text("record.time_field"), type="TIMESTAMP"),
            Column(name=LOG, type="STRING"),
        )
    elif settings.text("s3.unknown_fields") == "overflow":
        columns += (Column(name=settings.text("s3.overflow_column"), type="JSON"),)
    return Columns(tuple(_parquet(column, column.name) for column in columns))


def line_columns(schema: Sequence[Column], *, source: str) -> Columns:
    """Fields of lines, by a schema; `source` is the setting or the option that names it. A name that Athena does not
    take is replaced by one that it takes."""
    names = _Names(_all_names(schema))
    return Columns(tuple(_line(column, names, source) for column in schema), names.keys)


def _parquet(column: Column, place: str) -> HiveColumn:
    """Parquet is read by name, so that no column can have another one."""
    name = column.name.lower()
    is_plain = name.isascii() and name.replace("_", "a").isalnum()
    if not is_plain or len(name) > _MOST_NAME_BYTES:
        raise Refused(
            f"s3.schema_file: column {place!r}: Athena takes letters, digits and _ of ASCII in the name of a column of"
            f" Parquet, {_MOST_NAME_BYTES} of them at most"
        )
    if column.type in _UNKNOWN:
        raise Refused(f"s3.schema_file: column {place}: {_UNKNOWN[column.type]}")
    fields = tuple(_parquet(field, f"{place}.{field.name}") for field in column.fields)
    return _hive(name, column, fields, _PARQUET)


def _line(column: Column, names: _Names, source: str) -> HiveColumn:
    if not column.name:
        raise Refused(f"{source}: a column without a name")
    name = names.of(column.name)
    return _hive(name, column, tuple(_line(field, names, source) for field in column.fields), _LINES)


def _hive(name: str, column: Column, fields: tuple[HiveColumn, ...], types: Mapping[str, str]) -> HiveColumn:
    kind = HiveType("struct", fields=fields) if fields else HiveType(types[column.type])
    if column.mode == "REPEATED":
        kind = HiveType("array", item=kind)
    return HiveColumn(name, kind)


def _all_names(schema: Sequence[Column]) -> set[str]:
    return {column.name.lower() for column in schema}.union(*(_all_names(column.fields) for column in schema))


class _Names:
    """Names of columns for fields, whatever their case. The mapping of the SerDe holds for fields of any level, so one
    name is one field's throughout."""

    def __init__(self, fields: set[str]) -> None:
        """`fields` are all that there are, in lower case: those that need no other name keep theirs."""
        self._names = {name: name for name in fields if name == plain(name) and len(name) <= _MOST_NAME_BYTES}
        self.keys: dict[str, str] = {}

    def of(self, field: str) -> str:
        field = field.lower()
        if field not in self._names:
            name = unique(plain(field)[:_MOST_MAPPED_BYTES], set(self._names.values()))
            self._names[field] = name
            self.keys[name] = field
        return self._names[field]
