"""From records to Arrow rows: which table, which cells, and which records make no row.

The verdict on a record depends on the rules and on the record alone, so that whoever reads it again counts alike.
"""

import dataclasses
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from consumer.domain.columns import Records
from consumer.domain.dead_letters import Rejection
from consumer.domain.records import Record
from consumer.domain.routing import time_parser
from consumer.native import library
from consumer.sinks.bigquery.rows.shapes import key_text
from consumer.sinks.bigquery.rows.slices import picked, records_at, slices_of
from consumer.sinks.bigquery.rows.times import OutOfRange, PartitionTimes
from consumer.sinks.bigquery.storage_write.rows.arrow import Batch, log_batch, log_schema, micros_of
from consumer.sinks.bigquery.storage_write.rows.finder import RowFinder
from consumer.sinks.bigquery.storage_write.rows.log_columns import LogColumns
from consumer.sinks.bigquery.storage_write.rows.routes import BadRow, TableRoutes
from consumer.sinks.bigquery.storage_write.rows.rules import Rules
from consumer.sinks.json.fields import FieldReader, Fields
from consumer.sinks.json.rule import BIGQUERY

MAX_ROW_BYTES = 9_500_000
"""AppendRows takes requests under 10 MB. A constant, since the verdict on a record must not change with a setting."""

ROW_OVERHEAD_BYTES = 64
MAX_RECORD_BYTES = MAX_ROW_BYTES - ROW_OVERHEAD_BYTES


class Columns(Protocol):
    """The cells of rows, as Arrow's record batch has them or as LogColumns has."""

    def slice(self, offset: int, length: int, /) -> "Columns": ...
    def take(self, places: list[int], /) -> "Columns": ...


@dataclass(slots=True)
class Rows:
    """Rows of one table in shard order: `cells[c][i]` is column c of the row of record `indices[i]` of the chunk, or
    `columns` hold them all."""

    indices: "array[int]"
    cells: tuple[Any, ...]
    sizes: "array[int]"
    columns: Columns | None = None

    def extend(
        self,
        places: Sequence[int],
        indices: Sequence[int],
        cells: Sequence[Sequence[Any]],
        sizes: Sequence[int],
    ) -> None:
        """Add the rows at some places of others."""
        self.indices.extend(picked(indices, places))
        self.sizes.extend(picked(sizes, places))
        for column, values in zip(self.cells, cells, strict=True):
            column.extend(picked(values, places))

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

    def batch(self, rows: Rows) -> Batch:
        """A record batch of the schema."""


def _at(column: Any, places: Sequence[int]) -> Any:
    """Of a column of numbers one of the same type."""
    chosen = [column[place] for place in places]
    return array(column.typecode, chosen) if isinstance(column, array) else chosen


def too_large(index: int, size: int) -> Rejection:
    return Rejection(index, "too_large", f"a row of {size} bytes; BigQuery takes {MAX_ROW_BYTES}")


class LogRows:
    """`row = log` without metadata columns: the key, the time, and the whole record as text for a JSON column."""

    def __init__(self, rules: Rules) -> None:
        key_field, time_field = rules.text("record.key_field"), rules.text("record.time_field")
        time_format = rules.text("record.time_format")
        self._reader = FieldReader(key_field=key_field, time_field=time_field, limits=BIGQUERY)
        self._times = PartitionTimes(time_parser(time_format), iso8601=time_format == "iso8601")
        self._routes = TableRoutes(rules)
        self._finder = _finder(rules, self._times)
        self.schema = log_schema(key_column=key_field, time_column=rules.text("bigquery.partition_field"))

    def make(self, records: Sequence[Record], indices: Sequence[int]) -> Made:
        return self._found(records, indices) or self._made(records, indices)

    def batch(self, rows: Rows) -> Batch:
        if isinstance(rows.columns, LogColumns):
            return rows.columns.batch()
        return log_batch(*rows.cells)

    def _found(self, records: Sequence[Record], indices: Sequence[int]) -> Made | None:
        """Rows that the C library finds, with those of the records that it is not sure of; None without it."""
        if self._finder is None or not isinstance(records, Records):
            return None
        if not indices:
            return {}, []
        found = self._finder.find(records, indices)
        made, rejections = self._made(records, found.unsure)
        others: dict[int, str] = {}
        for table, rows in made.items():
            for index, key, time, log in zip(rows.indices, *rows.cells, strict=True):
                found.places.put_log(index, log, None if key is None else key.encode(), time)
                others[index] = table
        return {
            rows.table: Rows(rows.indices, (), rows.sizes, LogColumns(found.places, rows.indices))
            for rows in found.by_table(others)
        }, rejections

    def _made(self, records: Sequence[Record], indices: Sequence[int]) -> Made:
        tables: dict[str, Rows] = {}
        rejections: list[Rejection] = []
        for some in slices_of(records, indices):
            self._judge(records, some, tables, rejections)
        rejections.sort(key=lambda rejection: rejection.index)
        return tables, rejections

    def _judge(
        self,
        records: Sequence[Record],
        indices: Sequence[int],
        tables: dict[str, Rows],
        rejections: list[Rejection],
    ) -> None:
        chosen = records_at(records, indices)
        routings, unread = self._reader.read([record.data for record in chosen])
        if not unread:
            try:
                self._take(chosen, indices, routings, tables)
            except (BadRow, OutOfRange):  # one at least: which, and what is to become of the others?
                pass
            else:
                return
        rejections += [dataclasses.replace(one, index=indices[one.index]) for one in unread]
        for index, record, routing in zip(indices, chosen, routings, strict=True):
            if routing is None:
                continue
            try:
                self._take([record], [index], [routing], tables)
            except BadRow as error:
                rejections.append(Rejection(index, error.reason, str(error)))
            except OutOfRange as error:
                rejections.append(Rejection(index, "time_out_of_range", str(error)))

    def _take(
        self,
        records: Sequence[Record],
        indices: Sequence[int],
        routings: Sequence[Fields],
        tables: dict[str, Rows],
    ) -> None:
        """Add the rows of all these records. Raises BadRow or OutOfRange, and adds nothing, where one makes none."""
        keys = [routing.key for routing in routings]
        names = self._routes.find_all(keys)
        times = self._times.texts(
            [routing.time for routing in routings], [record.arrival_ms for record in records]
        )
        # as numbers, which take a tenth of the memory of objects: rows wait for as long as a backend is slow
        micros = array("q", map(micros_of, times))
        cells = list(map(key_text, keys))
        logs = [record.data for record in records]
        sizes = [len(log) + ROW_OVERHEAD_BYTES for log in logs]
        if max(sizes) > MAX_ROW_BYTES:
            fault = too_large(0, max(sizes))
            raise BadRow(fault.reason, fault.detail)
        for name, places in _places(names).items():
            rows = tables.get(name)
            if rows is None:
                rows = tables[name] = Rows(array("I"), ([], array("q"), []), array("I"))
            rows.extend(places, indices, (cells, micros, logs), sizes)


def _finder(rules: Rules, times: PartitionTimes) -> RowFinder | None:
    """None where there is no C library, or times have a notation that it does not read."""
    native = library.load()
    if native is None or not times.is_iso8601:
        return None
    return RowFinder(
        native,
        key_field=rules.text("record.key_field"),
        time_field=rules.text("record.time_field"),
        table_prefix=rules.text("bigquery.table_prefix"),
        key_digits=rules.integer("bigquery.key_digits"),
        max_row_bytes=MAX_ROW_BYTES,
        row_overhead_bytes=ROW_OVERHEAD_BYTES,
        times=times,
    )


def _places(names: Sequence[str]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(names):
        places[name].append(place)
    return places
