"""Rows of columns with types: `row = fields`, and whatever has metadata columns.

Records become JSON rows as for the other methods, and those become Arrow by the columns of the tables.
"""

from array import array
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from consumer.domain.columns import PART_RECORDS
from consumer.domain.dead_letters import Rejection
from consumer.domain.records import Record
from consumer.domain.unread_times import Unread
from consumer.settings.columns import row_columns
from consumer.sinks.bigquery.arrow_rows.arrow import Batch, Pieces, cells_bytes
from consumer.sinks.bigquery.arrow_rows.cells import ArrowWriter, joined, serialized
from consumer.sinks.bigquery.arrow_rows.log_rows import (
    MAX_RECORD_BYTES,
    MAX_ROW_BYTES,
    ROW_OVERHEAD_BYTES,
    Made,
    Rows,
    too_large,
)
from consumer.sinks.bigquery.arrow_rows.reader import BadCells, RowReader
from consumer.sinks.bigquery.arrow_rows.rules import Rules
from consumer.sinks.bigquery.rows.build import row_encoder
from consumer.sinks.bigquery.rows.encoder import TableRows
from consumer.sinks.bigquery.rows.reading import SLICE_BYTES
from consumer.sinks.bigquery.rows.shapes import LINES


class TypedRows:
    """Their cells are Arrow's already, since that is how a row is found not to fit."""

    def __init__(self, rules: Rules, *, shard: str) -> None:
        self._encoder = row_encoder(
            rules, rules.columns, stream="", shard=shard, wrapping=LINES, max_record_bytes=MAX_RECORD_BYTES
        )
        columns = row_columns(rules, rules.columns)
        self._reader = RowReader(columns, refuse_unknown=rules.text("bigquery.unknown_fields") == "reject")
        self._writer = ArrowWriter(columns)
        self._cells_bytes = cells_bytes(columns)

    @property
    def schema(self) -> bytes:
        return self._writer.schema

    def make(self, records: Sequence[Record], indices: Sequence[int]) -> Made:
        rejections: list[Rejection] = []
        tables: dict[str, _Table] = defaultdict(_Table)
        for row in self._encoder.rows(records, indices, rejections):
            table = tables[row.table]
            table.waiting.indices.append(row.index)
            table.waiting.rows.append(row.text)
            table.waiting_bytes += len(row.text)
            if len(table.waiting.rows) >= PART_RECORDS or table.waiting_bytes >= SLICE_BYTES:
                self._take(table, rejections)
        for table in tables.values():
            self._take(table, rejections)
        rejections.sort(key=lambda rejection: rejection.index)
        return {name: table.rows() for name, table in tables.items() if table.batches}, rejections

    def take_unread(self) -> Unread | None:
        return self._encoder.unread.take()

    def batch(self, rows: Rows) -> Batch:
        columns: Any = rows.columns
        return Pieces(serialized(columns))

    def _take(self, table: "_Table", rejections: list[Rejection]) -> None:
        """Make Arrow of the rows that wait; those that do not fit the columns are rejections."""
        if not table.waiting.rows:
            return
        good, columns = self._fitting(table.waiting, rejections)
        if good.rows:
            sizes = [len(row) + ROW_OVERHEAD_BYTES + self._cells_bytes for row in good.rows]
            # values of arrays may take more than their text
            more = max(0, columns.nbytes - sum(sizes)) // len(sizes)
            table.indices.extend(good.indices)
            table.sizes.extend([size + more for size in sizes])
            table.batches.append(columns)
        table.waiting, table.waiting_bytes = TableRows(), 0

    def _fitting(self, rows: TableRows, rejections: list[Rejection]) -> tuple[TableRows, Any]:
        if max(map(len, rows.rows)) <= MAX_RECORD_BYTES:
            try:
                return rows, self._columns(rows.rows)
            except BadCells:  # one at least: which?
                pass
        good = TableRows()
        for index, row in zip(rows.indices, rows.rows, strict=True):
            size = len(row) + ROW_OVERHEAD_BYTES
            if size > MAX_ROW_BYTES:
                rejections.append(too_large(index, size))
                continue
            try:
                self._columns([row])
            except BadCells as error:
                rejections.append(Rejection(index, error.reason, str(error)))
                continue
            good.indices.append(index)
            good.rows.append(row)
        return good, self._columns(good.rows)

    def _columns(self, rows: Sequence[bytes]) -> Any:
        """Raises BadCells."""
        return self._writer.batch(list(map(self._reader.read, rows)))


@dataclass(slots=True)
class _Table:
    """Its rows so far. Before they are Arrow they take ten times as much memory, and so only some hundred are."""

    indices: "array[int]" = field(default_factory=lambda: array("I"))
    sizes: "array[int]" = field(default_factory=lambda: array("I"))
    batches: list[Any] = field(default_factory=list)
    waiting: TableRows = field(default_factory=TableRows)
    waiting_bytes: int = 0

    def rows(self) -> Rows:
        return Rows(self.indices, (), self.sizes, joined(self.batches))
