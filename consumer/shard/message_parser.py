"""`processRecords` messages as columns, by the C library, in memory that is used again for each of them."""

import ctypes
import mmap
from array import array

from consumer.domain.columns import Columns, Records
from consumer.native import library

_USUAL_RECORDS = 16 * 1024
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
        self._millis = ctypes.c_int64()

    def parse(self, line: memoryview) -> tuple[Records, int | None] | None:
        """The records of a message and `millisBehindLatest`; None where somebody else has to look at the line."""
        if self._parse is None:
            return None
        size = len(line)
        self._make_room(size)
        address = library.address(line)
        while True:
            result = self._parse(address, size, self._capacity, self._columns, self._millis)
            if result != library.MORE_RECORDS:
                break
            self._make_columns(2 * self._capacity)
        self._filled = max(self._filled, self._columns.text_bytes + self._columns.label_bytes)
        if result != library.PARSED:
            return None
        millis = self._millis.value
        return self._found(), None if millis < 0 else millis

    def _found(self) -> Records:
        columns = self._columns
        count = columns.count
        return Records.of_one(
            Columns(
                memoryview(self._text)[: columns.text_bytes],
                memoryview(self._labels)[: columns.label_bytes],
                *(memoryview(column)[:count] for column in self._numbers),
            )
        )

    def _make_room(self, line_bytes: int) -> None:
        if not self._capacity:
            self._make_columns(_USUAL_RECORDS)
        if line_bytes <= _SMALL_BYTES < self._filled:
            for memory in (self._text, self._labels):
                memory.madvise(mmap.MADV_DONTNEED)
            self._filled = 0
        if line_bytes > self._room:
            self._room = line_bytes
            # mappings take memory only as they are filled, and labels are a small part of a line
            self._text = _mapping(line_bytes)
            self._labels = _mapping(line_bytes)
            self._columns.text = library.address(self._text)
            self._columns.labels = library.address(self._labels)
            self._filled = 0

    def _make_columns(self, capacity: int) -> None:
        self._capacity = capacity
        self._numbers = [array(kind, bytes(array(kind).itemsize * capacity)) for kind in "IIIQq"]
        for name, column in zip(library.NUMBER_COLUMNS, self._numbers, strict=True):
            setattr(self._columns, name, library.address(column))


def _mapping(line_bytes: int) -> mmap.mmap:
    return mmap.mmap(-1, line_bytes + library.SLACK, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
