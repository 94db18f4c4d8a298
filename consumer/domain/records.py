"""The record as the MultiLang protocol carries it, many records as columns, and a place in a shard."""

from array import array
from collections.abc import Buffer, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, overload

import msgspec

LINE_END = b"\n"


class Position(msgspec.Struct, frozen=True, gc=False):
    """A place in one shard. The core compares positions for equality only: order is the order of arrival."""

    sequence_number: str
    sub_sequence_number: int

    def __str__(self) -> str:
        """As object keys and log lines write it: the sub-sequence number only where there is one."""
        if self.sub_sequence_number:
            return f"{self.sequence_number}.{self.sub_sequence_number}"
        return self.sequence_number


class Record(msgspec.Struct, gc=False, rename="camel"):
    """One user record of a `processRecords` message; aggregated records arrive here already taken apart.

    The field names are the protocol's (`partitionKey`, `sequenceNumber`, …); base64 is undone while decoding.
    User records of one aggregate share a sequence number and differ in the sub-sequence number.
    """

    data: bytes
    partition_key: str
    sequence_number: str
    sub_sequence_number: int = 0
    arrival_ms: int = msgspec.field(name="approximateArrivalTimestamp", default=0)
    """Milliseconds since the epoch, approximate, not monotone."""

    @property
    def position(self) -> Position:
        return Position(self.sequence_number, self.sub_sequence_number)


class Records(Sequence[Record]):
    """Records of one shard in order, as columns: a million of them are a few buffers and no objects.

    `text` holds every payload with a line end after it, `labels` every partition key with the sequence number after
    it; how long each of them is stands in `sizes`, `key_sizes` and `sequence_sizes` (bytes, payloads without their
    line ends). As a sequence it makes a Record of what is asked for.
    """

    __slots__ = (
        "_label_ends",
        "_text_ends",
        "arrivals",
        "key_sizes",
        "labels",
        "sequence_sizes",
        "sizes",
        "sub_sequences",
        "text",
    )

    def __init__(
        self,
        text: bytearray | memoryview,
        labels: bytearray | memoryview,
        sizes: "array[int] | memoryview[int]",
        key_sizes: "array[int] | memoryview[int]",
        sequence_sizes: "array[int] | memoryview[int]",
        sub_sequences: "array[int] | memoryview[int]",
        arrivals: "array[int] | memoryview[int]",
    ) -> None:
        self.text: Any = text
        self.labels: Any = labels
        self.sizes: Any = sizes
        self.key_sizes: Any = key_sizes
        self.sequence_sizes: Any = sequence_sizes
        self.sub_sequences: Any = sub_sequences
        self.arrivals: Any = arrivals
        self._text_ends: array[int] | None = None
        self._label_ends: array[int] | None = None

    @classmethod
    def empty(cls) -> "Records":
        """To be extended."""
        return cls(bytearray(), bytearray(), array("I"), array("I"), array("I"), array("Q"), array("q"))

    @classmethod
    def of(cls, records: "Iterable[Record]") -> "Records":
        """The same records; `records` itself where these are columns."""
        if isinstance(records, Records):
            return records
        columns = cls.empty()
        for record in records:
            columns.append(record)
        return columns

    def append(self, record: Record) -> None:
        key = record.partition_key.encode("utf-8", "surrogatepass")
        sequence = record.sequence_number.encode("utf-8", "surrogatepass")
        self.text += record.data
        self.text += LINE_END
        self.labels += key
        self.labels += sequence
        self.sizes.append(len(record.data))
        self.key_sizes.append(len(key))
        self.sequence_sizes.append(len(sequence))
        self.sub_sequences.append(record.sub_sequence_number)
        self.arrivals.append(record.arrival_ms)
        self._text_ends = self._label_ends = None

    def extend(self, records: "Records", begin: int = 0, end: int | None = None) -> None:
        """Take over others, or those of them from one index to before another."""
        count = len(records)
        end = count if end is None else end
        text, labels = memoryview(records.text), memoryview(records.labels)
        if (begin, end) != (0, count):
            text_begin, label_begin = records.text_size(0, begin), records.label_size(0, begin)
            text_end = text_begin + records.text_size(begin, end)
            label_end = label_begin + records.label_size(begin, end)
            text, labels = text[text_begin:text_end], labels[label_begin:label_end]
        self.text += text
        self.labels += labels
        self.sizes.frombytes(memoryview(records.sizes)[begin:end].cast("B"))
        self.key_sizes.frombytes(memoryview(records.key_sizes)[begin:end].cast("B"))
        self.sequence_sizes.frombytes(memoryview(records.sequence_sizes)[begin:end].cast("B"))
        self.sub_sequences.frombytes(memoryview(records.sub_sequences)[begin:end].cast("B"))
        self.arrivals.frombytes(memoryview(records.arrivals)[begin:end].cast("B"))
        self._text_ends = self._label_ends = None

    # Whole columns

    @property
    def payload_bytes(self) -> int:
        return len(self.text) - len(self.sizes)

    def text_size(self, begin: int, end: int) -> int:
        """Bytes in `text` of the records from one index to before another."""
        size: int = sum(self.sizes[begin:end])
        return size + end - begin

    def label_size(self, begin: int, end: int) -> int:
        size: int = sum(self.key_sizes[begin:end]) + sum(self.sequence_sizes[begin:end])
        return size

    def payloads(self, indices: Sequence[int]) -> list[bytes]:
        """Of the records at these indices."""
        ends, sizes, text = self._ends_of_text(), self.sizes, self.text
        return [bytes(text[ends[index] - 1 - sizes[index] : ends[index] - 1]) for index in indices]

    @property
    def first_position(self) -> Position:
        return self._position(0, self.key_sizes[0])

    @property
    def last_position(self) -> Position:
        return self._position(-1, len(self.labels) - self.sequence_sizes[-1])

    # The sequence of records

    def __len__(self) -> int:
        return len(self.sizes)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        count = len(self.sizes)
        if isinstance(index, slice):
            places = range(*index.indices(count))
            return self._neighbours(places) if places.step == 1 else [self[place] for place in places]
        if not -count <= index < count:
            raise IndexError(index)
        index %= count
        text_end = self._ends_of_text()[index] - len(LINE_END)
        label_end = self._ends_of_labels()[index]
        sequence_begin = label_end - self.sequence_sizes[index]
        key_begin = sequence_begin - self.key_sizes[index]
        return Record(
            bytes(self.text[text_end - self.sizes[index] : text_end]),
            _text(self.labels[key_begin:sequence_begin]),
            _text(self.labels[sequence_begin:label_end]),
            self.sub_sequences[index],
            self.arrivals[index],
        )

    def _neighbours(self, places: range) -> list[Record]:
        if not places:
            return []
        begin, end = places.start, places.stop
        ends, sequence_ends = self._ends_of_text()[begin:end], self._ends_of_labels()[begin:end]
        text, labels = memoryview(self.text), memoryview(self.labels)
        return [
            Record(
                bytes(text[text_end - 1 - size : text_end - 1]),
                _text(labels[label_end - sequence_size - key_size : label_end - sequence_size]),
                _text(labels[label_end - sequence_size : label_end]),
                sub_sequence,
                arrival_ms,
            )
            for text_end, size, label_end, key_size, sequence_size, sub_sequence, arrival_ms in zip(
                ends,
                self.sizes[begin:end],
                sequence_ends,
                self.key_sizes[begin:end],
                self.sequence_sizes[begin:end],
                self.sub_sequences[begin:end],
                self.arrivals[begin:end],
                strict=True,
            )
        ]

    def __iter__(self) -> Iterator[Record]:
        return iter(self[:])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(map(Record.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Records.of({list(self)!r})"

    def _position(self, index: int, sequence_begin: int) -> Position:
        sequence = self.labels[sequence_begin : sequence_begin + self.sequence_sizes[index]]
        return Position(_text(sequence), self.sub_sequences[index])

    def _ends_of_text(self) -> "array[int]":
        if self._text_ends is None:
            self._text_ends = array("Q", accumulate(size + 1 for size in self.sizes))
        return self._text_ends

    def _ends_of_labels(self) -> "array[int]":
        if self._label_ends is None:
            self._label_ends = array("Q", accumulate(map(int.__add__, self.key_sizes, self.sequence_sizes)))
        return self._label_ends


def _text(characters: Buffer) -> str:
    return str(characters, "utf-8", "surrogatepass")
