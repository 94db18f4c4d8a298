"""From records to Arrow rows: which table, which cells, and which records make no row.

The verdict on a record depends on the rules and on the record alone, so that whoever reads it again counts alike.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from consumer.domain.dead_letters import Rejection
from consumer.domain.records import Record
from consumer.domain.routing import time_parser
from consumer.sinks.bigquery.storage_write.arrow import LogEncoder
from consumer.sinks.bigquery.storage_write.routes import BadRow, TableRoutes, key_text
from consumer.sinks.bigquery.storage_write.rules import Rules
from consumer.sinks.bigquery.times import OutOfRange, PartitionTimes
from consumer.sinks.payloads import RoutingReader

MAX_ROW_BYTES = 9_500_000
"""AppendRows takes requests under 10 MB. A constant, since the verdict on a record must not change with a setting."""

ROW_OVERHEAD_BYTES = 64


@dataclass(slots=True)
class Rows:
    """Rows of one table in shard order: `cells[c][i]` is column c of the row of record `indices[i]` of the chunk."""

    indices: list[int]
    cells: tuple[list[Any], ...]
    sizes: list[int]

    def part(self, start: int, stop: int) -> "Rows":
        return Rows(
            self.indices[start:stop],
            tuple(column[start:stop] for column in self.cells),
            self.sizes[start:stop],
        )

    def without(self, places: set[int]) -> "Rows":
        kept = [place for place in range(len(self.indices)) if place not in places]
        return Rows(
            [self.indices[place] for place in kept],
            tuple([column[place] for place in kept] for column in self.cells),
            [self.sizes[place] for place in kept],
        )

    def parts(self, max_bytes: int) -> Iterator["Rows"]:
        """Contiguous parts of at most so many bytes, or of one row."""
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

    def batch(self, rows: Rows) -> bytes:
        """A record batch of the schema, in Arrow's IPC format."""


def too_large(index: int, size: int) -> Rejection:
    return Rejection(index, "too_large", f"a row of {size} bytes; BigQuery takes {MAX_ROW_BYTES}")


class LogRows:
    """`row = log` without metadata columns: the key, the time, and the whole record as text for a JSON column."""

    def __init__(self, rules: Rules) -> None:
        time_format = rules.text("record.time_format")
        self._reader = RoutingReader(
            key_field=rules.text("record.key_field"), time_field=rules.text("record.time_field")
        )
        self._times = PartitionTimes(time_parser(time_format), iso8601=time_format == "iso8601")
        self._routes = TableRoutes(rules)
        self._encoder = LogEncoder(
            key_column=rules.text("record.key_field"), time_column=rules.text("bigquery.partition_field")
        )

    @property
    def schema(self) -> bytes:
        return self._encoder.schema

    def make(self, records: Sequence[Record], indices: Sequence[int]) -> Made:
        chosen = [records[index] for index in indices]
        routings, unread = self._reader.read([record.data for record in chosen])
        rejections = [dataclasses.replace(one, index=indices[one.index]) for one in unread]
        tables: dict[str, Rows] = {}
        table_of, own_time, arrival_time = self._routes.find, self._times.own_time, self._times.arrival_time
        for index, record, routing in zip(indices, chosen, routings, strict=True):
            if routing is None:
                continue
            key, data = routing.key, record.data
            try:
                table = table_of(key)
                time = own_time(routing.time, record.arrival_ms) or arrival_time(record.arrival_ms)
                cell = key_text(key)
            except BadRow as error:
                rejections.append(Rejection(index, error.reason, str(error)))
                continue
            except OutOfRange as error:
                rejections.append(Rejection(index, "time_out_of_range", str(error)))
                continue
            size = len(data) + ROW_OVERHEAD_BYTES
            if size > MAX_ROW_BYTES:
                rejections.append(too_large(index, size))
                continue
            rows = tables.get(table)
            if rows is None:
                rows = tables[table] = Rows([], ([], [], []), [])
            keys, times, logs = rows.cells
            rows.indices.append(index)
            rows.sizes.append(size)
            keys.append(cell)
            times.append(time)
            logs.append(data)
        return tables, rejections

    def batch(self, rows: Rows) -> bytes:
        return self._encoder.batch(*rows.cells)
