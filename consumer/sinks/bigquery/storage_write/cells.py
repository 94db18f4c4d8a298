"""From rows in JSON to Arrow, by the columns of the tables.

A value that is of another type than its column is taken where insertAll takes it: a number in a text, a time in another
notation, a name in other letters. What fits a column depends on the row and the columns alone.
"""

import datetime
import decimal
from array import array
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Annotated, Any

import msgspec
import pyarrow as pa
from msgspec import Meta

from consumer.settings.schema import Column

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
_JSON_TYPES: dict[str, Any] = {
    "STRING": str,
    "GEOGRAPHY": str,
    "JSON": msgspec.Raw,
    "BYTES": bytes,
    "INTEGER": Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)],
    "FLOAT": float,
    "BOOLEAN": bool,
    "TIMESTAMP": Annotated[datetime.datetime, Meta(tz=True)],
    "DATE": datetime.date,
    "TIME": Annotated[datetime.time, Meta(tz=False)],
    "DATETIME": Annotated[datetime.datetime, Meta(tz=False)],
    "NUMERIC": decimal.Decimal,
    "BIGNUMERIC": decimal.Decimal,
}
_TAKEN_AS_THEY_ARE = frozenset(
    {"STRING", "GEOGRAPHY", "BYTES", "FLOAT", "BOOLEAN", "DATE", "TIME", "DATETIME"}
)
_SCALES = {"NUMERIC": decimal.Decimal("1e-9"), "BIGNUMERIC": decimal.Decimal("1e-38")}
# BigQuery's own way to round: https://cloud.google.com/bigquery/docs/schemas#rounding_mode
_ROUNDING = decimal.Context(prec=100, rounding=decimal.ROUND_HALF_UP)
_NULL = msgspec.Raw(b"null")

_encode = msgspec.json.Encoder().encode
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode

# beside its own errors msgspec lets those of Python's dates and decimals through
_NOT_DECODED = (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError)
_NOT_CONVERTED = (pa.ArrowException, ValueError, ArithmeticError, TypeError)


class BadCells(ValueError):
    """The row does not fit the columns."""


class RowReader:
    """Reads rows into objects with an attribute for each column."""

    def __init__(self, columns: Sequence[Column], *, refuse_unknown: bool) -> None:
        """With `refuse_unknown`, a field without a column makes a row bad; otherwise it is left out."""
        self._columns = columns
        # a field without a column may be one whose name has other letters, so it is always looked at twice
        self._decode_exact = _decoder(columns, refuse_unknown=True)
        self._decode_rewritten = _decoder(columns, refuse_unknown=refuse_unknown)

    def read(self, row: bytes) -> Any:
        """Raises BadCells."""
        try:
            return self._decode_exact(row)
        except _NOT_DECODED:
            pass
        try:
            return self._decode_rewritten(_encode(_rewritten(_decode_object(row), self._columns)))
        except _NOT_DECODED as error:
            raise BadCells(str(error)) from None


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


def _decoder(columns: Sequence[Column], *, refuse_unknown: bool) -> Callable[[bytes], Any]:
    shape = _shape("Row", columns, refuse_unknown=refuse_unknown)
    decode: Callable[[bytes], Any] = msgspec.json.Decoder(shape, strict=False).decode
    return decode


def _attribute(number: int) -> str:
    return f"field_{number}"


def _shape(name: str, columns: Sequence[Column], *, refuse_unknown: bool) -> Any:
    fields: list[Any] = []
    for number, column in enumerate(columns):
        kind, default = _json_type(column, refuse_unknown=refuse_unknown)
        fields.append((_attribute(number), kind, *default))
    rename = {_attribute(number): column.name for number, column in enumerate(columns)}
    return msgspec.defstruct(
        name, fields, rename=rename, forbid_unknown_fields=refuse_unknown, kw_only=True, gc=False
    )


def _json_type(column: Column, *, refuse_unknown: bool) -> tuple[Any, tuple[Any, ...]]:
    """The type, and the default of a field that may be missing."""
    kind: Any = _JSON_TYPES.get(column.type)
    if column.fields:
        kind = _shape(column.name, column.fields, refuse_unknown=refuse_unknown)
    if column.mode == "REPEATED":
        return list[kind] | None, (None,)
    if column.mode == "REQUIRED":
        return kind, ()
    return (kind, (_NULL,)) if kind is msgspec.Raw else (kind | None, (None,))


def _arrow_field(column: Column) -> pa.Field:
    kind = pa.struct(map(_arrow_field, column.fields)) if column.fields else _ARROW_TYPES[column.type]
    if column.mode == "REPEATED":
        kind = pa.list_(kind)
    return pa.field(column.name, kind, nullable=column.mode != "REQUIRED")


def _maker(number: int, column: Column) -> Callable[[Sequence[Any]], pa.Array]:
    """From rows to the array of one column."""
    cell, kind = attrgetter(_attribute(number)), _arrow_field(column).type
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
            (field.name, attrgetter(_attribute(number)), _conversion(field))
            for number, field in enumerate(column.fields)
        ]
        return lambda value: value and {name: convert(cell(value)) for name, cell, convert in inner}
    if column.type == "JSON":
        return lambda value: None if bytes(value) == b"null" else bytes(value).decode()
    if column.type == "TIMESTAMP":
        # Arrow itself does not mind a year that BigQuery has no word for
        return lambda value: value and value.astimezone(datetime.UTC)
    if column.type in _SCALES:
        scale = _SCALES[column.type]
        return lambda value: None if value is None else _rounded(value, scale)
    return lambda value: value


def _rounded(value: decimal.Decimal, scale: decimal.Decimal) -> decimal.Decimal:
    if not value.is_finite():
        raise ValueError(f"{value} is no number")
    return value.quantize(scale, context=_ROUNDING)


def _rewritten(members: dict[str, msgspec.Raw], columns: Sequence[Column]) -> dict[str, msgspec.Raw]:
    """The members under their columns' names, and in a notation that the reader takes."""
    by_name = {column.name.lower(): column for column in columns}
    rewritten = {}
    for name, raw in members.items():
        column = by_name.get(name.lower())
        if column is None:
            rewritten[name] = raw
        else:
            rewritten[column.name] = _value(raw, column)
    return rewritten


def _value(raw: msgspec.Raw, column: Column) -> msgspec.Raw:
    text = bytes(raw)
    if column.mode == "REPEATED":
        single = msgspec.structs.replace(column, mode="NULLABLE")
        return (
            msgspec.Raw(_encode([_value(item, single) for item in _decode_list(text)]))
            if text.startswith(b"[")
            else raw
        )
    if column.fields and text.startswith(b"{"):
        return msgspec.Raw(_encode(_rewritten(_decode_object(text), column.fields)))
    if column.type == "STRING" and text[:1] not in b'"{[n':
        return msgspec.Raw(_encode(text.decode()))
    if column.type in ("TIMESTAMP", "DATETIME") and text.startswith(b'"'):
        return msgspec.Raw(_encode(_moment(_decode_text(text), column.type)))
    return raw


def _moment(text: str, kind: str) -> datetime.datetime | str:
    """A time as Python reads ISO 8601, and with the zone that BigQuery writes; a TIMESTAMP without one is UTC."""
    try:
        moment = datetime.datetime.fromisoformat(text.removesuffix(" UTC"))
    except ValueError:
        return text
    if kind == "TIMESTAMP" and moment.tzinfo is None:
        return moment.replace(tzinfo=datetime.UTC)
    return moment
