"""From records to rows: which table, which identity, and the row's JSON.

Slice by slice in shard order: rows are taken from there to wherever they belong while the processor's cache still holds
them. To come back for the rows of one table, which lie far apart, costs as much again.
"""

import dataclasses
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from consumer.domain.dead_letters import Reason, Rejection
from consumer.domain.records import Record
from consumer.domain.routing import table_name, table_suffix
from consumer.sinks.bigquery.rows.shapes import INSERT_ALL, RowShape, RowTemplate, Wrapping
from consumer.sinks.bigquery.rows.size import Unfit
from consumer.sinks.bigquery.rows.slices import picked, records_at, slices_of
from consumer.sinks.bigquery.rows.times import OutOfRange
from consumer.sinks.json.fields import FieldReader, Fields, Key

_encode = msgspec.json.Encoder().encode


_SHOWN = 64
"""Characters of a key, or bytes of one that is no text."""


class _NoTable(ValueError):
    """A key chooses no table."""


class _TooLarge(ValueError):
    """No row takes the record."""


_BAD_RECORD = (_NoTable, _TooLarge, OutOfRange, Unfit)


@dataclass(frozen=True, slots=True)
class TableSlice:
    """Some records of one table in shard order, with their indices in the chunk, their rows' cells, and the sizes of
    the values in these in bytes."""

    table: str
    indices: Sequence[int]
    records: Sequence[Record]
    cells: Sequence[Any]
    content_bytes: Sequence[int]


@dataclass(slots=True)
class TableRows:
    """Rows of one table in shard order: `rows[i]` is the JSON of record `indices[i]` of the chunk."""

    indices: list[int] = field(default_factory=list)
    rows: list[bytes] = field(default_factory=list)

    def extend(self, others: "TableRows") -> None:
        self.indices += others.indices
        self.rows += others.rows


def insert_id_prefix(*, stream: str, shard: str) -> str:
    """The part of a row's identity (I3) that one shard's rows share; `-<sequence>-<sub-sequence>` follows.

    An insertId takes 128 characters, which a stream's name alone may fill, so a digest stands for the name.
    """
    digest = hashlib.blake2s(stream.encode(), digest_size=6).hexdigest()
    return f"{digest}-{shard.removeprefix('shardId-').lstrip('0') or '0'}"


def no_table(key_field: str, key: Key) -> tuple[Reason, str]:
    """Why a key chooses no table."""
    if key is None or key == "":
        return "no_key", f"no value in {key_field}"
    head = memoryview(key)[:_SHOWN] if isinstance(key, msgspec.Raw) else key[:_SHOWN]
    shown = head if isinstance(head, str) else str(head, "utf-8", "replace")
    return "bad_key", f"{key_field} does not start with hex digits: {shown!r}"


class InsertRow(msgspec.Struct, rename={"insert_id": "insertId"}, gc=False):
    """A row of an insertAll request."""

    insert_id: str
    json: Any


class RowEncoder:
    """Routes the records of a chunk to tables and encodes them."""

    def __init__(
        self,
        *,
        reader: FieldReader,
        shape: RowShape,
        stream: str,
        shard: str,
        table_prefix: str,
        key_field: str,
        key_digits: int,
        wrapping: Wrapping = INSERT_ALL,
        max_row_bytes: int | None = None,
    ) -> None:
        """No row has fewer bytes than its record: one of more than `max_row_bytes` is refused before it is a row."""
        self._reader = reader
        self._shape = shape
        prefix = insert_id_prefix(stream=stream, shard=shard)
        self.id_head = f"{prefix}-" if wrapping.has_id else ""
        self.table_prefix = table_prefix
        self._max_row_bytes = max_row_bytes
        self.key_field = key_field
        self.key_digits = key_digits

    @property
    def time_field(self) -> str:
        return self._reader.time_field

    def template(self) -> RowTemplate | None:
        """See RowShape."""
        return self._shape.template()

    def slices(
        self, records: Sequence[Record], indices: Sequence[int], rejections: list[Rejection]
    ) -> Iterator[TableSlice]:
        """The rows of `records[i]` for the given indices, by table: several slices of each, in shard order. Records
        that no table takes are added to `rejections`."""
        for some in slices_of(records, indices):
            yield from self._slices_of(records_at(records, some), some, rejections)

    def rows(self, records: Sequence[Record], cells: Sequence[Any]) -> Sequence[Any]:
        """The rows of some records, as msgspec encodes them."""
        if not self.id_head:
            return cells
        head = self.id_head
        return [
            InsertRow(f"{head}{record.sequence_number}-{record.sub_sequence_number}", one)
            for record, one in zip(records, cells, strict=True)
        ]

    def encode(
        self, records: Sequence[Record], indices: Sequence[int]
    ) -> tuple[dict[str, TableRows], list[Rejection]]:
        """The rows of `records[i]` for the given indices, by table name, and the records that no table takes."""
        tables: dict[str, TableRows] = defaultdict(TableRows)
        rejections: list[Rejection] = []
        for name, rows in self.encoded(records, indices, rejections):
            tables[name].extend(rows)
        return dict(tables), rejections

    def encoded(
        self, records: Sequence[Record], indices: Sequence[int], rejections: list[Rejection]
    ) -> Iterator[tuple[str, TableRows]]:
        """As `slices`: some rows of a table at a time."""
        for each in self.slices(records, indices, rejections):
            rows = list(map(_encode, self.rows(each.records, each.cells)))
            yield each.table, TableRows(list(each.indices), rows)

    def _slices_of(
        self, records: Sequence[Record], indices: Sequence[int], rejections: list[Rejection]
    ) -> Iterator[TableSlice]:
        payloads = [record.data for record in records]
        routings, unread = self._reader.read(payloads)
        if not unread:
            try:
                found = self._all_of(records, payloads, indices, routings)
            except _BAD_RECORD:  # one at least: which, and what is to become of the others?
                pass
            else:
                yield from found
                return
        rejections += [dataclasses.replace(each, index=indices[each.index]) for each in unread]
        for index, record, routing in zip(indices, records, routings, strict=True):
            if routing is not None:
                yield from self._one(record, index, routing, rejections)

    def _all_of(
        self,
        records: Sequence[Record],
        payloads: Sequence[bytes],
        indices: Sequence[int],
        routings: Sequence[Fields],
    ) -> Sequence[TableSlice]:
        """Raises one of _BAD_RECORD where one of the records has no row."""
        keys = [routing.key for routing in routings]
        tables = self._places(keys)
        if self._max_row_bytes is not None and max(map(len, payloads)) > self._max_row_bytes:
            raise _TooLarge
        times = [routing.time for routing in routings]
        cells, sizes = self._shape.cells(records, payloads, keys, times)
        return [
            TableSlice(name, *[picked(each, places) for each in (indices, records, cells, sizes)])
            for name, places in tables.items()
        ]

    def _one(
        self, record: Record, index: int, routing: Fields, rejections: list[Rejection]
    ) -> Sequence[TableSlice]:
        try:
            return self._all_of([record], [record.data], [index], [routing])
        except _NoTable:
            rejections.append(self._no_table(index, routing.key))
        except _TooLarge:
            detail = f"a record of {len(record.data)} bytes; BigQuery takes {self._max_row_bytes}"
            rejections.append(Rejection(index, "too_large", detail))
        except OutOfRange as error:
            rejections.append(Rejection(index, "time_out_of_range", str(error)))
        except Unfit as error:
            rejections.append(Rejection(index, error.reason, str(error)))
        return ()

    def _places(self, keys: Sequence[Any]) -> dict[str, Sequence[int]]:
        """Where in `keys` those of each table are, in order; raises _NoTable."""
        if self.key_digits == 0:
            return {self.table_prefix: range(len(keys))} if keys else {}
        if not {str}.issuperset(map(type, keys)):
            raise _NoTable
        digits = self.key_digits
        by_digits: dict[str, list[int]] = defaultdict(list)
        for place, key in enumerate(keys):
            by_digits[key[:digits]].append(place)
        tables: dict[str, Sequence[int]] = {}
        for head, places in by_digits.items():
            name = self._table(head)
            if name is None:
                raise _NoTable
            # digits in upper and in lower case choose the same table
            tables[name] = sorted([*tables[name], *places]) if name in tables else places
        return tables

    def _table(self, key: object) -> str | None:
        suffix = table_suffix(key, self.key_digits)
        return None if suffix is None else table_name(self.table_prefix, suffix)

    def _no_table(self, index: int, key: Key) -> Rejection:
        return Rejection(index, *no_table(self.key_field, key))
