"""Rows of columns with types by the C library: places in the text of their chunk, and Arrow as they are sent."""

from array import array
from collections.abc import Sequence
from ctypes import Array, c_uint16
from dataclasses import dataclass
from typing import Any

from consumer.native import library
from consumer.settings.schema import Column
from consumer.sinks.bigquery.arrow_rows.arrow import CELL_BYTES, LARGEST_OFFSET, batch_head
from consumer.sinks.bigquery.arrow_rows.finder import Places
from consumer.sinks.bigquery.arrow_rows.metadata_columns import MetadataBuffers, MetadataColumns

_TYPES = {name: number for number, name in enumerate(library.COLUMN_TYPES)} | {"STRING": 0, "GEOGRAPHY": 0}
_TEXTS = frozenset(("STRING", "GEOGRAPHY", "JSON"))

_VALUE_WEIGHT = 4
"""Where requests are cut, a value in an array counts for more than it takes. It may take eight times the memory of its
text (`0,` in a NUMERIC column), of which the footprint knows nothing, and a request to each table may be under way."""


def can_be_written(columns: Sequence[Column], *, time_column: str) -> bool:
    """Whether the C library can write columns of these types, one of which takes the time."""
    return len(columns) <= library.MOST_COLUMNS and (
        any(
            column.name == time_column and column.type == "TIMESTAMP" and column.mode != "REPEATED"
            for column in columns
        )
        # null in an array of JSON is a value
        and all(
            column.type in _TYPES and (column.type, column.mode) != ("JSON", "REPEATED") for column in columns
        )
    )


class TypedSchema:
    """Columns as the C library reads them."""

    def __init__(
        self,
        native: Any,
        columns: Sequence[Column],
        *,
        key_field: str,
        time_column: str,
        takes_unknown: bool,
        overflow_column: str = "",
    ) -> None:
        self.columns = columns
        names = [column.name for column in columns]
        self._texts = library.Texts()
        self._described = (library.TypedColumn * len(columns))(*map(self._column, columns))
        self._slots = (c_uint16 * library.COLUMN_SLOTS)()
        self.for_c = library.RowSchema(
            columns=self._described,
            count=len(columns),
            time_column=names.index(time_column),
            key_column=names.index(key_field) if key_field in names else -1,
            overflow_column=names.index(overflow_column) if overflow_column else -1,
            takes_unknown=takes_unknown,
            slots=self._slots,
        )
        native.index_columns(self.for_c)

    def _column(self, column: Column) -> library.TypedColumn:
        return library.TypedColumn(
            name=self._texts.span(column.name.encode()),
            quoted=self._texts.span(f'"{column.name}":'.encode(), slack=library.QUOTED_SLACK),
            lower=self._texts.span(column.name.lower().encode()),
            type=_TYPES[column.type],
            is_required=column.mode == "REQUIRED",
            value_bytes=_VALUE_WEIGHT * CELL_BYTES[column.type] if column.mode == "REPEATED" else 0,
        )


@dataclass(frozen=True, slots=True)
class TypedColumns:
    """Rows of one table by the indices of their records; `rules` are those that they were found by, and `layout` is
    what was measured of their columns then."""

    schema: TypedSchema
    rules: library.RowRules
    places: Places
    indices: "array[int]"
    layout: "Array[library.TypedLayout] | None" = None
    metadata: MetadataColumns | None = None

    def slice(self, offset: int, length: int) -> "TypedColumns":
        return self._of(self.indices[offset : offset + length])

    def take(self, places: Sequence[int]) -> "TypedColumns":
        return self._of(array("I", [self.indices[place] for place in places]))

    def batch(self) -> "TypedBatch":
        return TypedBatch(self)

    def _of(self, indices: "array[int]") -> "TypedColumns":
        return TypedColumns(self.schema, self.rules, self.places, indices, metadata=self.metadata)


class TypedBatch:
    """A record batch that is written when it is asked for."""

    def __init__(self, rows: TypedColumns) -> None:
        native = library.load()
        assert native is not None, "it has found the rows"
        self._write = native.write_typed
        self._kept = rows
        count, columns = len(rows.indices), rows.schema.columns
        measured = rows.layout
        kind = library.TypedLayout * len(columns)
        layout = kind() if measured is None else kind.from_buffer_copy(measured)
        self._rows = (
            rows.schema.for_c,
            rows.rules,
            rows.places.for_c(),
            library.address(rows.indices),
            count,
            layout,
        )
        if measured is None:
            native.measure_typed(*self._rows)
        if max(max(each.text_bytes, each.array_values) for each in layout) > LARGEST_OFFSET:
            raise OverflowError("more bytes than one batch can have")
        nodes: list[tuple[int, int]] = []
        buffers: list[int] = []
        for column, each in zip(columns, layout, strict=True):
            if column.mode == "REPEATED":
                nodes += [(count, 0), (each.array_values, 0)]
                buffers += [0, 4 * (count + 1), *_buffers(column, each, each.array_values)]
            else:
                nodes.append((count, each.nulls))
                buffers += _buffers(column, each, count)
        metadata = MetadataBuffers() if rows.metadata is None else rows.metadata.buffers(rows.indices)
        nodes += [(count, nulls) for nulls in metadata.nulls]
        head, begins, body_bytes = batch_head(count, nodes, [*buffers, *metadata.sizes])
        self._head, self._metadata = head, metadata.body
        self._own_bytes = body_bytes - len(metadata.body)
        begin = iter(begins)
        for column, each in zip(columns, layout, strict=True):
            each.validity = next(begin)
            if column.mode == "REPEATED":
                each.arrays, _ = next(begin), next(begin)
            if column.type in _TEXTS:
                each.offsets = next(begin)
            each.values = next(begin)
        self.size = len(head) + body_bytes

    def serialize_after(self, head: bytes) -> bytes:
        before = head + self._head
        whole, begin = library.new_bytes(len(head) + self.size)
        library.copy(begin, before)
        self._write(*self._rows, self._own_bytes, begin + len(before))
        library.copy(begin + len(whole) - len(self._metadata), self._metadata)
        return whole


def _buffers(column: Column, layout: Any, values: int) -> list[int]:
    """Their sizes in bytes."""
    bits = (values + 7) // 8
    validity = bits if layout.nulls else 0
    if column.type in _TEXTS:
        return [validity, 4 * (values + 1), layout.text_bytes]
    if column.type == "BOOLEAN":
        return [validity, bits]
    return [validity, CELL_BYTES[column.type] * values]
