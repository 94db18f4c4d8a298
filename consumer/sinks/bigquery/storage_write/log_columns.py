"""Rows of `row = log` by the C library: found in the text of their chunk, and copied out of it as they are sent."""

import ctypes
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from consumer.domain.columns import Records
from consumer.domain.routing import table_names
from consumer.native import library
from consumer.sinks.bigquery.storage_write.arrow import log_batch_head
from consumer.sinks.bigquery.times import PartitionTimes

_LARGEST_OFFSET = 2**31 - 1
_FEW = 50
"""Unsure records, and the part of all that may be so beside them: it costs a call for each to go on behind it."""


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
        self._texts = library.Texts()
        self._rules = library.RowRules(
            key_name=self._texts.span(key_field.encode()),
            time_name=self._texts.span(time_field.encode()),
            key_digits=key_digits,
            max_bytes=max_row_bytes - row_overhead_bytes,
            arrival_day=-1,
        )

    def find(
        self, records: Records, indices: Sequence[int]
    ) -> "tuple[dict[str, tuple[LogColumns, array[int]]], list[int]] | None":
        """By table, each table's in the order of the indices, which grow; and how many bytes each row has. Then the
        indices of a few records that somebody else has to look at; None where these are more than a few."""
        if not indices:
            return {}, []
        choice = _Choice(indices, self._row_overhead_bytes)
        places = _Places(records)
        unsure = self._unsure(records, choice.for_c(), places.for_c())
        if unsure is None:
            return None
        left_out = choice.leave_out(unsure)
        ordered, sizes, counts = choice.ordered, choice.sizes, choice.counts
        self._native.sort_rows(choice.for_c(), places.for_c())
        by_table = {}
        begin = 0
        for table, rows in zip(self._tables, counts, strict=False):
            if rows:
                end = begin + rows
                by_table[table] = LogColumns(places, ordered[begin:end]), sizes[begin:end]
                begin = end
        return by_table, left_out

    def _unsure(self, records: Records, choice: Any, found: Any) -> list[int] | None:
        """Finds rows; the places in the choice of those records that have none."""
        cursor = library.ChoiceCursor()
        unsure: list[int] = []
        first = 0
        for part in records.parts:
            columns = library.columns_of(part)
            cursor.index = cursor.text_offset = 0
            while True:
                result = self._native.find_rows(self._rules, columns, first, choice, found, cursor)
                if result == library.FOUND:
                    break
                if result == library.ON_ANOTHER_DAY:
                    self._times.set_day(self._rules, part.arrivals[cursor.index])
                    continue
                unsure.append(cursor.place)
                cursor.place += 1
                if len(unsure) > _FEW + choice.count // _FEW:
                    return None
            first += len(part)
        return unsure if cursor.place == choice.count else None


class _Choice:
    """The records of a list, and the tables of their rows."""

    def __init__(self, indices: Sequence[int], bytes_beside: int) -> None:
        self._indices = array("I", indices)
        self._tables = bytearray(len(indices))
        self._bytes_beside = bytes_beside
        self.ordered, self.sizes = (array("I", bytes(4 * len(indices))) for _ in range(2))
        self.counts = array("I", bytes(4 * library.MOST_TABLES))

    def leave_out(self, places: Sequence[int]) -> list[int]:
        """The indices at these places, which ascend."""
        left_out = [self._indices[place] for place in places]
        for place in reversed(places):
            del self._indices[place], self._tables[place]
        return left_out

    def for_c(self) -> library.RowChoice:
        return library.RowChoice(
            indices=library.address(self._indices),
            count=len(self._indices),
            tables=library.address(self._tables),
            sorted=library.address(self.ordered),
            sizes=library.address(self.sizes),
            counts=library.address(self.counts),
            bytes_beside=self._bytes_beside,
        )


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
