"""From records to rows: which table, which identity, and the row's JSON as bytes."""

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from consumer.domain.dead_letters import Rejection
from consumer.domain.records import Record
from consumer.domain.routing import table_name, table_suffix
from consumer.sinks.bigquery.metadata import Metadata
from consumer.sinks.bigquery.reshape import Reshaper, Unfit
from consumer.sinks.bigquery.times import OutOfRange, PartitionTimes
from consumer.sinks.members import set_member
from consumer.sinks.payloads import RoutingReader

_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class TableRows:
    """Rows of one table in shard order: `rows[i]` is the encoded row of record `indices[i]` of the chunk."""

    indices: list[int] = field(default_factory=list)
    rows: list[bytes] = field(default_factory=list)


def insert_id_prefix(*, stream: str, shard: str) -> str:
    """The part of a row's identity (I3) that one shard's rows share; `-<sequence>-<sub-sequence>` follows.

    An insertId takes 128 characters, which a stream's name alone may fill, so a digest stands for the name.
    """
    digest = hashlib.blake2s(stream.encode(), digest_size=6).hexdigest()
    return f"{digest}-{shard.removeprefix('shardId-').lstrip('0') or '0'}"


class BadKey(ValueError):
    """JSON allows half of a surrogate pair in a text (as `\\ud800`), UTF-8 and so BigQuery's columns do not."""


@dataclass(frozen=True, slots=True)
class Wrapping:
    """What a method wants around a row, and of a JSON column's value. `tail` closes what the head has opened."""

    tail: bytes
    json_as_text: bool


INSERT_ALL = Wrapping(b"}", json_as_text=True)
LINES = Wrapping(b"", json_as_text=False)
"""One object a line. https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-json"""


class RowShape(Protocol):
    """How one record becomes its row."""

    def encode(self, head: str, record: Record, key: object, time: object) -> bytes:
        """The row, of which `head` is everything before the object with its columns.

        Raises OutOfRange, BadKey or Unfit, and nothing else for a payload that RoutingReader took.
        """


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
        self._key = f'{{"{key_column}":'
        self._time = f',"{time_column}":"'
        self._times = times
        self._end = b"}" + wrapping.tail
        self._as_text = wrapping.json_as_text
        self._metadata = metadata

    def encode(self, head: str, record: Record, key: object, time: object) -> bytes:
        arrival_ms = record.arrival_ms
        moment = self._times.own_time(time, arrival_ms) or self._times.arrival_time(arrival_ms)
        head = f'{head}{self._key}{_json_text(key)}{self._time}{moment}","log":'
        log = _encode(record.data.decode()) if self._as_text else record.data
        if self._metadata is None:
            return b"%b%b%b" % (head.encode(), log, self._end)
        return b"%b%b,%b%b" % (head.encode(), log, self._metadata.members(record), self._end)


class FieldsRow:
    """`row = fields`: the record itself is the row. Its bytes are spliced in as they came, unless the partition
    column has to be filled or put into BigQuery's notation, or the columns ask for more (Reshaper)."""

    def __init__(
        self,
        *,
        time_field: str,
        time_column: str,
        times: PartitionTimes,
        wrapping: Wrapping = INSERT_ALL,
        metadata: Metadata | None = None,
        reshaper: Reshaper | None = None,
    ) -> None:
        self._column = time_column
        self._column_is_own = time_field == time_column
        self._times = times
        self._tail = wrapping.tail
        self._metadata = metadata
        self._reshape = reshaper if reshaper is not None and reshaper.is_needed else None

    def encode(self, head: str, record: Record, key: object, time: object) -> bytes:
        data = record.data if self._reshape is None else self._reshape(record.data)
        data = self._timed(data, record, time)
        if self._metadata is not None:
            data = self._metadata.spliced(data, record)
        return b"%b%b%b" % (head.encode(), data, self._tail)

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
        self._id_head = f'{{"insertId":"{prefix}-' if wrapping.tail else ""
        self._prefix = table_prefix
        self._key_field = key_field
        self._digits = key_digits

    def encode(
        self, records: Sequence[Record], indices: Sequence[int]
    ) -> tuple[dict[str, TableRows], list[Rejection]]:
        """Rows of `records[i]` for the given indices, by table name, and the records that no table takes."""
        chosen = [records[index] for index in indices]
        routings, unread = self._reader.read([record.data for record in chosen])
        rejections = [dataclasses.replace(rejection, index=indices[rejection.index]) for rejection in unread]
        tables: dict[str, TableRows] = {}
        by_digits: dict[str, TableRows] = {}
        digits, id_head, encode = self._digits, self._id_head, self._shape.encode
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
                table = tables.setdefault(name, TableRows())
                if isinstance(key, str):
                    by_digits[key[:digits]] = table
            head = (
                f'{id_head}{record.sequence_number}-{record.sub_sequence_number}","json":' if id_head else ""
            )
            try:
                row = encode(head, record, key, routing.time)
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
            table.rows.append(row)
        return {name: table for name, table in tables.items() if table.rows}, rejections

    def _table(self, key: object) -> str | None:
        suffix = table_suffix(key, self._digits)
        return None if suffix is None else table_name(self._prefix, suffix)

    def _no_table(self, index: int, key: object) -> Rejection:
        if key is None or key == "":
            return Rejection(index, "no_key", f"no value in {self._key_field}")
        shown = str(key)[:64]
        return Rejection(index, "bad_key", f"{self._key_field} does not start with hex digits: {shown!r}")


def _json_text(key: object) -> str:
    try:
        if isinstance(key, str):
            return _encode(key).decode()
        # without key digits any value is taken; a STRING column wants text
        return "null" if key is None else _encode(_encode(key).decode()).decode()
    except UnicodeEncodeError as error:
        raise BadKey(f"the key is not Unicode: {error}") from None
