"""Chunks whose records were replaced by what a transform has made of them."""

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from consumer.domain.chunks import Chunk
from consumer.domain.columns import LINE_END, Columns, Records
from consumer.domain.records import Record

OUTPUT_STEP = 1_000_000_000
"""What the sub-sequence number of each further output of a record grows by: more than an aggregate has records."""
MOST_OUTPUTS = 1000
"""Of one record."""


class Outputs(Records):
    """What was made of records, one output after the other. `routing` has for each of them its record as it was read,
    which decides where it goes."""

    __slots__ = ("_routing",)

    def __init__(self, routing: Records) -> None:
        super().__init__()
        self._routing = routing

    @property
    def routing(self) -> Records:
        return self._routing


@dataclass(frozen=True, slots=True)
class TransformedChunk(Chunk):
    """The chunk that was read, but for its records: name, positions, count and size are those of `original`.
    `origins[i]` is the index there of the record that output i was made of; they ascend."""

    original: Chunk
    origins: Sequence[int]

    def __post_init__(self) -> None:
        for name in ("size_bytes", "count", "since_ms", "first", "end"):
            object.__setattr__(self, name, getattr(self.original, name))

    @property
    def name(self) -> str:
        return self.original.name

    @property
    def read(self) -> Records:
        return self.original.records

    def place_of(self, index: int) -> int:
        return bisect_left(self.origins, index)

    def outputs_of(self, index: int) -> range:
        """The places of what was made of one record as read."""
        return range(self.place_of(index), self.place_of(index + 1))

    def numbers(self, place: int) -> tuple[int, ...]:
        """Which output of its record it is, from 1 on; nothing where that has no other."""
        of_record = self.outputs_of(self.origins[place])
        return () if len(of_record) == 1 else (1 + place - of_record.start,)


def transformed(chunk: Chunk, payloads: Sequence[Sequence[bytes]]) -> TransformedChunk:
    """The chunk with these payloads in place of those of its records, `payloads[i]` for record i."""
    if all(len(each) == 1 for each in payloads):
        outputs = _one_of_each(chunk.records, [each[0] for each in payloads])
        return TransformedChunk(outputs, chunk, range(len(payloads)))
    origins = array("I", [index for index, each in enumerate(payloads) for _ in each])
    routing = Records.of(chunk.records.at(origins))
    numbers = (number for each in payloads for number in range(len(each)))
    contents = (payload for each in payloads for payload in each)
    outputs = Outputs(routing)
    outputs.extend(
        Records.of(
            output_of(record, payload, number)
            for record, payload, number in zip(routing, contents, numbers, strict=True)
        )
    )
    return TransformedChunk(outputs, chunk, origins)


def only_output(chunk: TransformedChunk, place: int) -> TransformedChunk:
    """The chunk with none of its outputs but one."""
    outputs = Outputs(Records.of(chunk.records.routing.at([place])))
    outputs.extend(Records.of(chunk.records.at([place])))
    return TransformedChunk(outputs, chunk.original, [chunk.origins[place]])


def output_of(record: Record, payload: bytes, number: int) -> Record:
    """Output `number`, from 0 on, of a record."""
    return Record(
        payload,
        record.partition_key,
        record.sequence_number,
        record.sub_sequence_number + OUTPUT_STEP * number,
        record.arrival_ms,
    )


def _one_of_each(records: Records, payloads: Sequence[bytes]) -> Outputs:
    """All but the payloads is shared with the records."""
    outputs = Outputs(records)
    begin = 0
    for part in records.parts:
        some = payloads[begin : begin + len(part)]
        begin += len(part)
        columns = Columns(
            bytearray(LINE_END.join([*some, b""])),
            part.labels,
            array("I", map(len, some)),
            part.key_sizes,
            part.sequence_sizes,
            part.sub_sequences,
            part.arrivals,
        )
        outputs.take_over(columns)
    return outputs
