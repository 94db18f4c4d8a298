"""From records to Arrow rows: which table, which cells, and which records make no row.

The verdict on a record depends on the rules and on the record alone, so that whoever reads it again counts alike.
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from consumer.domain.columns import Records
from consumer.domain.dead_letters import Rejection
from consumer.domain.records import Record
from consumer.domain.unread_times import Unread
from consumer.native import library
from consumer.settings.columns import row_columns
from consumer.sinks.bigquery.arrow_rows.arrow import Batch, log_batch, micros_of, schema_of
from consumer.sinks.bigquery.arrow_rows.finder import RowFinder
from consumer.sinks.bigquery.arrow_rows.log_columns import LogColumns
from consumer.sinks.bigquery.arrow_rows.metadata_columns import (
    MOST_JSON_BYTES,
    MetadataBuffers,
    MetadataColumns,
    row_bytes,
)
from consumer.sinks.bigquery.arrow_rows.rules import Rules
from consumer.sinks.bigquery.rows.bad_record import BadRecord
from consumer.sinks.bigquery.rows.build import reader_of, routes_of, row_encoder, times_of
from consumer.sinks.bigquery.rows.reading import fields_of, rerouted
from consumer.sinks.bigquery.rows.shapes import LINES, key_text
from consumer.sinks.json.fields import Fields

MAX_ROW_BYTES = 9_500_000
"""AppendRows takes requests under 10 MB. A constant, since the verdict on a record must not change with a setting."""

ROW_OVERHEAD_BYTES = 64
MAX_RECORD_BYTES = MAX_ROW_BYTES - ROW_OVERHEAD_BYTES


class RowCells(Protocol):
    """The cells of rows, as Arrow's record batch has them or as LogColumns has."""

    def slice(self, offset: int, length: int, /) -> "RowCells": ...
    def take(self, places: list[int], /) -> "RowCells": ...


@dataclass(slots=True)
class Rows:
    """Rows of one table in shard order: `cells[c][i]` is column c of the row of record `indices[i]` of the chunk, or
    `columns` hold them all."""

    indices: "array[int]"
    cells: tuple[Any, ...]
    sizes: "array[int]"
    columns: RowCells | None = None

    def add(self, index: int, cells: Sequence[Any], size: int) -> None:
        self.indices.append(index)
        self.sizes.append(size)
        for column, value in zip(self.cells, cells, strict=True):
            column.append(value)

    def part(self, start: int, stop: int) -> "Rows":
        return Rows(
            self.indices[start:stop],
            tuple(column[start:stop] for column in self.cells),
            self.sizes[start:stop],
            None if self.columns is None else self.columns.slice(start, stop - start),
        )

    def without(self, places: set[int]) -> "Rows":
        kept = [place for place in range(len(self.indices)) if place not in places]
        return Rows(
            _at(self.indices, kept),
            tuple(_at(column, kept) for column in self.cells),
            _at(self.sizes, kept),
            None if self.columns is None else self.columns.take(kept),
        )

    def parts(self, max_bytes: int) -> Iterator["Rows"]:
        """Contiguous parts of at most so many bytes, or of one row."""
        if self.sizes and sum(self.sizes) <= max_bytes:
            yield self
            return
        start = size = 0
        for place, one in enumerate(self.sizes):
            if place > start and size + one > max_bytes:
                yield self.part(start, place)
                start, size = place, 0
            size += one
        if start < len(self.sizes):
            yield self.part(start, len(self.sizes)) if start else self


type Made = tuple[dict[str, Rows], list[Rejection]]
"""Rows by table, and the records that make none."""


class RowMaker(Protocol):
    """One set of rules at work."""

    @property
    def schema(self) -> bytes:
        """Arrow's, in its IPC format."""

    def make(self, records: Sequence[Record], indices: Sequence[int]) -> Made:
        """The rows of `records[i]` for the given indices."""

    def take_unread(self) -> Unread | None:
        """The times that hold none of the records that were made rows since the last call."""

    def batch(self, rows: Rows) -> Batch:
        """A record batch of the schema."""


def _at(column: Any, places: Sequence[int]) -> Any:
    """Of a column of numbers one of the same type."""
    chosen = [column[place] for place in places]
    return array(column.typecode, chosen) if isinstance(column, array) else chosen


def too_large(index: int, size: int) -> Rejection:
    return Rejection(index, "too_large", f"a row of {size} bytes; BigQuery takes {MAX_ROW_BYTES}")


_SURE_RECORD_BYTES = MAX_RECORD_BYTES // 2 - MOST_JSON_BYTES
"""A row of JSON holds the record, its key again, and what the metadata columns add."""


class LogRows:
    """`row = log`: the key, the time, and the whole record as text for a JSON column; then the metadata columns."""

    def __init__(self, rules: Rules, *, shard: str = "") -> None:
        self._shard = shard
        self._has_metadata = rules.flag("bigquery.metadata_columns")
        self._more_bytes = row_bytes(shard) if self._has_metadata else 0
        self._encoder = row_encoder(rules, (), stream="", shard=shard, wrapping=LINES)
        self._reader, self._routes, self._times = reader_of(rules), routes_of(rules), times_of(rules)
        self._finder = self._new_finder(rules)
        self.schema = schema_of(row_columns(rules, ()))

    def _new_finder(self, rules: Rules) -> RowFinder | None:
        """None where there is no C library, or times have a notation that it does not read."""
        native = library.load()
        if native is None or not self._times.is_iso8601:
            return None
        return RowFinder(
            native,
            key_field=rules.text("record.key_field"),
            time_field=rules.text("record.time_field"),
            table_prefix=rules.text("bigquery.table_prefix"),
            key_digits=rules.integer("bigquery.key_digits"),
            max_row_bytes=_SURE_RECORD_BYTES if self._has_metadata else MAX_ROW_BYTES,
            row_overhead_bytes=ROW_OVERHEAD_BYTES,
            times=self._times,
            cells_bytes=self._more_bytes,
        )

    def make(self, records: Sequence[Record], indices: Sequence[int]) -> Made:
        return self._found(records, indices) or self._made(records, indices)

    def take_unread(self) -> Unread | None:
        return self._times.unread.take()

    def batch(self, rows: Rows) -> Batch:
        if isinstance(rows.columns, LogColumns):
            return rows.columns.batch()
        keys, times, logs, *beside = rows.cells
        metadata = MetadataBuffers.of(self._shard.encode(), *beside) if beside else MetadataBuffers()
        return log_batch(
            keys,
            times,
            logs,
            more_nulls=metadata.nulls,
            more_buffers=metadata.sizes,
            more_body=metadata.body,
        )

    def _found(self, records: Sequence[Record], indices: Sequence[int]) -> Made | None:
        """Rows that the C library finds, with those of the records that it is not sure of; None without it."""
        if self._finder is None or not isinstance(records, Records):
            return None
        if not indices:
            return {}, []
        found = self._finder.find(records, indices, doubted=rerouted(self._reader, records, indices))
        metadata = MetadataColumns(self._shard.encode(), records) if self._has_metadata else None
        made, rejections = self._made(records, found.unsure)
        others: dict[int, str] = {}
        for table, rows in made.items():
            for index, key, time, log, *_ in zip(rows.indices, *rows.cells, strict=True):
                found.places.put_log(index, log, None if key is None else key.encode(), time)
                others[index] = table
        return {
            rows.table: Rows(rows.indices, (), rows.sizes, LogColumns(found.places, rows.indices, metadata))
            for rows in found.by_table(others)
        }, rejections

    def _made(self, records: Sequence[Record], indices: Sequence[int]) -> Made:
        tables: dict[str, Rows] = {}
        rejections: list[Rejection] = []
        for index, record, fields in fields_of(self._reader, records, indices, rejections):
            try:
                self._add(tables, index, record, fields)
            except BadRecord as error:
                rejections.append(Rejection(index, error.reason, str(error)))
        rejections.sort(key=lambda rejection: rejection.index)
        return tables, rejections

    def _add(self, tables: dict[str, Rows], index: int, record: Record, fields: Fields) -> None:
        """Raises BadRecord, and adds nothing then."""
        table = self._routes.find(fields.route_key)
        size = self._size(record, fields)
        if size > MAX_ROW_BYTES:
            fault = too_large(index, size)
            raise BadRecord(fault.reason, fault.detail)
        micros = micros_of(self._times.text(fields.route_time, record.arrival_ms))
        rows = tables.get(table)
        if rows is None:
            # numbers as numbers, a tenth of the memory of objects: rows wait for as long as a backend is slow
            beside: tuple[Any, ...] = ([], array("q")) if self._has_metadata else ()
            rows = tables[table] = Rows(array("I"), ([], array("q"), [], *beside), array("I"))
        cells: tuple[Any, ...] = (key_text(fields.key), micros, record.data)
        if self._has_metadata:
            cells = (*cells, str(record.position), record.arrival_ms)
        rows.add(index, cells, len(record.data) + ROW_OVERHEAD_BYTES + self._more_bytes)

    def _size(self, record: Record, fields: Fields) -> int:
        """What decides whether BigQuery takes the row. With metadata columns that is its size as JSON. Raises
        BadRecord."""
        if self._has_metadata and len(record.data) > _SURE_RECORD_BYTES:
            return ROW_OVERHEAD_BYTES + len(self._encoder.row(0, record, fields).text)
        return len(record.data) + ROW_OVERHEAD_BYTES
