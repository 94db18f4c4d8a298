"""Rows of columns with types: `row = fields`, and whatever has metadata columns.

Records become JSON rows as for the other methods, and those become Arrow by the columns of the tables.
"""

from collections.abc import Sequence
from typing import Any

from consumer.domain.dead_letters import Rejection
from consumer.domain.records import Record
from consumer.settings.columns import row_columns
from consumer.sinks.bigquery.encoders import row_encoder
from consumer.sinks.bigquery.rows import TableRows
from consumer.sinks.bigquery.shapes import LINES
from consumer.sinks.bigquery.storage_write.arrow import Batch, Pieces, cells_bytes
from consumer.sinks.bigquery.storage_write.cells import ArrowWriter
from consumer.sinks.bigquery.storage_write.row_reader import BadCells, RowReader
from consumer.sinks.bigquery.storage_write.rows import (
    MAX_RECORD_BYTES,
    MAX_ROW_BYTES,
    ROW_OVERHEAD_BYTES,
    Made,
    Rows,
    too_large,
)
from consumer.sinks.bigquery.storage_write.rules import Rules


class TypedRows:
    """Their cells are Arrow's already, since that is how a row is found not to fit."""

    def __init__(self, rules: Rules, *, shard: str) -> None:
        self._encoder = row_encoder(
            rules, rules.columns, stream="", shard=shard, wrapping=LINES, max_row_bytes=MAX_RECORD_BYTES
        )
        columns = row_columns(rules, rules.columns)
        self._reader = RowReader(columns, refuse_unknown=rules.text("bigquery.unknown_fields") == "reject")
        self._writer = ArrowWriter(columns)
        self._cells_bytes = cells_bytes(columns)

    @property
    def schema(self) -> bytes:
        return self._writer.schema

    def make(self, records: Sequence[Record], indices: Sequence[int]) -> Made:
        tables, rejections = self._encoder.encode(records, indices)
        made = {name: self._fitting(rows, rejections) for name, rows in tables.items()}
        return {name: rows for name, rows in made.items() if rows.indices}, rejections

    def batch(self, rows: Rows) -> Batch:
        columns: Any = rows.columns
        return Pieces(columns.serialize())

    def _fitting(self, rows: TableRows, rejections: list[Rejection]) -> Rows:
        """The rows without those that do not fit the columns, which are rejections."""
        sizes = [len(row) + ROW_OVERHEAD_BYTES for row in rows.rows]
        if max(sizes) <= MAX_ROW_BYTES:
            try:
                columns = self._columns(rows.rows)
                return Rows(rows.indices, (), [size + self._cells_bytes for size in sizes], columns)
            except BadCells:  # one at least: which?
                pass
        kept = Rows([], (), [])
        good: list[bytes] = []
        for index, row, size in zip(rows.indices, rows.rows, sizes, strict=True):
            if size > MAX_ROW_BYTES:
                rejections.append(too_large(index, size))
                continue
            try:
                self._columns([row])
            except BadCells as error:
                rejections.append(Rejection(index, error.reason, str(error)))
                continue
            good.append(row)
            kept.indices.append(index)
            kept.sizes.append(size + self._cells_bytes)
        kept.columns = self._columns(good)
        return kept

    def _columns(self, rows: Sequence[bytes]) -> Any:
        """Raises BadCells."""
        return self._writer.batch(list(map(self._reader.read, rows)))
