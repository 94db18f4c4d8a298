"""Rows in JSON, read by the columns of the tables.

A value that is of another type than its column is taken where insertAll takes it: a number in a text, a time in another
notation (cell_times.py), a name in other letters. What fits a column depends on the row and the columns alone.
"""

import datetime
import decimal
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from consumer.settings.schema import Column
from consumer.sinks.bigquery.arrow_rows.cell_times import CELL_TIMES
from consumer.sinks.bigquery.rows.bad_record import BadRecord

_JSON_TYPES: dict[str, Any] = {
    "STRING": str,
    "GEOGRAPHY": str,
    "JSON": msgspec.Raw,
    "BYTES": bytes,
    "INTEGER": Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)],
    "FLOAT": float,
    "BOOLEAN": bool,
    "TIMESTAMP": str | int | float,
    "DATE": datetime.date,
    "TIME": str,
    "DATETIME": str,
    "NUMERIC": decimal.Decimal,
    "BIGNUMERIC": decimal.Decimal,
}
_NULL = msgspec.Raw(b"null")
_DECIMALS = {"NUMERIC": (29, decimal.Decimal("1e-9")), "BIGNUMERIC": (38, decimal.Decimal("1e-38"))}
"""Digits before the point, and the last one behind it."""
# BigQuery's own way to round: https://cloud.google.com/bigquery/docs/schemas#rounding_mode
_ROUNDING = decimal.Context(prec=100, rounding=decimal.ROUND_HALF_UP)

_MOST_LOOKS = 16
_LEAST_MEMBER_BYTES = 5
"""`"":0,`"""

_encode = msgspec.json.Encoder().encode
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode

_NULL_TEXT = re.compile(rb'"[Nn][Uu][Ll][Ll]"').search
"""A text that msgspec takes for null where a column may be null."""

# beside its own errors msgspec lets those of Python's dates and decimals through
_NOT_DECODED = (msgspec.MsgspecError, ValueError, ArithmeticError)


class BadCells(BadRecord):
    """The row does not fit the columns."""

    def __init__(self, detail: str) -> None:
        super().__init__("rejected", detail)


class RowReader:
    """Reads rows into structs with a field for each column, in their order."""

    def __init__(self, columns: Sequence[Column], *, refuse_unknown: bool) -> None:
        """With `refuse_unknown`, a field without a column makes a row bad; otherwise it is left out."""
        self._fields = _Fields(columns, keeps_unknown=refuse_unknown)
        self._is_narrow = self._fields.widest <= _LEAST_MEMBER_BYTES * _MOST_LOOKS
        # a field without a column may be one whose name has other letters, so it is always looked at twice
        self._decode_exact = _decoder(columns, refuse_unknown=True)
        self._decode_rewritten = _decoder(columns, refuse_unknown=refuse_unknown)
        self._read_times = _times_reader(columns)

    def read(self, row: bytes) -> Any:
        """Raises BadCells."""
        found = self._decoded(row)
        try:
            if found is None:
                found = self._decode_rewritten(_encode(_rewritten(_decode_object(row), self._fields)))
            return found if self._read_times is None else self._read_times(found)
        except _NOT_DECODED as error:
            raise BadCells(str(error)) from None

    def _decoded(self, row: bytes) -> Any:
        """None where members have to be rewritten first."""
        try:
            is_soon_decoded = self._is_narrow or self._is_soon_decoded(row)
            found = self._decode_exact(row if is_soon_decoded else _in_order(row, self._fields))
        except _NOT_DECODED:
            return None
        may_be_a_text = self._fields.nested or None in msgspec.structs.astuple(found)
        return None if may_be_a_text and _NULL_TEXT(row) else found

    def _is_soon_decoded(self, row: bytes) -> bool:
        """Whether it takes few looks at a column's name for each byte of the row and for each column, however the
        members are named."""
        widest = self._fields.widest
        return row.count(b":") * widest <= _MOST_LOOKS * (len(row) + widest)


def _decoder(columns: Sequence[Column], *, refuse_unknown: bool) -> Callable[[bytes], Any]:
    shape = _shape("Row", columns, refuse_unknown=refuse_unknown)
    decode: Callable[[bytes], Any] = msgspec.json.Decoder(shape, strict=False).decode
    return decode


def rounded(value: decimal.Decimal, kind: str) -> decimal.Decimal:
    """A number as a column of this type holds it. Raises ValueError or ArithmeticError where it is beyond its range."""
    whole, last = _DECIMALS[kind]
    if not value.is_finite():
        raise ValueError(f"{value} is no number")
    found = value.quantize(last, context=_ROUNDING)
    if found.adjusted() >= whole:
        raise ValueError(f"a number of more than {whole} digits before the point, which is what {kind} takes")
    return found


def attribute(number: int) -> str:
    """Of a row that was read: its cell of that column."""
    return f"field_{number}"


def _shape(name: str, columns: Sequence[Column], *, refuse_unknown: bool) -> Any:
    fields: list[Any] = []
    for number, column in enumerate(columns):
        kind, default = _json_type(column, refuse_unknown=refuse_unknown)
        fields.append((attribute(number), kind, *default))
    rename = {attribute(number): column.name for number, column in enumerate(columns)}
    return msgspec.defstruct(
        name, fields, rename=rename, forbid_unknown_fields=refuse_unknown, kw_only=True, gc=False
    )


def _json_type(column: Column, *, refuse_unknown: bool) -> tuple[Any, tuple[Any, ...]]:
    """The type, and the default of a field that may be missing."""
    kind: Any = _JSON_TYPES.get(column.type)
    if column.fields:
        kind = _shape(column.name, column.fields, refuse_unknown=refuse_unknown)
    if column.mode == "REPEATED":
        # it may be missing, but is never null: https://cloud.google.com/bigquery/docs/nested-repeated#limitations
        return list[kind], ([],)
    if column.mode == "REQUIRED":
        return kind, ()
    return (kind, (_NULL,)) if kind is msgspec.Raw else (kind | None, (None,))


def _times_reader(columns: Sequence[Column]) -> Callable[[Any], Any] | None:
    """From a struct as it was decoded to the same one with its times read; None where it has no times. Raises
    ValueError."""
    changes = [
        (attribute(number), change)
        for number, column in enumerate(columns)
        if (change := _time_change(column))
    ]
    if not changes:
        return None

    def read(row: Any) -> Any:
        for name, change in changes:
            value = getattr(row, name)
            if value is not None:
                setattr(row, name, change(value))
        return row

    return read


def _time_change(column: Column) -> Callable[[Any], Any] | None:
    change = _times_reader(column.fields) if column.fields else CELL_TIMES.get(column.type)
    if change is None or column.mode != "REPEATED":
        return change
    return lambda values: [change(value) for value in values]


class _Fields:
    """The columns of a table, or the fields of a RECORD."""

    def __init__(self, columns: Sequence[Column], *, keeps_unknown: bool) -> None:
        """With `keeps_unknown` what has no column stays among the members that are rewritten."""
        self.by_name = {
            column.name.lower(): _Field(column, _Fields(column.fields, keeps_unknown=keeps_unknown))
            for column in columns
        }
        self.places = {column.name: number for number, column in enumerate(columns)}
        self.nested = [field for field in self.by_name.values() if field.column.fields]
        self.keeps_unknown = keeps_unknown
        self.widest: int = max([len(columns), *(field.inner.widest for field in self.nested)])


@dataclass(frozen=True, slots=True)
class _Field:
    column: Column
    inner: _Fields


def _in_order(row: bytes, fields: _Fields) -> msgspec.Raw:
    """The same row with its members in the order of the columns, and each of them once: the decoder looks for a name
    from the column behind the last one on, through all of them if need be."""
    members = _decode_object(row)
    ordered = {name: members.pop(name) for name in fields.places if name in members}
    for field in fields.nested:
        raw = ordered.get(field.column.name)
        if raw is not None:
            ordered[field.column.name] = _each(_object_in_order, raw, field)
    return msgspec.Raw(_encode(ordered | members))


def _object_in_order(raw: msgspec.Raw, field: _Field) -> msgspec.Raw:
    text = bytes(raw)
    return _in_order(text, field.inner) if text.startswith(b"{") else raw


def _each(
    change: Callable[[msgspec.Raw, _Field], msgspec.Raw], raw: msgspec.Raw, field: _Field
) -> msgspec.Raw:
    """A column's value once it is changed, or each one of a REPEATED column's values."""
    if field.column.mode != "REPEATED":
        return change(raw, field)
    text = bytes(raw)
    if not text.startswith(b"["):
        return raw
    return msgspec.Raw(_encode([change(item, field) for item in _decode_list(text)]))


def _rewritten(members: dict[str, msgspec.Raw], fields: _Fields) -> dict[str, msgspec.Raw]:
    """The members under their columns' names and in their order, and in a notation that the reader takes."""
    known: dict[str, msgspec.Raw] = {}
    unknown: dict[str, msgspec.Raw] = {}
    for name, raw in members.items():
        field = fields.by_name.get(name.lower())
        if field is not None:
            known[field.column.name] = _each(_value, raw, field)
        elif fields.keeps_unknown:
            unknown[name] = raw
    return {name: known[name] for name in sorted(known, key=fields.places.__getitem__)} | unknown


def _value(raw: msgspec.Raw, field: _Field) -> msgspec.Raw:
    """Raises ValueError."""
    text, column = bytes(raw), field.column
    if _JSON_TYPES.get(column.type) not in (str, msgspec.Raw) and _NULL_TEXT(text[: len(b'"null"')]):
        raise ValueError(f"{text.decode()} is a text, and no {column.type}")
    if column.fields and text.startswith(b"{"):
        return msgspec.Raw(_encode(_rewritten(_decode_object(text), field.inner)))
    if column.type == "STRING" and text[:1] not in b'"{[n':
        return msgspec.Raw(_encode(text.decode()))
    return raw
