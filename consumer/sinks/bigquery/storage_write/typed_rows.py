"""Rows of columns with types: `row = fields`, and whatever has metadata columns.

Records become JSON rows as for the other methods, and those become Arrow by the columns of the tables.
"""

from collections.abc import Buffer, Sequence
from typing import Any

from consumer.domain.dead_letters import Rejection
from consumer.domain.records import Record
from consumer.settings.columns import row_columns
from consumer.sinks.bigquery.encoders import row_encoder
from consumer.sinks.bigquery.rows import TableRows
from consumer.sinks.bigquery.shapes import LINES
from consumer.sinks.bigquery.storage_write.cells import ArrowWriter, BadCells, RowReader
from consumer.sinks.bigquery.storage_write.rows import (
    MAX_ROW_BYTES,
    ROW_OVERHEAD_BYTES,
    Made,
    Rows,
    too_large,
)
from consumer.sinks.bigquery.storage_write.rules import Rules


class TypedRows:
    """Their only cells are the rows in JSON: what they become in Arrow is made when it is sent."""

    def __init__(self, rules: Rules, *, shard: str) -> None:
        self._encoder = row_encoder(rules, rules.columns, stream="", shard=shard, wrapping=LINES)
        columns = row_columns(rules, rules.columns)
        self._reader = RowReader(columns, refuse_unknown=rules.text("bigquery.unknown_fields") == "reject")
        self._writer = ArrowWriter(columns)

    @property
    def schema(self) -> bytes:
        return self._writer.schema

    def make(self, records: Sequence[Record], indices: Sequence[int]) -> Made:
        tables, rejections = self._encoder.encode(records, indices)
        made = {name: self._fitting(rows, rejections) for name, rows in tables.items()}
        return {name: rows for name, rows in made.items() if rows.indices}, rejections

    def batch(self, rows: Rows) -> Buffer:
        return self._writer.serialized(list(map(self._reader.read, rows.cells[0])))

    def _fitting(self, rows: TableRows, rejections: list[Rejection]) -> Rows:
        """The rows without those that do not fit the columns, which are rejections."""
        sizes = [len(row) + ROW_OVERHEAD_BYTES for row in rows.rows]
        if max(sizes) <= MAX_ROW_BYTES and self._fault(rows.rows) is None:
            return Rows(rows.indices, (rows.rows,), sizes)
        kept = Rows([], ([],), [])
        for index, row, size in zip(rows.indices, rows.rows, sizes, strict=True):
            fault: Any = None
            if size > MAX_ROW_BYTES:
                rejections.append(too_large(index, size))
            elif (fault := self._fault([row])) is not None:
                rejections.append(Rejection(index, "rejected", fault))
            else:
                kept.indices.append(index)
                kept.cells[0].append(row)
                kept.sizes.append(size)
        return kept

    def _fault(self, rows: Sequence[bytes]) -> str | None:
        try:
            self._writer.batch(list(map(self._reader.read, rows)))
        except BadCells as error:
            return str(error)
        return None
