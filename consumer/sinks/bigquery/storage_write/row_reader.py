"""Rows in JSON, read by the columns of the tables.

A value that is of another type than its column is taken where insertAll takes it: a number in a text, a time in another
notation, a name in other letters. What fits a column depends on the row and the columns alone.
"""

import datetime
import decimal
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from consumer.domain.dead_letters import Reason
from consumer.settings.schema import Column
from consumer.sinks.bigquery.row_size import Unfit, check_members, check_values

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
_NULL = msgspec.Raw(b"null")

_encode = msgspec.json.Encoder().encode
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode

# beside its own errors msgspec lets those of Python's dates and decimals through
_NOT_DECODED = (msgspec.MsgspecError, ValueError, ArithmeticError)


class BadCells(ValueError):
    """The row does not fit the columns."""

    def __init__(self, detail: str, reason: Reason = "rejected") -> None:
        super().__init__(detail)
        self.reason: Reason = reason


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
            check_members(row)
            check_values(row, self._columns)
        except Unfit as error:
            raise BadCells(str(error), error.reason) from None
        try:
            return self._decode_exact(row)
        except _NOT_DECODED:
            pass
        try:
            return self._decode_rewritten(_encode(_rewritten(_decode_object(row), self._columns)))
        except _NOT_DECODED as error:
            raise BadCells(str(error)) from None


def _decoder(columns: Sequence[Column], *, refuse_unknown: bool) -> Callable[[bytes], Any]:
    shape = _shape("Row", columns, refuse_unknown=refuse_unknown)
    decode: Callable[[bytes], Any] = msgspec.json.Decoder(shape, strict=False).decode
    return decode


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
        return list[kind] | None, (None,)
    if column.mode == "REQUIRED":
        return kind, ()
    return (kind, (_NULL,)) if kind is msgspec.Raw else (kind | None, (None,))


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
