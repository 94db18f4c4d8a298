"""What a reader of a backend makes of what stands there, by decoders that are none of the project's."""

import datetime
import decimal
import gzip
import io
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
from pyarrow import parquet

from consumer.settings.schema import Column

type Cells = Mapping[str, object]
"""A row by its columns."""


class Number(NamedTuple):
    """As it is spelled: `-0` and `1e2` are not 0 and 100."""

    text: str


class Members(tuple[tuple[str, Any], ...]):
    """Of an object in their order, however often a name is there."""

    __slots__ = ()

    def last(self) -> dict[str, Any]:
        """By their names in small letters."""
        return {name.lower(): value for name, value in self}


def read_json(text: bytes | str) -> Any:
    return json.loads(text, parse_int=Number, parse_float=Number, object_pairs_hook=Members)


def read_lines(body: bytes | bytearray, *, zstandard: bool = False) -> list[bytes]:
    """Of an object of lines, each with its end."""
    text = (
        pa.input_stream(io.BytesIO(body), compression="zstd").read() if zstandard else gzip.decompress(body)
    )
    *lines, rest = text.split(b"\n")
    assert rest == b"", "the last line has no end"
    assert not any(b"\r" in line for line in lines), "some readers end a line there"
    return lines


# BigQuery

_TIME = re.compile(
    r"\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]| UTC|[+-]\d\d(:\d\d)?)?)?", re.ASCII
).fullmatch
_WHOLE = re.compile(r"-?\d+", re.ASCII).fullmatch
_LARGEST = 2**63


def read_row(row: Any, columns: Sequence[Column], *, json_as_text: bool, ignores_unknown: bool) -> Cells:
    """A row of insertAll, which wants a JSON column's value as a text, or of a load job, which wants it as it is.
    Raises ValueError where BigQuery refuses it."""
    members = row.last()
    unknown = members.keys() - {column.name.lower() for column in columns}
    if unknown and not ignores_unknown:
        raise ValueError(f"no such field: {unknown}")
    return {
        column.name: cell(
            column, members.get(column.name.lower(), missing(column)), json_as_text=json_as_text
        )
        for column in columns
    }


def missing(column: Column) -> object:
    """What a column holds of a row that does not name it."""
    return [] if column.mode == "REPEATED" else None


def cell(column: Column, value: Any, *, json_as_text: bool = False) -> object:
    """A JSON value as its column holds it. Raises ValueError where BigQuery refuses it."""
    if column.mode == "REPEATED":
        return _repeated(column, value, json_as_text=json_as_text)
    if value is None:
        if column.mode == "REQUIRED":
            raise ValueError(f"{column.name} is required")
        return None
    if column.type == "JSON":
        return read_json(value) if json_as_text else value
    text = value.text if isinstance(value, Number) else value
    match column.type:
        case "STRING" if isinstance(value, bool):
            return json.dumps(value)
        case "STRING" if isinstance(text, str):
            return text
        case "INTEGER" if isinstance(text, str) and _WHOLE(text) and -_LARGEST <= int(text) < _LARGEST:
            return int(text)
        case "FLOAT" if isinstance(text, str):
            return float(text)
        case "NUMERIC" if isinstance(text, str):
            return _numeric(text)
        case "BOOLEAN" if isinstance(value, bool):
            return value
        case "DATE" if isinstance(value, str):
            return datetime.date.fromisoformat(value)
        case "TIMESTAMP" if isinstance(value, Number):
            return datetime.datetime.fromtimestamp(float(value.text), datetime.UTC)
        case "TIMESTAMP" if isinstance(value, str) and _TIME(value):
            return moment(value)
    raise ValueError(f"{column.name} takes no {value!r}")


def _repeated(column: Column, value: Any, *, json_as_text: bool) -> list[object]:
    """BigQuery takes no null in place of an array, and none in it."""
    if not isinstance(value, list) or None in value:
        raise ValueError(f"Field value of {column.name} cannot be empty")
    single = msgspec.structs.replace(column, mode="NULLABLE")
    return [cell(single, item, json_as_text=json_as_text) for item in value]


def _numeric(text: str) -> decimal.Decimal:
    """https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#decimal_types"""
    digits = decimal.Context(prec=200, rounding=decimal.ROUND_HALF_UP)
    found = decimal.Decimal(text).quantize(decimal.Decimal("0.000000001"), context=digits)
    if not found.is_finite() or found.adjusted() >= 29:
        raise ValueError(f"{text} is out of range")
    return found


def moment(text: str) -> datetime.datetime:
    read = datetime.datetime.fromisoformat(text.upper().replace(" UTC", "Z"))
    return read.replace(tzinfo=datetime.UTC) if read.tzinfo is None else read.astimezone(datetime.UTC)


def read_arrow(schema: bytes, batch: bytes) -> list[Cells]:
    """The rows of an append, whose JSON columns are texts to Arrow."""
    found = pa.ipc.read_record_batch(pa.py_buffer(batch), pa.ipc.read_schema(pa.py_buffer(schema)))
    found.validate(full=True)
    rows: list[Cells] = found.to_pylist()
    return rows


def read_parquet(body: bytes | bytearray) -> list[Cells]:
    found = parquet.read_table(pa.py_buffer(body))
    found.validate(full=True)
    rows: list[Cells] = found.to_pylist()
    return rows


def with_json(row: Cells, columns: Sequence[Column]) -> Cells:
    """A row of read_arrow with its JSON columns read."""
    assert list(row) == [column.name for column in columns]
    json_columns = {column.name for column in columns if column.type == "JSON"}
    return {
        name: read_json(value) if name in json_columns and isinstance(value, str) else value
        for name, value in row.items()
    }
