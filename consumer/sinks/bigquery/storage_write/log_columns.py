"""Rows of `row = log` by the C library: found in the text of their chunk, and copied out of it as they are sent."""

import ctypes
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from consumer.domain.records import Records
from consumer.domain.routing import table_names
from consumer.native import library
from consumer.sinks.bigquery.storage_write.arrow import log_batch_head
from consumer.sinks.bigquery.times import PartitionTimes

_DAY_MS = 86_400_000
_LARGEST_OFFSET = 2**31 - 1


class LogFinder:
    """Finds the rows of records that the C library is sure of."""

    def __init__(
        self,
        native: Any,
        *,
        key_field: str,
        time_field: str,
        table_prefix: str,
        key_digits: int,
        max_row_bytes: int,
        row_overhead_bytes: int,
        times: PartitionTimes,
    ) -> None:
        """`times` are in ISO 8601; a row's bytes are those of its payload and the overhead."""
        self._native = native
        self._row_overhead_bytes = row_overhead_bytes
        self._tables = table_names(table_prefix, key_digits)
        self._times = times
        self._texts: list[Any] = []
        self._rules = library.RowRules(
            key_name=self._span(key_field.encode()),
            time_name=self._span(time_field.encode()),
            key_digits=key_digits,
            max_bytes=max_row_bytes - row_overhead_bytes,
            arrival_day=-1,
        )

    def find(
        self, records: Records, indices: Sequence[int]
    ) -> "dict[str, tuple[LogColumns, array[int]]] | None":
        """By table, each table's in the order of the indices, which grow; and how many bytes each row has. None where
        a single record needs to be looked at by somebody else."""
        if not indices:
            return {}
        chosen = array("I", indices)
        count = len(chosen)
        tables = bytearray(count)
        ordered, sizes, counts = (array("I", bytes(4 * size)) for size in (count, count, library.MOST_TABLES))
        choice = library.RowChoice(
            indices=library.address(chosen),
            count=count,
            tables=library.address(tables),
            sorted=library.address(ordered),
            sizes=library.address(sizes),
            counts=library.address(counts),
            bytes_beside=self._row_overhead_bytes,
        )
        places = _Places(records)
        if not self._are_found(records, choice, places.for_c()):
            return None
        self._native.sort_rows(choice, places.for_c())
        by_table = {}
        begin = 0
        for table, rows in zip(self._tables, counts, strict=False):
            if rows:
                end = begin + rows
                by_table[table] = LogColumns(places, ordered[begin:end]), sizes[begin:end]
                begin = end
        return by_table

    def _are_found(self, records: Records, choice: Any, found: Any) -> bool:
        cursor = library.ChoiceCursor()
        first = 0
        for part in records.parts:
            columns = library.columns_of(part)
            cursor.index = cursor.text_offset = 0
            while True:
                result = self._native.find_rows(self._rules, columns, first, choice, found, cursor)
                if result == library.FOUND:
                    break
                if result == library.NOT_SURE:
                    return False
                self._set_day(part.arrivals[cursor.index])
            first += len(part)
        return bool(cursor.place == choice.count)

    def _set_day(self, arrival_ms: int) -> None:
        oldest, newest = self._times.bounds(arrival_ms)
        self._rules.arrival_day = arrival_ms // _DAY_MS
        self._rules.oldest_day[:] = oldest.encode()
        self._rules.newest_day[:] = newest.encode()

    def _span(self, text: bytes) -> library.Span:
        kept = ctypes.create_string_buffer(text, len(text) or 1)
        self._texts.append(kept)
        return library.Span(ctypes.addressof(kept), len(text))


class _Places:
    """Where the rows of records are: 28 bytes for each record, and the memory that they are in."""

    def __init__(self, records: Records) -> None:
        count = len(records)
        # nobody can resize what is looked at
        self._texts = [memoryview(part.text) for part in records.parts]
        self._payloads, self._times_us = array("Q", bytes(8 * count)), array("q", bytes(8 * count))
        self._sizes, self._key_offsets, self._key_sizes = (array("I", bytes(4 * count)) for _ in range(3))

    def for_c(self) -> library.RowPlaces:
        return library.RowPlaces(
            payloads=library.address(self._payloads),
            sizes=library.address(self._sizes),
            key_offsets=library.address(self._key_offsets),
            key_sizes=library.address(self._key_sizes),
            times_us=library.address(self._times_us),
        )


@dataclass(frozen=True, slots=True)
class LogColumns:
    """Rows of one table by the indices of their records."""

    places: _Places
    indices: "array[int]"

    def slice(self, offset: int, length: int) -> "LogColumns":
        return LogColumns(self.places, self.indices[offset : offset + length])

    def take(self, places: Sequence[int]) -> "LogColumns":
        return LogColumns(self.places, array("I", [self.indices[place] for place in places]))

    def batch(self) -> "LogBatch":
        return LogBatch(self.places, self.indices)


class LogBatch:
    """A record batch that is written when it is asked for."""

    def __init__(self, places: _Places, indices: "array[int]") -> None:
        native = library.load()
        assert native is not None, "it has found the rows"
        self._write = native.write_columns
        self._kept = places, indices
        sizes = library.ColumnSizes()
        self._rows = (places.for_c(), library.address(indices), len(indices), sizes)
        native.measure_columns(*self._rows)
        if max(sizes.key_bytes, sizes.log_bytes) > _LARGEST_OFFSET:
            raise OverflowError("more bytes than one batch can have")
        self._head, body_bytes = log_batch_head(
            rows=len(indices),
            missing_keys=sizes.missing_keys,
            key_bytes=sizes.key_bytes,
            log_bytes=sizes.log_bytes,
        )
        self.size = len(self._head) + body_bytes

    def behind(self, head: bytes) -> bytes:
        before = head + self._head
        whole, begin = library.new_bytes(len(head) + self.size)
        ctypes.memmove(begin, before, len(before))
        self._write(*self._rows, begin + len(before))
        return whole
