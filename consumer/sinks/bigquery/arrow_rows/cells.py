"""From rows that were read to Arrow, by pyarrow, for columns of any type."""

import datetime
from array import array
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import pyarrow as pa

from consumer.settings.schema import Column
from consumer.sinks.bigquery.arrow_rows.reader import BadCells, attribute, rounded

_TIMESTAMP = pa.timestamp("us", tz="UTC")
_ARROW_TYPES = {
    "STRING": pa.string(),
    "GEOGRAPHY": pa.string(),
    "JSON": pa.string(),
    "BYTES": pa.binary(),
    "INTEGER": pa.int64(),
    "FLOAT": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "TIMESTAMP": _TIMESTAMP,
    "DATE": pa.date32(),
    "TIME": pa.time64("us"),
    "DATETIME": pa.timestamp("us"),
    "NUMERIC": pa.decimal128(38, 9),
    "BIGNUMERIC": pa.decimal256(76, 38),
}
_TAKEN_AS_THEY_ARE = frozenset(
    {"STRING", "GEOGRAPHY", "BYTES", "FLOAT", "BOOLEAN", "DATE", "TIME", "DATETIME"}
)
_NOT_CONVERTED = (pa.ArrowException, ValueError, ArithmeticError, TypeError)


class ArrowWriter:
    """Makes record batches of what a RowReader has read."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._fields = pa.schema([_arrow_field(column) for column in columns])
        self.schema: bytes = self._fields.serialize().to_pybytes()
        self._makers = [_maker(number, column) for number, column in enumerate(columns)]

    def batch(self, rows: Sequence[Any]) -> pa.RecordBatch:
        """Raises BadCells where a value of some row is beyond its column's range."""
        try:
            arrays = [make(rows) for make in self._makers]
        except _NOT_CONVERTED as error:
            raise BadCells(str(error)) from None
        return pa.record_batch(arrays, schema=self._fields)


def joined(batches: Sequence[pa.RecordBatch]) -> pa.Table:
    """The rows of batches one after the other; nothing is copied."""
    return pa.Table.from_batches(batches)


def serialized(rows: pa.Table) -> pa.Buffer:
    """Rows, one at least, as one batch in Arrow's IPC format."""
    [batch] = rows.combine_chunks().to_batches()
    return batch.serialize()


def _arrow_field(column: Column) -> pa.Field:
    kind = pa.struct(map(_arrow_field, column.fields)) if column.fields else _ARROW_TYPES[column.type]
    if column.mode == "REPEATED":
        kind = pa.list_(kind)
    return pa.field(column.name, kind, nullable=column.mode != "REQUIRED")


def _maker(number: int, column: Column) -> Callable[[Sequence[Any]], pa.Array]:
    """From rows to the array of one column."""
    cell, kind = attrgetter(attribute(number)), _arrow_field(column).type
    if column.type == "INTEGER" and column.mode != "REPEATED":
        return lambda rows: _integers(list(map(cell, rows)))
    if column.type in _TAKEN_AS_THEY_ARE:
        return lambda rows: pa.array(list(map(cell, rows)), kind)
    convert = _conversion(column)
    return lambda rows: pa.array([convert(cell(row)) for row in rows], kind)


def _integers(values: Sequence[int | None]) -> pa.Array:
    try:
        # a third of what Arrow takes to look at each of them
        numbers = array("q", values)  # type: ignore[type-var]
    except TypeError:  # some are missing
        return pa.array(values, pa.int64())
    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(numbers)])


def _conversion(column: Column) -> Callable[[Any], Any]:
    """From what the reader gives to what Arrow takes."""
    single = _single_conversion(column)
    if column.mode == "REPEATED":
        return lambda values: [single(value) for value in values or ()]
    return single


def _single_conversion(column: Column) -> Callable[[Any], Any]:
    if column.fields:
        inner = [
            (field.name, attrgetter(attribute(number)), _conversion(field))
            for number, field in enumerate(column.fields)
        ]
        return lambda value: value and {name: convert(cell(value)) for name, cell, convert in inner}
    if column.type == "JSON":
        return lambda value: None if bytes(value) == b"null" else bytes(value).decode()
    if column.type == "TIMESTAMP":
        # Arrow itself does not mind a year that BigQuery has no word for
        return lambda value: value and value.astimezone(datetime.UTC)
    if column.type in ("NUMERIC", "BIGNUMERIC"):
        return lambda value: None if value is None else rounded(value, column.type)
    return lambda value: value
