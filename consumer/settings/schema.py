"""BigQuery's JSON schema files: a list of columns, as `bq show --schema` prints it."""

from __future__ import annotations

from codecs import BOM_UTF8
from pathlib import Path
from typing import Literal

import msgspec

type ColumnMode = Literal["NULLABLE", "REQUIRED", "REPEATED"]

_CANONICAL_TYPES = {
    "INT64": "INTEGER",
    "FLOAT64": "FLOAT",
    "BOOL": "BOOLEAN",
    "STRUCT": "RECORD",
    "DECIMAL": "NUMERIC",
    "BIGDECIMAL": "BIGNUMERIC",
}
_TYPES = frozenset(
    (
        *("STRING", "BYTES", "JSON", "BOOLEAN", "GEOGRAPHY", "RECORD"),
        *("INTEGER", "FLOAT", "NUMERIC", "BIGNUMERIC"),
        *("TIMESTAMP", "DATE", "TIME", "DATETIME"),
    )
)


METADATA_COLUMNS = ("_shard", "_sequence_number", "_arrived_at")
"""With bigquery.metadata_columns: where a record comes from, and when it arrived on the stream."""


class SchemaError(ValueError):
    """The schema file cannot be read, or is no schema."""


class Column(msgspec.Struct, frozen=True):
    """One column; `type` is as BigQuery's API answers it (INTEGER, not INT64). Other keys of the file are
    ignored."""

    name: str
    type: str
    mode: ColumnMode = "NULLABLE"
    description: str = ""
    fields: tuple[Column, ...] = ()


def read_schema(path: Path) -> tuple[Column, ...]:
    """The columns of a schema file in order; raises SchemaError with a sentence for its user."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SchemaError(f"cannot read {path}: {error.strerror}") from error
    return parse_schema(content)


def parse_schema(content: bytes) -> tuple[Column, ...]:
    """The columns of a schema file's content; raises SchemaError."""
    try:
        columns = msgspec.json.decode(content.removeprefix(BOM_UTF8), type=tuple[Column, ...])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SchemaError(f"not a BigQuery schema (a JSON list of columns): {error}") from error
    if not columns:
        raise SchemaError("a BigQuery schema without columns")
    return tuple(_canonical(column) for column in _without_repeats(columns))


def canonical_type(name: str) -> str:
    """BigQuery's own name of a type that has several: INTEGER for INT64."""
    return _CANONICAL_TYPES.get(name.upper(), name.upper())


def _canonical(column: Column) -> Column:
    kind = canonical_type(column.type)
    if kind not in _TYPES:
        raise SchemaError(f'column {column.name}: "{column.type}" is no type of BigQuery')
    if (kind == "RECORD") != bool(column.fields):
        raise SchemaError(f"column {column.name}: a RECORD has fields, and nothing else has")
    fields = tuple(_canonical(field) for field in _without_repeats(column.fields))
    return msgspec.structs.replace(column, type=kind, fields=fields)


def _without_repeats(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    seen: set[str] = set()
    for column in columns:
        if column.name.lower() in seen:
            raise SchemaError(f"column {column.name} stands twice (names differ by more than case)")
        seen.add(column.name.lower())
    return columns
