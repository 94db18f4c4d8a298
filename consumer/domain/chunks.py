"""Chunks: contiguous slices of one shard's records, the unit of delivery, naming and checkpoints.

Boundaries depend on the records and the limits only (I2): never on the clock, never on how the KCL batched the
records. That is what lets a replay, a zombie worker or a new owner cut the same chunks and write the same objects.
The one exception is `Chunker.seal_idle`, which seals where the next record would have sealed anyway.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

from consumer.domain.columns import Records
from consumer.domain.records import Position

_FIRST_STEP = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkLimits:
    """Where a chunk ends: before the record that would pass one of these.

    `grace_ms` bounds how far the wall clock may stand from the stream's arrival times, and how late a record may
    appear, before an idle chunk is sealed.
    """

    window_ms: int
    max_bytes: int
    max_records: int
    grace_ms: int

    def __post_init__(self) -> None:
        if min(self.window_ms, self.max_bytes, self.max_records) < 1 or self.grace_ms < 0:
            raise ValueError(f"chunk limits must be positive: {self}")


@dataclass(frozen=True, slots=True)
class Chunk:
    """At least one record; `size_bytes` counts payloads as they came."""

    records: Records
    size_bytes: int = field(init=False)
    count: int = field(init=False)
    since_ms: int = field(init=False)
    """Arrival time of the first record."""
    first: Position = field(init=False)
    end: Position = field(init=False)

    def __post_init__(self) -> None:
        records = self.records
        object.__setattr__(self, "size_bytes", records.payload_bytes)
        object.__setattr__(self, "count", len(records))
        object.__setattr__(self, "since_ms", records.first_arrival_ms)
        object.__setattr__(self, "first", records.first_position)
        object.__setattr__(self, "end", records.last_position)

    @property
    def name(self) -> str:
        """`<first sequence>[.<sub>]-<records>`: fixes which records are inside (I2)."""
        return f"{self.first}-{self.count}"

    @property
    def read(self) -> Records:
        """The records as they were read: others than `records` once a transform has replaced those."""
        return self.records

    def place_of(self, index: int) -> int:
        """Where in `records` begins what is there for the records as read from an index on."""
        return index

    def release(self) -> None:
        """Let go of the records, most of what a shard process holds, once nobody will look at them any more; what
        the chunk is called, how many it had and where it ends stays known."""
        object.__setattr__(self, "records", Records())


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What records take in memory until they are durable, at most: themselves, and what a sink makes of them."""

    made_of_byte: int
    """Bytes beside each byte of a payload."""
    made_of_record: int
    """Bytes beside that for each record: a row's identity and what stands around it."""

    def of(self, records: Records) -> int:
        return (
            records.held_bytes
            + self.made_of_byte * records.payload_bytes
            + self.made_of_record * len(records)
        )


@dataclass(frozen=True, slots=True)
class Room:
    """What a chunk can take before it is complete: less than so many bytes and records, which arrived before a time."""

    max_bytes: int
    max_records: int
    before_ms: int

    def holds(self, sizes: "array[int]", arrivals: "array[int]") -> bool:
        """Whether the chunk is not complete with all of these."""
        return (
            len(sizes) < self.max_records
            and sum(sizes) < self.max_bytes
            and max(arrivals, default=0) < self.before_ms
        )

    def leading(self, sizes: "array[int]", arrivals: "array[int]", begin: int) -> int:
        """Where those that it can take end, of the records from `begin` on: found without a look at each alone."""
        room, low, step = self, begin, _FIRST_STEP
        high = begin + step
        while room.holds(sizes[low:high], arrivals[low:high]):
            if high >= len(sizes):
                return len(sizes)
            room = room.without(sizes[low:high])
            step *= 2
            low, high = high, high + step
        while high - low > 1:
            middle = (low + high) // 2
            if room.holds(sizes[low:middle], arrivals[low:middle]):
                room = room.without(sizes[low:middle])
                low = middle
            else:
                high = middle
        return low

    def without(self, sizes: "array[int]") -> "Room":
        """What is left when these are in."""
        return Room(self.max_bytes - sum(sizes), self.max_records - len(sizes), self.before_ms)


class Chunker:
    """Cuts one shard's records into chunks. Pure: it reads no clock and does no I/O."""

    def __init__(self, limits: ChunkLimits) -> None:
        self._limits = limits
        self._open = Records()

    @property
    def open_records(self) -> int:
        return len(self._open)

    @property
    def open_bytes(self) -> int:
        """Of payloads."""
        return self._open.payload_bytes

    @property
    def open_held_bytes(self) -> int:
        """Of memory."""
        return self._open.held_bytes

    @property
    def open_since_ms(self) -> int | None:
        """Arrival time of the open chunk's first record."""
        return self._open.first_arrival_ms if self._open else None

    def add(self, records: Records) -> list[Chunk]:
        """Take records in shard order, and copy them; return the chunks that they complete."""
        return list(self.cut(records))

    def cut(self, records: Records) -> Iterator[Chunk]:
        """As `add`, chunk by chunk, each of them copied when it is asked for. Whoever does not ask for all of them has
        to discard the rest."""
        if not records:
            return
        if self._holds_all_of(records):
            self._open.extend(records)
            return
        yield from self._cut(records)

    def seal_idle(self, tip_seen_ms: int) -> Chunk | None:
        """Seal the open chunk if it cannot grow any more.

        `tip_seen_ms` is a wall-clock time at which the shard was known to hold no record that this chunker has not
        been given. Once it lies past the window and the grace, whatever comes next starts a new chunk.
        """
        since = self.open_since_ms
        if since is None or tip_seen_ms < since + self._limits.window_ms + self._limits.grace_ms:
            return None
        return self.seal()

    def seal(self) -> Chunk | None:
        """Seal whatever is open: for the end of a shard, where no record can follow."""
        if not self._open:
            return None
        chunk = Chunk(self._open)
        self.discard()
        return chunk

    def discard(self) -> None:
        """Forget the open chunk: whoever reads from the checkpoint next cuts it again at the same place."""
        self._open = Records()

    def _holds_all_of(self, records: Records) -> bool:
        """Whether the whole batch fits without completing the chunk, so that no record need be looked at alone."""
        since = (self._open or records).first_arrival_ms
        return (
            self._open.payload_bytes + records.payload_bytes < self._limits.max_bytes
            and len(self._open) + len(records) < self._limits.max_records
            and max(records.arrivals()) < since + self._limits.window_ms
        )

    def _cut(self, records: Records) -> Iterator[Chunk]:
        limits = self._limits
        sizes, arrivals = records.sizes(), records.arrivals()
        begin = place = 0
        count, size = len(self._open), self._open.payload_bytes
        since = self._open.first_arrival_ms if self._open else 0
        while place < len(sizes):
            if count:
                room = Room(limits.max_bytes - size, limits.max_records - count, since + limits.window_ms)
                end = room.leading(sizes, arrivals, place)
                count += end - place
                size += sum(sizes[place:end])
                place = end
                if place == len(sizes):
                    break
            one, arrival_ms = sizes[place], arrivals[place]
            if count and (size + one > limits.max_bytes or arrival_ms >= since + limits.window_ms):
                yield self._seal_with(records, begin, place)
                begin, count, size = place, 0, 0
            if not count:
                since = arrival_ms
            count += 1
            size += one
            place += 1
            if size >= limits.max_bytes or count >= limits.max_records:
                yield self._seal_with(records, begin, place)
                begin, count, size = place, 0, 0
        self._open.extend(records, begin)

    def _seal_with(self, records: Records, begin: int, end: int) -> Chunk:
        self._open.extend(records, begin, end)
        chunk = Chunk(self._open)
        self.discard()
        return chunk
