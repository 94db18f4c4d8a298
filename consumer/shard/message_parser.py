"""`processRecords` messages as columns, by the C library, in memory that is used again for each of them."""

import mmap
from array import array

from consumer.domain.columns import Columns, Records
from consumer.native import library

_USUAL_RECORDS = 16 * 1024
_USUAL_BYTES = 16 * 1024 * 1024
"""Mappings take memory only as they are filled."""

_SMALL_BYTES = 64 * 1024
"""Memory that large messages have filled is given back once one so small comes: the shard is quiet."""


class MessageParser:
    """What it gives out is valid until its next call."""

    def __init__(self) -> None:
        loaded = library.load()
        self._parse = None if loaded is None else loaded.parse_records
        self._text = self._labels = _mapping(0)
        self._capacity = 0
        self._room = 0
        self._filled = 0
        self._columns = library.RecordColumns()
        self._numbers = [array(kind) for kind in "IIIQq"]
        self._begins = [array("Q", [0]) for _ in library.BEGINS]
        self._progress = library.MessageProgress()

    def look_ahead(self, so_far: memoryview) -> int:
        """Parse what there is of a message, behind which stands a line end that is not its own: while it is in the
        processor's cache, and while its writer goes on. All of it is needed again: 0."""
        if self._parse is not None and len(so_far) > _SMALL_BYTES:
            self._go_on(so_far)
        return 0

    def parse(self, line: memoryview) -> tuple[Records, int | None] | None:
        """The records of a message and `millisBehindLatest`; None where somebody else has to look at the line. It
        begins with what was looked at before, if anything was."""
        if self._parse is None:
            return None
        if not self._progress.offset and len(line) <= _SMALL_BYTES < self._filled:
            for memory in (self._text, self._labels):
                memory.madvise(mmap.MADV_DONTNEED)
            self._filled = 0
        result = self._go_on(line)
        self._progress.offset = 0
        if result != library.PARSED:
            return None
        millis = self._progress.millis_behind
        return self._found(), None if millis < 0 else millis

    def _go_on(self, line: memoryview) -> int:
        assert self._parse is not None
        size = len(line)
        self._make_room(size)
        address = library.address(line)
        while True:
            result: int = self._parse(address, size, self._capacity, self._columns, self._progress)
            if result != library.MORE_RECORDS:
                self._filled = max(self._filled, self._columns.text_bytes + self._columns.label_bytes)
                return result
            self._make_columns(2 * self._capacity)

    def _found(self) -> Records:
        columns = self._columns
        text = memoryview(self._text)[: columns.text_bytes]
        labels = memoryview(self._labels)[: columns.label_bytes]
        sizes, key_sizes, sequence_sizes, sub_sequences, arrivals = (
            memoryview(column)[: columns.count] for column in self._numbers
        )
        text_begins, label_begins = self._begins
        return Records.of_one(
            Columns(
                text,
                labels,
                sizes,
                key_sizes,
                sequence_sizes,
                sub_sequences,
                arrivals,
                begins=(text_begins, label_begins),
            )
        )

    def _make_room(self, line_bytes: int) -> None:
        if not self._capacity:
            self._make_columns(_USUAL_RECORDS)
        if line_bytes > self._room:
            self._room = max(_USUAL_BYTES, 2 * line_bytes)
            columns, progress = self._columns, self._progress
            parsed = (columns.text_bytes, columns.label_bytes) if progress.offset else (0, 0)
            # labels are a small part of a line, which nobody knows beforehand
            self._text = _moved(self._text, parsed[0], self._room)
            self._labels = _moved(self._labels, parsed[1], self._room)
            columns.text = library.address(self._text)
            columns.labels = library.address(self._labels)
            self._filled = 0

    def _make_columns(self, capacity: int) -> None:
        """Room for so many records; what is in them stays. New ones, since the ones before may be looked at."""
        self._numbers, self._begins = (
            [_longer(column, capacity - self._capacity) for column in columns]
            for columns in (self._numbers, self._begins)
        )
        self._capacity = capacity
        names = (*library.NUMBER_COLUMNS, *library.BEGINS)
        for name, column in zip(names, self._numbers + self._begins, strict=True):
            setattr(self._columns, name, library.address(column))


def _longer(column: "array[int]", more: int) -> "array[int]":
    return array(column.typecode, column.tobytes() + bytes(column.itemsize * more))


def _moved(memory: mmap.mmap, used: int, size: int) -> mmap.mmap:
    made = _mapping(size)
    made[:used] = memory[:used]
    return made


def _mapping(size: int) -> mmap.mmap:
    return mmap.mmap(-1, size + library.SLACK, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
