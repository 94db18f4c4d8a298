"""Memory for the records of a message as columns, used again for each message.

All of it is mapped: it is taken only as it is filled, grows without a copy, and what large messages have filled can go
back to the kernel.
"""

import mmap
from array import array
from itertools import accumulate
from typing import Any

from consumer.domain.columns import BEGINS_CODE, NUMBER_CODES, RECORD_BYTES, Columns, Records
from consumer.native import library

_USUAL_RECORDS = 16 * 1024
_USUAL_BYTES = 16 * 1024 * 1024

_TEXTS = ("text", "labels")
_CODES = NUMBER_CODES | dict.fromkeys(library.BEGINS, BEGINS_CODE)
_ITEM_BYTES = {name: array(code).itemsize for name, code in _CODES.items()}


class RecordMemory:
    """`columns` is for C to fill, up to `capacity` records. What `records` makes of it is valid until other ones are
    written."""

    def __init__(self) -> None:
        self.columns = library.RecordColumns()
        self.capacity = self._room = self._filled = 0
        self._memory: dict[str, mmap.mmap] = {}
        self._map_all()

    @property
    def held_bytes(self) -> int:
        """What the records in it take."""
        columns = self.columns
        held: int = columns.text_bytes + columns.label_bytes + columns.count * RECORD_BYTES
        return held

    def clear(self) -> None:
        """For the next message, or the next records of one."""
        columns = self.columns
        columns.text_bytes = columns.label_bytes = columns.count = 0

    def make_room(self, more_bytes: int) -> None:
        """For so many more of text and as many of labels: nobody knows beforehand what a line has of each."""
        columns = self.columns
        needed = max(columns.text_bytes, columns.label_bytes) + more_bytes
        if needed > self._room:
            self._room = 2 * needed
            for name, used in zip(_TEXTS, (columns.text_bytes, columns.label_bytes), strict=True):
                self._grow(name, used, self._room + library.SLACK)

    def double(self) -> None:
        """The capacity."""
        for name, item_bytes in _ITEM_BYTES.items():
            self._grow(name, (self.capacity + 1) * item_bytes, (2 * self.capacity + 1) * item_bytes)
        self.capacity *= 2

    def add(self, group: Columns) -> None:
        """Records that somebody else has read, behind those that are there; there is room for their text."""
        columns = self.columns
        count = columns.count
        while count + len(group) > self.capacity:
            self.double()
        self._put("text", columns.text_bytes, group.text)
        self._put("labels", columns.label_bytes, group.labels)
        label_sizes = map(int.__add__, group.key_sizes, group.sequence_sizes)
        text_begins = array(
            BEGINS_CODE, accumulate((size + 1 for size in group.sizes), initial=columns.text_bytes)
        )
        label_begins = array(BEGINS_CODE, accumulate(label_sizes, initial=columns.label_bytes))
        numbers = [getattr(group, name) for name in NUMBER_CODES]
        for name, column in zip(_CODES, (*numbers, text_begins, label_begins), strict=True):
            self._put(name, count * _ITEM_BYTES[name], column)
        columns.text_bytes, columns.label_bytes = text_begins[-1], label_begins[-1]
        columns.count = count + len(group)

    def records(self) -> Records:
        columns = self.columns
        count = columns.count
        self._filled = max(self._filled, self.held_bytes)
        text = memoryview(self._memory["text"])[: columns.text_bytes]
        labels = memoryview(self._memory["labels"])[: columns.label_bytes]
        *numbers, text_begins, label_begins = self._items()
        numbers = [column[:count] for column in numbers]
        found = Columns(text, labels, *numbers, begins=(text_begins, label_begins))
        return Records.of_one(found)

    def give_back(self, kept_bytes: int) -> None:
        """What messages have filled, if it is more than that."""
        if self._filled <= kept_bytes:
            return
        for memory in self._memory.values():
            # what was given out last may still be held: its memory has to go all the same
            memory.madvise(mmap.MADV_DONTNEED)
        self._filled = 0
        if self._room > _USUAL_BYTES or self.capacity > _USUAL_RECORDS:
            self._map_all()

    def _map_all(self) -> None:
        self._room, self.capacity = _USUAL_BYTES, _USUAL_RECORDS
        sizes = dict.fromkeys(_TEXTS, self._room + library.SLACK)
        # the sums have one more
        sizes |= {name: (self.capacity + 1) * item_bytes for name, item_bytes in _ITEM_BYTES.items()}
        for name, size in sizes.items():
            self._keep(name, _mapping(size))

    def _keep(self, name: str, memory: mmap.mmap) -> None:
        self._memory[name] = memory
        setattr(self.columns, name, library.address(memory))

    def _grow(self, name: str, used: int, size: int) -> None:
        memory = self._memory[name]
        try:
            memory.resize(size)
        except BufferError:
            # what was given out last is still held
            before, memory = memory, _mapping(size)
            memory[:used] = memoryview(before)[:used]
        self._keep(name, memory)

    def _put(self, name: str, place: int, items: Any) -> None:
        memory = memoryview(items).cast("B")
        self._memory[name][place : place + len(memory)] = memory

    def _items(self) -> list[Any]:
        """The columns of numbers and of the sums."""
        memory = self._memory
        return [memoryview(memory[name]).cast(code) for name, code in _CODES.items()]  # type: ignore[call-overload]


def _mapping(size: int) -> mmap.mmap:
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
