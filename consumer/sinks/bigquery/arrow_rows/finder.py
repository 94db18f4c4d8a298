"""Rows of a chunk as the C library finds them: which table each goes to, and where in the chunk's text it is."""

import ctypes
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from ctypes import Array
from dataclasses import dataclass
from itertools import compress
from typing import Any

from consumer.domain.columns import Records
from consumer.domain.routing import table_names
from consumer.native import library
from consumer.sinks.bigquery.rows.times import PartitionTimes

_MOST_LAYOUTS = 20_000
"""Of all tables' columns; with more, those of a table are measured when its rows are sent."""


@dataclass(frozen=True, slots=True)
class TablePlaces:
    """Rows of one table in shard order: the indices of their records, and how many bytes each has; what was measured
    of their columns, if they have a schema, None where that has to be done later."""

    table: str
    indices: "array[int]"
    sizes: "array[int]"
    layout: "Array[library.TypedLayout] | None"


class RowFinder:
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
        schema: "library.RowSchema | None" = None,
        cells_bytes: int = 0,
    ) -> None:
        """`times` are in ISO 8601; a row's bytes are those of its payload and the overhead, and where requests are cut
        those of its cells beside. Its columns are those of the schema, or else the key, the time and the whole
        record."""
        self._native = native
        self._schema = schema
        self._bytes_beside = row_overhead_bytes + cells_bytes
        self._tables = table_names(table_prefix, key_digits)
        self._times = times
        self._texts = library.Texts()
        self.rules = library.RowRules(
            key_name=self._texts.span(key_field.encode()),
            time_name=self._texts.span(time_field.encode()),
            key_digits=key_digits,
            max_bytes=max_row_bytes - row_overhead_bytes,
            arrival_day=-1,
        )

    def find(self, records: Records, indices: Sequence[int], *, doubted: Collection[int] = ()) -> "FoundRows":
        """The rows of the records with these indices, which grow; those that are `doubted` count as unsure."""
        # what C has measured of a doubted row counts for no table
        choice = _Choice(indices, self._bytes_beside, None if doubted else self._layouts())
        places = Places(records)
        unsure = self._unsure(records, choice.for_c(), places.for_c())
        if doubted:
            more = {place for place, index in enumerate(indices) if index in doubted}
            unsure = sorted(more.union(unsure))
        return FoundRows(self._native, self._tables, choice, places, unsure)

    def _layouts(self) -> "Array[library.TypedLayout] | None":
        count: int = 0 if self._schema is None else len(self._tables) * self._schema.count
        return (library.TypedLayout * count)() if 0 < count <= _MOST_LAYOUTS else None

    def _unsure(self, records: Records, choice: Any, found: Any) -> list[int]:
        """Finds rows; the places in the choice of those records that have none."""
        cursor = library.ChoiceCursor()
        unsure: list[int] = []
        first = 0
        for part in records.parts:
            columns = library.columns_of(part)
            cursor.index = cursor.text_offset = 0
            while True:
                result = self._native.find_rows(
                    self.rules, self._schema, columns, first, choice, found, cursor
                )
                if result == library.FOUND:
                    break
                if result == library.ON_ANOTHER_DAY:
                    self._times.set_day(self.rules, part.arrivals[cursor.index])
                    continue
                unsure.append(cursor.place)
                cursor.place += 1
            first += len(part)
        assert cursor.place == choice.count, "the indices are those of the records"
        return unsure


class FoundRows:
    """What was found, and the indices of the records that somebody else has to look at: `unsure`."""

    def __init__(
        self,
        native: Any,
        tables: Sequence[str],
        choice: "_Choice",
        places: "Places",
        unsure: Sequence[int],
    ) -> None:
        self._native = native
        self._tables = tables
        self._choice = choice
        self._unsure_places = unsure
        self.places = places
        self.unsure = choice.indices_at(unsure)

    def by_table(self, others: Mapping[int, str]) -> Iterator[TablePlaces]:
        """`others` are the tables of unsure records, by their indices, for which a text was put into the places.
        Records that are unsure and have none are left out."""
        choice = self._choice
        left_out: list[int] = []
        mixed = set(others.values())
        numbers = {table: number for number, table in enumerate(self._tables)} if others else {}
        for place, index in zip(self._unsure_places, self.unsure, strict=True):
            if index in others:
                choice.tables[place] = numbers[others[index]]
            else:
                left_out.append(place)
        choice.leave_out(left_out)
        self._native.sort_rows(choice.for_c(), self.places.for_c())
        begin = 0
        for number, (table, rows) in enumerate(zip(self._tables, choice.counts, strict=False)):
            if rows:
                end = begin + rows
                layout = None if table in mixed else choice.layout_of(number, len(self._tables))
                yield TablePlaces(table, choice.ordered[begin:end], choice.sizes[begin:end], layout)
                begin = end


class _Choice:
    """The records of a list, and the tables of their rows."""

    def __init__(
        self, indices: Sequence[int], bytes_beside: int, layouts: "Array[library.TypedLayout] | None"
    ) -> None:
        self._indices = array("I", indices)
        self._layouts = layouts
        self.tables = bytearray(len(indices))
        self._bytes_beside = bytes_beside
        self.ordered, self.sizes = (array("I", bytes(4 * len(indices))) for _ in range(2))
        self.counts = array("I", bytes(4 * library.MOST_TABLES))

    def indices_at(self, places: Sequence[int]) -> list[int]:
        return [self._indices[place] for place in places]

    def leave_out(self, places: Sequence[int]) -> None:
        """What is at these places: all of it at once, since each deletion alone moves whatever stands behind."""
        if not places:
            return
        kept = bytearray(b"\1" * len(self.tables))
        for place in places:
            kept[place] = 0
        self._indices = array("I", compress(self._indices, kept))
        self.tables = bytearray(compress(self.tables, kept))

    def layout_of(self, table: int, tables: int) -> "Array[library.TypedLayout] | None":
        if self._layouts is None:
            return None
        columns = len(self._layouts) // tables
        part = library.TypedLayout * columns
        return part.from_buffer_copy(self._layouts, table * ctypes.sizeof(part))

    def for_c(self) -> library.RowChoice:
        return library.RowChoice(
            indices=library.address(self._indices),
            count=len(self._indices),
            tables=library.address(self.tables),
            sorted=library.address(self.ordered),
            sizes=library.address(self.sizes),
            counts=library.address(self.counts),
            bytes_beside=self._bytes_beside,
            layouts=None if self._layouts is None else ctypes.addressof(self._layouts),
        )


class Places:
    """Where the rows of records are: 32 bytes for each record, and the memory that they are in."""

    def __init__(self, records: Records) -> None:
        count = len(records)
        # nobody can resize what is looked at
        self._texts: list[object] = [memoryview(part.text) for part in records.parts]
        self._payloads, self._times_us = array("Q", bytes(8 * count)), array("q", bytes(8 * count))
        self._sizes, self._key_offsets, self._key_sizes, self._array_bytes = (
            array("I", bytes(4 * count)) for _ in range(4)
        )

    def put(self, index: int, text: bytes, array_bytes: int = 0) -> None:
        """In place of the record's own, which ends with a line end, too."""
        self._texts.append(text)
        self._payloads[index] = library.address_of_bytes(text)
        self._sizes[index] = len(text) - 1
        self._array_bytes[index] = array_bytes

    def put_log(self, index: int, log: bytes, key: bytes | None, time_us: int) -> None:
        """The cells of a row in place of those of the record's text."""
        self.put(index, b"%b%b\n" % (log, key or b""))
        self._sizes[index] = len(log)
        self._key_offsets[index] = library.NO_KEY if key is None else len(log)
        self._key_sizes[index] = len(key or b"")
        self._times_us[index] = time_us

    def for_c(self) -> library.RowPlaces:
        return library.RowPlaces(
            payloads=library.address(self._payloads),
            sizes=library.address(self._sizes),
            key_offsets=library.address(self._key_offsets),
            key_sizes=library.address(self._key_sizes),
            times_us=library.address(self._times_us),
            array_bytes=library.address(self._array_bytes),
        )
