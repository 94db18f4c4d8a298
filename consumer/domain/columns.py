"""Many records of a shard as columns, of which no object is made unless it is asked for."""

from array import array
from collections.abc import Buffer, Iterable, Iterator, Sequence
from itertools import accumulate, chain, groupby
from typing import Any, overload

from consumer.domain.records import Position, Record

LINE_END = b"\n"

NUMBER_CODES = {"sizes": "I", "key_sizes": "I", "sequence_sizes": "I", "sub_sequences": "Q", "arrivals": "q"}
"""The columns of numbers, by what `array` calls their types."""

BEGINS_CODE = "Q"
"""Of each of the two columns of `begins`."""

RECORD_BYTES = sum(array(code).itemsize for code in (*NUMBER_CODES.values(), BEGINS_CODE, BEGINS_CODE))
"""What a record takes in memory beside its text and its label."""

PART_RECORDS = 500
"""Some hundred kilobytes of usual records: they, and what is made of them, stay in the processor's cache meanwhile, and
their memory is soon used again."""


class Columns:
    """Some records of one shard in order, as columns.

    `text` holds every payload with a line end after it, `labels` every partition key with the sequence number after
    it; how long each of them is stands in `sizes`, `key_sizes` and `sequence_sizes` (bytes, payloads without their
    line ends).
    """

    __slots__ = (
        "_begins",
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
        text: Any,
        labels: Any,
        sizes: Any,
        key_sizes: Any,
        sequence_sizes: Any,
        sub_sequences: Any,
        arrivals: Any,
        *,
        begins: tuple[Any, Any] | None = None,
    ) -> None:
        """Bytes (`text`, `labels`), unsigned integers of 4 bytes (sizes) and of 8, signed ones of 8 bytes. `begins` is
        what the method of that name gives, where it is known."""
        self.text = text
        self.labels = labels
        self.sizes = sizes
        self.key_sizes = key_sizes
        self.sequence_sizes = sequence_sizes
        self.sub_sequences = sub_sequences
        self.arrivals = arrivals
        self._begins = begins

    @classmethod
    def empty(cls) -> "Columns":
        """To be extended."""
        return cls(bytearray(), bytearray(), *(array(code) for code in NUMBER_CODES.values()))

    def __len__(self) -> int:
        return len(self.sizes)

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
        self._begins = None

    def extend(self, text: memoryview, labels: memoryview, others: "Columns", begin: int, end: int) -> None:
        """Take over some of others, from one index to before another, whose text and labels these are."""
        self.text += text
        self.labels += labels
        self.sizes.frombytes(memoryview(others.sizes)[begin:end].cast("B"))
        self.key_sizes.frombytes(memoryview(others.key_sizes)[begin:end].cast("B"))
        self.sequence_sizes.frombytes(memoryview(others.sequence_sizes)[begin:end].cast("B"))
        self.sub_sequences.frombytes(memoryview(others.sub_sequences)[begin:end].cast("B"))
        self.arrivals.frombytes(memoryview(others.arrivals)[begin:end].cast("B"))
        self._begins = None

    @property
    def payload_bytes(self) -> int:
        return len(self.text) - len(self.sizes)

    @property
    def held_bytes(self) -> int:
        """What these take in memory, but for what is kept to grow into."""
        return len(self.text) + len(self.labels) + RECORD_BYTES * len(self.sizes)

    def text_size(self, begin: int, end: int) -> int:
        """Bytes in `text` of the records from one index to before another."""
        if self._begins is not None:
            begins = self._begins[0]
            return int(begins[end] - begins[begin])
        return int(sum(self.sizes[begin:end])) + end - begin

    def label_size(self, begin: int, end: int) -> int:
        if self._begins is not None:
            begins = self._begins[1]
            return int(begins[end] - begins[begin])
        return int(sum(self.key_sizes[begin:end]) + sum(self.sequence_sizes[begin:end]))

    def begins(self) -> tuple[Any, Any]:
        """Where in `text` and in `labels` each record begins, and where the last one ends."""
        if self._begins is None:
            label_sizes = map(int.__add__, self.key_sizes, self.sequence_sizes)
            self._begins = (
                array(BEGINS_CODE, accumulate((size + 1 for size in self.sizes), initial=0)),
                array(BEGINS_CODE, accumulate(label_sizes, initial=0)),
            )
        return self._begins

    def position(self, index: int) -> Position:
        end = self.begins()[1][index + 1]
        sequence = self.labels[end - self.sequence_sizes[index] : end]
        return Position(_text(sequence), self.sub_sequences[index])

    def records(self, begin: int, end: int) -> list[Record]:
        """As objects, those from one index to before another."""
        text_begins, label_begins = self.begins()
        text_end, label_end = text_begins[begin], label_begins[begin]
        text, labels = memoryview(self.text), memoryview(self.labels)
        made: list[Record] = []
        for size, key_size, sequence_size, sub_sequence, arrival_ms in zip(
            self.sizes[begin:end],
            self.key_sizes[begin:end],
            self.sequence_sizes[begin:end],
            self.sub_sequences[begin:end],
            self.arrivals[begin:end],
            strict=True,
        ):
            text_begin, key_begin = text_end, label_end
            text_end += size + 1
            key_end = key_begin + key_size
            label_end = key_end + sequence_size
            made.append(
                Record(
                    bytes(text[text_begin : text_begin + size]),
                    _text(labels[key_begin:key_end]),
                    _text(labels[key_end:label_end]),
                    sub_sequence,
                    arrival_ms,
                )
            )
        return made

    def at(self, places: Sequence[int]) -> list[Record]:
        """As objects, those at these places: no other record is looked at, since it may be large."""
        text_begins, label_begins = self.begins()
        text, labels = memoryview(self.text), memoryview(self.labels)
        made: list[Record] = []
        for place in places:
            text_begin, key_begin = text_begins[place], label_begins[place]
            key_end = key_begin + self.key_sizes[place]
            made.append(
                Record(
                    bytes(text[text_begin : text_begin + self.sizes[place]]),
                    _text(labels[key_begin:key_end]),
                    _text(labels[key_end : key_end + self.sequence_sizes[place]]),
                    self.sub_sequences[place],
                    self.arrivals[place],
                )
            )
        return made

    def beginning(self, place: int, most_bytes: int) -> Record:
        """As an object, with so many bytes of its payload at most. Where each record begins is not kept for it."""
        text_begin, key_begin = self.text_size(0, place), self.label_size(0, place)
        key_end = key_begin + self.key_sizes[place]
        return Record(
            bytes(self.text[text_begin : text_begin + min(self.sizes[place], most_bytes)]),
            _text(self.labels[key_begin:key_end]),
            _text(self.labels[key_end : key_end + self.sequence_sizes[place]]),
            self.sub_sequences[place],
            self.arrivals[place],
        )


class Records(Sequence[Record]):
    """Records of one shard in order, as columns: a million of them are some buffers and no objects. As a sequence it
    makes a Record of what is asked for.

    `parts` have PART_RECORDS each, but for the last one, so that the same records are cut in the same places, however
    they came. What `of_one` makes has one part of any size.
    """

    __slots__ = ("_count", "_label_bytes", "_part_records", "parts", "payload_bytes")

    def __init__(self) -> None:
        """Empty, to be extended."""
        self.parts: list[Columns] = []
        self._count = self._label_bytes = 0
        self.payload_bytes = 0
        self._part_records = PART_RECORDS

    @classmethod
    def of(cls, records: Iterable[Record]) -> "Records":
        made = cls()
        for record in records:
            made._open_part().append(record)
            made._count += 1
            made.payload_bytes += len(record.data)
        made._label_bytes = sum(len(part.labels) for part in made.parts)
        return made

    @classmethod
    def of_one(cls, columns: Columns) -> "Records":
        """A look at these; not to be extended."""
        made = cls()
        made.parts = [columns] if len(columns) else []
        made._count = made._part_records = len(columns)
        made.payload_bytes = columns.payload_bytes
        made._label_bytes = len(columns.labels)
        return made

    @property
    def routing(self) -> "Records":
        """The records that decide where these go: these themselves, unless a transform has replaced their payloads."""
        return self

    def take_over(self, part: Columns) -> None:
        """As its next part: of PART_RECORDS, or the last one."""
        self.parts.append(part)
        self._count += len(part)
        self.payload_bytes += part.payload_bytes
        self._label_bytes += len(part.labels)

    def extend(self, records: "Records", begin: int = 0, end: int | None = None) -> None:
        """Take over others, or those of them from one index to before another."""
        for part, first, last in records._pieces(begin, len(records) if end is None else end):
            self._extend(part, first, last)

    @property
    def held_bytes(self) -> int:
        """What these take in memory, but for what is kept to grow into."""
        return self.payload_bytes + self._label_bytes + self._count * (len(LINE_END) + RECORD_BYTES)

    def arrivals(self) -> "array[int]":
        return _joined("q", [part.arrivals for part in self.parts])

    def sizes(self) -> "array[int]":
        """Of the payloads, in bytes."""
        return _joined("I", [part.sizes for part in self.parts])

    @property
    def first_arrival_ms(self) -> int:
        first: int = self.parts[0].arrivals[0]
        return first

    @property
    def first_position(self) -> Position:
        return self.position(0)

    @property
    def last_position(self) -> Position:
        return self.position(self._count - 1)

    def position(self, index: int) -> Position:
        part, place = divmod(index, self._part_records)
        return self.parts[part].position(place)

    def payloads(self, indices: Sequence[int]) -> list[bytes]:
        """Of the records at these indices."""
        each = self._part_records
        number, text, sizes, begins = -1, memoryview(b""), array("I"), array("Q")
        made: list[bytes] = []
        for index in indices:
            if index // each != number:
                number = index // each
                part = self.parts[number]
                text, sizes, begins = memoryview(part.text), part.sizes, part.begins()[0]
            begin = begins[index % each]
            made.append(bytes(text[begin : begin + sizes[index % each]]))
        return made

    def at(self, indices: Sequence[int]) -> list[Record]:
        """The records at these indices, which ascend."""
        if isinstance(indices, range) and indices.step == 1:
            return self[indices.start : indices.stop]
        each = self._part_records
        made: list[Record] = []
        for number, some in groupby(indices, lambda index: index // each):
            made += self.parts[number].at([index % each for index in some])
        return made

    def beginning(self, index: int, most_bytes: int) -> tuple[Record, int]:
        """The record at an index with no more of its payload than so many bytes, and how many it has."""
        part, place = divmod(index, self._part_records)
        return self.parts[part].beginning(place, most_bytes), self.parts[part].sizes[place]

    # The sequence of records

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        if isinstance(index, slice):
            begin, end, step = index.indices(self._count)
            return self._neighbours(begin, end) if step == 1 else self._neighbours(0, self._count)[index]
        if not -self._count <= index < self._count:
            raise IndexError(index)
        part, place = divmod(index % self._count, self._part_records)
        return self.parts[part].records(place, place + 1)[0]

    def __iter__(self) -> Iterator[Record]:
        return chain.from_iterable(part.records(0, len(part)) for part in self.parts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(map(Record.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Records.of({list(self)!r})"

    # Inside

    def _neighbours(self, begin: int, end: int) -> list[Record]:
        made: list[Record] = []
        for part, first, last in self._pieces(begin, end):
            made += part.records(first, last)
        return made

    def _pieces(self, begin: int, end: int) -> Iterator[tuple[Columns, int, int]]:
        """The parts that hold the records from one index to before another, and these records' places in each."""
        each = self._part_records
        while begin < end:
            number, first = divmod(begin, each)
            last = min(each, first + end - begin)
            yield self.parts[number], first, last
            begin += last - first

    def _open_part(self) -> Columns:
        if not self.parts or len(self.parts[-1]) == self._part_records:
            self.parts.append(Columns.empty())
        return self.parts[-1]

    def _extend(self, others: Columns, begin: int, end: int) -> None:
        text, labels = memoryview(others.text), memoryview(others.labels)
        text_begin, label_begin = others.text_size(0, begin), others.label_size(0, begin)
        self._count += end - begin
        while begin < end:
            part = self._open_part()
            stop = min(end, begin + self._part_records - len(part))
            text_end, label_end = (
                text_begin + others.text_size(begin, stop),
                label_begin + others.label_size(begin, stop),
            )
            part.extend(text[text_begin:text_end], labels[label_begin:label_end], others, begin, stop)
            self.payload_bytes += text_end - text_begin - (stop - begin)
            self._label_bytes += label_end - label_begin
            begin, text_begin, label_begin = stop, text_end, label_end


def _joined(code: str, columns: "list[array[int]]") -> "array[int]":
    if len(columns) == 1:
        return columns[0]
    joined = array(code)
    for column in columns:
        joined.frombytes(memoryview(column).cast("B"))
    return joined


def _text(characters: Buffer) -> str:
    return str(characters, "utf-8", "surrogatepass")
