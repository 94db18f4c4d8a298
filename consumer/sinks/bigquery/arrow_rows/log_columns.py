"""Rows of `row = log`: places in the text of their chunk, copied out of it as they are sent."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from consumer.native import library
from consumer.sinks.bigquery.arrow_rows.arrow import LARGEST_OFFSET, log_batch_head
from consumer.sinks.bigquery.arrow_rows.finder import Places
from consumer.sinks.bigquery.arrow_rows.metadata_columns import MetadataBuffers, MetadataColumns


@dataclass(frozen=True, slots=True)
class LogColumns:
    """Rows of one table by the indices of their records."""

    places: Places
    indices: "array[int]"
    metadata: MetadataColumns | None = None

    def slice(self, offset: int, length: int) -> "LogColumns":
        return LogColumns(self.places, self.indices[offset : offset + length], self.metadata)

    def take(self, places: Sequence[int]) -> "LogColumns":
        return LogColumns(self.places, array("I", [self.indices[place] for place in places]), self.metadata)

    def batch(self) -> "LogBatch":
        metadata = MetadataBuffers() if self.metadata is None else self.metadata.buffers(self.indices)
        return LogBatch(self.places, self.indices, metadata)


class LogBatch:
    """A record batch that is written when it is asked for."""

    def __init__(self, places: Places, indices: "array[int]", metadata: MetadataBuffers) -> None:
        native = library.load()
        assert native is not None, "it has found the rows"
        self._write = native.write_columns
        self._kept = places, indices
        self._metadata = metadata.body
        sizes = library.ColumnSizes()
        self._rows = (places.for_c(), library.address(indices), len(indices), sizes)
        native.measure_columns(*self._rows)
        if max(sizes.key_bytes, sizes.log_bytes) > LARGEST_OFFSET:
            raise OverflowError("more bytes than one batch can have")
        self._head, body_bytes = log_batch_head(
            rows=len(indices),
            missing_keys=sizes.missing_keys,
            key_bytes=sizes.key_bytes,
            log_bytes=sizes.log_bytes,
            more_nulls=metadata.nulls,
            more_buffers=metadata.sizes,
        )
        self.size = len(self._head) + body_bytes

    def serialize_after(self, head: bytes) -> bytes:
        before = head + self._head
        whole, begin = library.new_bytes(len(head) + self.size)
        library.copy(begin, before)
        self._write(*self._rows, begin + len(before))
        library.copy(begin + len(whole) - len(self._metadata), self._metadata)
        return whole
