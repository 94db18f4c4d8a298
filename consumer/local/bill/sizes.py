"""The logical sizes of rows, by which BigQuery bills what it stores and what is streamed to it.

https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#data_type_sizes
JSON is taken as it came; BigQuery takes blanks out of it first.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

_FIXED = {
    **dict.fromkeys(("INTEGER", "INT64", "FLOAT", "FLOAT64", "TIMESTAMP", "DATE", "DATETIME", "TIME"), 8),
    **dict.fromkeys(("NUMERIC", "INTERVAL", "RANGE"), 16),
    "BIGNUMERIC": 32,
    **dict.fromkeys(("BOOLEAN", "BOOL"), 1),
}
_RECORDS = ("RECORD", "STRUCT")


class Field(msgspec.Struct, frozen=True):
    """A column, as tables.get has it."""

    name: str
    type: str
    mode: str = "NULLABLE"
    fields: Sequence["Field"] = ()

    @property
    def is_repeated(self) -> bool:
        return self.mode == "REPEATED"


TEXT = Field("", "STRING")
"""What a column is taken for that is not known."""

type Columns = Mapping[str, Field]
"""By name in lower case."""


def columns(fields: Sequence[Field]) -> Columns:
    return {field.name.lower(): field for field in fields}


def json_row_bytes(row: Mapping[str, msgspec.Raw], known: Columns) -> int:
    """Of a row as JSON."""
    return sum(_raw_bytes(bytes(raw), known.get(name.lower(), TEXT)) for name, raw in row.items())


def _raw_bytes(raw: bytes, field: Field) -> int:
    if raw == b"null":
        return 0
    if field.type == "JSON" and not field.is_repeated and not raw.startswith(b'"'):
        return len(raw)
    if not field.is_repeated and field.type in _FIXED:
        return _FIXED[field.type]
    return value_bytes(msgspec.json.decode(raw), field)


def value_bytes(value: Any, field: Field) -> int:
    """Of a value as JSON has it."""
    if value is None:
        return 0
    if field.is_repeated:
        one = msgspec.structs.replace(field, mode="NULLABLE")
        return sum(value_bytes(each, one) for each in value)
    if field.type in _RECORDS:
        known = columns(field.fields)
        return sum(value_bytes(each, known.get(name.lower(), TEXT)) for name, each in value.items())
    if field.type in _FIXED:
        return _FIXED[field.type]
    if field.type == "BYTES":
        return 2 + len(base64.b64decode(value))
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return len(text.encode()) + (0 if field.type == "JSON" else 2)


def arrow_bytes(batch: Any, known: Columns) -> int:
    """Of a pyarrow.RecordBatch."""
    return sum(
        _array_bytes(batch.column(place), known.get(name.lower(), TEXT))
        for place, name in enumerate(batch.schema.names)
    )


def _array_bytes(array: Any, field: Field) -> int:
    kind = array.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _array_bytes(array.flatten(), field)
    if pa.types.is_struct(kind):
        known = columns(field.fields)
        return sum(
            _array_bytes(each, known.get(kind.field(place).name.lower(), TEXT))
            for place, each in enumerate(array.flatten())
        )
    number: int = len(array) - array.null_count
    if field.type in _FIXED:
        return number * _FIXED[field.type]
    if pa.types.is_boolean(kind):
        return number
    if pa.types.is_primitive(kind):
        return number * 8
    if pa.types.is_decimal(kind):
        return number * 16
    text = pc.sum(pc.binary_length(array)).as_py() or 0
    return int(text) + (0 if field.type == "JSON" else 2 * number)
