"""`row = fields` by the C library, where it knows the types of all columns.

Records that it is not sure of are made rows as for the other methods, and written anew so that it is; where that cannot
be done for one of them, all rows of the chunk go the way of TypedRows. Rows and rejections are the same each way.
"""

import datetime
import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import msgspec

from consumer.domain.columns import Records
from consumer.domain.dead_letters import Rejection
from consumer.domain.records import Record
from consumer.domain.unread_times import Unread
from consumer.native import library
from consumer.settings.columns import row_columns
from consumer.settings.schema import METADATA_COLUMNS, Column
from consumer.sinks.bigquery.arrow_rows import arrow
from consumer.sinks.bigquery.arrow_rows.finder import RowFinder
from consumer.sinks.bigquery.arrow_rows.log_rows import (
    MAX_RECORD_BYTES,
    MAX_ROW_BYTES,
    ROW_OVERHEAD_BYTES,
    Made,
    RowMaker,
    Rows,
    too_large,
)
from consumer.sinks.bigquery.arrow_rows.metadata_columns import (
    MOST_JSON_BYTES,
    MetadataColumns,
    row_bytes,
)
from consumer.sinks.bigquery.arrow_rows.reader import BadCells, RowReader, rounded
from consumer.sinks.bigquery.arrow_rows.rules import Rules
from consumer.sinks.bigquery.arrow_rows.typed_columns import TypedColumns, TypedSchema, can_be_written
from consumer.sinks.bigquery.rows.build import row_encoder, times_of
from consumer.sinks.bigquery.rows.shapes import LINES

_encode = msgspec.json.Encoder().encode


class FieldsRows:
    """Made by `of`."""

    @classmethod
    def of(cls, rules: Rules, *, shard: str) -> "FieldsRows | None":
        """None where rows need more than the C library can do, or where there is none."""
        native = library.load()
        if native is None or rules.text("bigquery.row") != "fields":
            return None
        encoder = row_encoder(rules, rules.columns, stream="", shard=shard, wrapping=LINES)
        columns = row_columns(rules, rules.columns)
        if rules.flag("bigquery.metadata_columns"):
            columns = columns[: -len(METADATA_COLUMNS)]
        time_column = rules.text("bigquery.partition_field")
        if not encoder.is_the_record() or not can_be_written(columns, time_column=time_column):
            return None
        return cls(native, rules, columns, shard=shard)

    def __init__(self, native: Any, rules: Rules, columns: tuple[Column, ...], *, shard: str) -> None:
        """`columns` are those that come from the records."""
        self._native = native
        self._rules, self._shard = rules, shard
        self._encoder = row_encoder(
            rules, rules.columns, stream="", shard=shard, wrapping=LINES, max_record_bytes=MAX_RECORD_BYTES
        )
        unknown = rules.text("bigquery.unknown_fields")
        whole_row = row_columns(rules, rules.columns)
        self.schema = arrow.schema_of(whole_row)
        self._reader = RowReader(whole_row, refuse_unknown=unknown == "reject")
        self._has_metadata = rules.flag("bigquery.metadata_columns")
        self._schema = TypedSchema(
            native,
            columns,
            key_field=rules.text("record.key_field"),
            time_column=rules.text("bigquery.partition_field"),
            takes_unknown=unknown != "reject",
            overflow_column=rules.text("bigquery.overflow_column") if unknown == "overflow" else "",
        )
        self._plain = [(column.name, _plain(column)) for column in columns]
        self._finder = RowFinder(
            native,
            key_field=rules.text("record.key_field"),
            time_field=rules.text("record.time_field"),
            table_prefix=rules.text("bigquery.table_prefix"),
            key_digits=rules.integer("bigquery.key_digits"),
            max_row_bytes=MAX_ROW_BYTES - (MOST_JSON_BYTES if self._has_metadata else 0),
            row_overhead_bytes=ROW_OVERHEAD_BYTES,
            times=times_of(rules),
            schema=self._schema.for_c,
            cells_bytes=arrow.cells_bytes(columns) + (row_bytes(shard) if self._has_metadata else 0),
        )
        self._unread: Unread | None = None

    @cached_property
    def _others(self) -> RowMaker:
        # pyarrow takes memory that most processes can do without
        from consumer.sinks.bigquery.arrow_rows.typed_rows import TypedRows

        return TypedRows(self._rules, shard=self._shard)

    def make(self, records: Sequence[Record], indices: Sequence[int]) -> Made:
        made = self._found(records, indices)
        self._unread = self._encoder.unread.take()
        if made is None:
            made = self._others.make(records, indices)
            self._unread = self._others.take_unread()
        return made

    def take_unread(self) -> Unread | None:
        unread, self._unread = self._unread, None
        return unread

    def batch(self, rows: Rows) -> arrow.Batch:
        if isinstance(rows.columns, TypedColumns):
            return rows.columns.batch()
        return self._others.batch(rows)

    def _found(self, records: Sequence[Record], indices: Sequence[int]) -> Made | None:
        """None where a row has to be made in another way, since rows of one table are all alike."""
        if not isinstance(records, Records):
            return None
        if not indices:
            return {}, []
        found = self._finder.find(records, indices, doubted=self._encoder.rerouted(records, indices))
        metadata = MetadataColumns(self._shard.encode(), records) if self._has_metadata else None
        others, rejections = self._made_anew(records, found.unsure)
        if others is None:
            return None
        for index, (_, text, array_bytes) in others.items():
            found.places.put(index, text, array_bytes)
        return {
            rows.table: Rows(
                rows.indices,
                (),
                rows.sizes,
                TypedColumns(
                    self._schema, self._finder.rules, found.places, rows.indices, rows.layout, metadata
                ),
            )
            for rows in found.by_table({index: table for index, (table, *_) in others.items()})
        }, rejections

    def _made_anew(
        self, records: Sequence[Record], indices: Sequence[int]
    ) -> tuple[dict[int, tuple[str, bytes, int]] | None, list[Rejection]]:
        """For each index its row's table, a text that the C library is sure of, and what it says of that; None where
        there is none."""
        rejections: list[Rejection] = []
        anew: dict[int, tuple[str, bytes, int]] = {}
        for row in self._encoder.rows(records, indices, rejections):
            size = len(row.text) + ROW_OVERHEAD_BYTES
            if size > MAX_ROW_BYTES:
                rejections.append(too_large(row.index, size))
                continue
            try:
                text = self._written_anew(row.text)
            except BadCells as error:
                rejections.append(Rejection(row.index, error.reason, str(error)))
                continue
            array_bytes = self._native.array_bytes_of(text, len(text), self._schema.for_c, self._finder.rules)
            if array_bytes == library.NO_ROW:
                return None, []
            anew[row.index] = row.table, text, array_bytes
        return anew, rejections

    def _written_anew(self, row: bytes) -> bytes:
        """Raises BadCells."""
        cells = msgspec.structs.astuple(self._reader.read(row))
        try:
            # what is missing is null: to say so would take many times the bytes of a small record
            plain = {
                name: value
                for (name, convert), cell in zip(self._plain, cells, strict=False)  # without metadata
                if cell is not None and (value := convert(cell)) is not None
            }
        except (ArithmeticError, ValueError) as error:
            raise BadCells(str(error)) from None
        return _encode(plain) + b"\n"


def _plain(column: Column) -> Callable[[Any], Any]:
    """From what the reader gives to what JSON has."""
    single = _single_plain(column)
    return (lambda values: list(map(single, values))) if column.mode == "REPEATED" else single


def _single_plain(column: Column) -> Callable[[Any], Any]:
    if column.type == "NUMERIC":
        return lambda value: rounded(value, column.type)
    if column.type == "TIMESTAMP":
        return lambda value: value.astimezone(datetime.UTC)
    if column.type == "JSON":
        return lambda value: None if bytes(value) == b"null" else value
    return _float if column.type == "FLOAT" else lambda value: value


def _float(value: float) -> float | str:
    """JSON has no numbers for some; the C library knows their names."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
