"""From records to rows: which table, which identity, and the row's JSON.

In two steps, since a row takes as much memory as its record: what routing finds out is kept as a *plan*, and the row
itself is made when it is sent.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from consumer.domain.dead_letters import Rejection
from consumer.domain.records import Record
from consumer.domain.routing import table_name, table_suffix
from consumer.settings.schema import METADATA_COLUMNS
from consumer.sinks.bigquery.metadata import Metadata
from consumer.sinks.bigquery.reshape import Reshaper, Unfit
from consumer.sinks.bigquery.times import OutOfRange, PartitionTimes
from consumer.sinks.members import set_member
from consumer.sinks.payloads import RoutingReader

_encode = msgspec.json.Encoder().encode

type Plan = Any
"""What a row shape has found out about a row. Opaque to all others."""


@dataclass(slots=True)
class TablePlans:
    """Rows of one table in shard order: `plans[i]` is that of record `indices[i]` of the chunk."""

    indices: list[int] = field(default_factory=list)
    plans: list[Plan] = field(default_factory=list)


@dataclass(slots=True)
class TableRows:
    """The same with rows in JSON."""

    indices: list[int] = field(default_factory=list)
    rows: list[bytes] = field(default_factory=list)


def insert_id_prefix(*, stream: str, shard: str) -> str:
    """The part of a row's identity (I3) that one shard's rows share; `-<sequence>-<sub-sequence>` follows.

    An insertId takes 128 characters, which a stream's name alone may fill, so a digest stands for the name.
    """
    digest = hashlib.blake2s(stream.encode(), digest_size=6).hexdigest()
    return f"{digest}-{shard.removeprefix('shardId-').lstrip('0') or '0'}"


_TIMESTAMP_BYTES = 8
_TEXT_BYTES = 2
"""Of a value, beside its characters. https://cloud.google.com/bigquery/pricing#data"""


class BadKey(ValueError):
    """JSON allows half of a surrogate pair in a text (as `\\ud800`), UTF-8 and so BigQuery's columns do not."""


@dataclass(frozen=True, slots=True)
class Wrapping:
    """What a method wants around a row, and of a JSON column's value."""

    has_id: bool
    json_as_text: bool


INSERT_ALL = Wrapping(has_id=True, json_as_text=True)
LINES = Wrapping(has_id=False, json_as_text=False)
"""One object a line. https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-json"""


class InsertRow(msgspec.Struct, rename={"insert_id": "insertId"}, gc=False):
    """A row of an insertAll request."""

    insert_id: str
    json: Any


class RowShape(Protocol):
    """How records become rows."""

    def plan(self, record: Record, key: object, time: object) -> Plan:
        """Raises OutOfRange, BadKey or Unfit, and nothing else for a payload that RoutingReader took."""

    def cells(self, records: Sequence[Record], plans: Sequence[Plan]) -> list[Any]:
        """The objects with the rows' columns, as msgspec encodes them."""

    def content_bytes(self, records: Sequence[Record], plans: Sequence[Plan]) -> list[int]:
        """The sizes of the values in the rows' columns, about as BigQuery counts them."""


class LogRow:
    """`row = log`: the key, the time, and the whole record as text for a JSON column."""

    def __init__(
        self,
        *,
        key_column: str,
        time_column: str,
        times: PartitionTimes,
        wrapping: Wrapping = INSERT_ALL,
        metadata: Metadata | None = None,
    ) -> None:
        self._times = times
        self._as_text = wrapping.json_as_text
        self._metadata = metadata
        columns = [key_column, time_column, "log", *(METADATA_COLUMNS if metadata else ())]
        names = [f"column_{number}" for number in range(len(columns))]
        self._cells: Callable[..., Any] = msgspec.defstruct(
            "LogCells", names, rename=dict(zip(names, columns, strict=True)), gc=False
        )

    def plan(self, record: Record, key: object, time: object) -> tuple[str | None, str]:
        arrival_ms = record.arrival_ms
        moment = self._times.own_time(time, arrival_ms) or self._times.arrival_time(arrival_ms)
        if isinstance(key, str) and key.isascii():
            return key, moment
        return key_text(key), moment

    def cells(self, records: Sequence[Record], plans: Sequence[tuple[str | None, str]]) -> list[Any]:
        cells = self._cells
        data = [record.data for record in records]
        logs: list[Any] = [one.decode() for one in data] if self._as_text else list(map(msgspec.Raw, data))
        if self._metadata is None:
            return [cells(key, time, log) for (key, time), log in zip(plans, logs, strict=True)]
        members = self._metadata.values
        return [
            cells(key, time, log, *members(record))
            for record, (key, time), log in zip(records, plans, logs, strict=True)
        ]

    def content_bytes(self, records: Sequence[Record], plans: Sequence[tuple[str | None, str]]) -> list[int]:
        beside = _TIMESTAMP_BYTES + _TEXT_BYTES
        return [
            len(record.data) + len(key or "") + beside
            for record, (key, _) in zip(records, plans, strict=True)
        ]


class FieldsRow:
    """`row = fields`: the record itself is the row. Its bytes are spliced in as they came, unless the partition
    column has to be filled or put into BigQuery's notation, or the columns ask for more (Reshaper)."""

    def __init__(
        self,
        *,
        time_field: str,
        time_column: str,
        times: PartitionTimes,
        metadata: Metadata | None = None,
        reshaper: Reshaper | None = None,
    ) -> None:
        self._column = time_column
        self._column_is_own = time_field == time_column
        self._times = times
        self._metadata = metadata
        self._reshape = reshaper if reshaper is not None and reshaper.is_needed else None

    def plan(self, record: Record, key: object, time: object) -> bytes:
        data = record.data if self._reshape is None else self._reshape(record.data)
        data = self._timed(data, record, time)
        return data if self._metadata is None else self._metadata.spliced(data, record)

    def cells(self, records: Sequence[Record], plans: Sequence[bytes]) -> list[Any]:
        return list(map(msgspec.Raw, plans))

    def content_bytes(self, records: Sequence[Record], plans: Sequence[bytes]) -> list[int]:
        return list(map(len, plans))

    def _timed(self, data: bytes, record: Record, time: object) -> bytes:
        moment = self._times.own_time(time, record.arrival_ms)
        if self._column_is_own and time is not None and (moment is None or moment == time):
            return data
        return self._with_time(data, moment or self._times.arrival_time(record.arrival_ms))

    def _with_time(self, data: bytes, moment: str) -> bytes:
        return set_member(data, self._column, _encode(moment), replace=self._column_is_own)


class RowEncoder:
    """Routes the records of a chunk to tables and encodes them."""

    def __init__(
        self,
        *,
        reader: RoutingReader,
        shape: RowShape,
        stream: str,
        shard: str,
        table_prefix: str,
        key_field: str,
        key_digits: int,
        wrapping: Wrapping = INSERT_ALL,
    ) -> None:
        self._reader = reader
        self._shape = shape
        prefix = insert_id_prefix(stream=stream, shard=shard)
        self._id_head = f"{prefix}-" if wrapping.has_id else ""
        self._prefix = table_prefix
        self._key_field = key_field
        self._digits = key_digits

    def plan(
        self, records: Sequence[Record], indices: Sequence[int]
    ) -> tuple[dict[str, TablePlans], list[Rejection]]:
        """Plans of `records[i]` for the given indices, by table name, and the records that no table takes."""
        chosen = [records[index] for index in indices]
        routings, unread = self._reader.read([record.data for record in chosen])
        rejections = [dataclasses.replace(rejection, index=indices[rejection.index]) for rejection in unread]
        tables: dict[str, TablePlans] = {}
        by_digits: dict[str, TablePlans] = {}
        digits, plan_of = self._digits, self._shape.plan
        for index, record, routing in zip(indices, chosen, routings, strict=True):
            if routing is None:
                continue
            key = routing.key
            table = by_digits.get(key[:digits]) if key.__class__ is str else None
            if table is None:
                name = self._table(key)
                if name is None:
                    rejections.append(self._no_table(index, key))
                    continue
                table = tables.setdefault(name, TablePlans())
                if isinstance(key, str):
                    by_digits[key[:digits]] = table
            try:
                plan = plan_of(record, key, routing.time)
            except OutOfRange as error:
                rejections.append(Rejection(index, "time_out_of_range", str(error)))
                continue
            except BadKey as error:
                rejections.append(Rejection(index, "bad_key", str(error)))
                continue
            except Unfit as error:
                rejections.append(Rejection(index, "rejected", str(error)))
                continue
            table.indices.append(index)
            table.plans.append(plan)
        return {name: table for name, table in tables.items() if table.plans}, rejections

    def rows(self, records: Sequence[Record], plans: Sequence[Plan]) -> list[Any]:
        """The rows of some records, as msgspec encodes them."""
        cells = self._shape.cells(records, plans)
        if not self._id_head:
            return cells
        head = self._id_head
        return [
            InsertRow(f"{head}{record.sequence_number}-{record.sub_sequence_number}", one)
            for record, one in zip(records, cells, strict=True)
        ]

    def encode(
        self, records: Sequence[Record], indices: Sequence[int]
    ) -> tuple[dict[str, TableRows], list[Rejection]]:
        """As `plan`, with the rows made."""
        tables, rejections = self.plan(records, indices)
        return {
            name: TableRows(each.indices, self._encoded(records, each)) for name, each in tables.items()
        }, rejections

    def content_bytes(self, records: Sequence[Record], plans: Sequence[Plan]) -> list[int]:
        """As RowShape."""
        return self._shape.content_bytes(records, plans)

    def _encoded(self, records: Sequence[Record], table: TablePlans) -> list[bytes]:
        return list(map(_encode, self.rows([records[index] for index in table.indices], table.plans)))

    def _table(self, key: object) -> str | None:
        suffix = table_suffix(key, self._digits)
        return None if suffix is None else table_name(self._prefix, suffix)

    def _no_table(self, index: int, key: object) -> Rejection:
        if key is None or key == "":
            return Rejection(index, "no_key", f"no value in {self._key_field}")
        shown = str(key)[:64]
        return Rejection(index, "bad_key", f"{self._key_field} does not start with hex digits: {shown!r}")


def key_text(key: object) -> str | None:
    """The key as a STRING column has it: JSON text, where it is no text. Raises BadKey."""
    if key is None:
        return None
    try:
        text = key if isinstance(key, str) else _encode(key).decode()
        if not text.isascii():
            text.encode()
    except UnicodeEncodeError as error:
        raise BadKey(f"the key is not Unicode: {error}") from None
    return text
