"""Chunks: contiguous slices of one shard's records, the unit of delivery, naming and checkpoints.

Boundaries depend on the records and the limits only (I2): never on the clock, never on how the KCL batched the
records. That is what lets a replay, a zombie worker or a new owner cut the same chunks and write the same objects.
The one exception is `Chunker.seal_idle`, which seals where the next record would have sealed anyway.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from consumer.domain.records import Position, Record


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

    records: tuple[Record, ...]
    size_bytes: int
    count: int = field(init=False)
    first: Record = field(init=False)
    end: Position = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", len(self.records))
        object.__setattr__(self, "first", self.records[0])
        object.__setattr__(self, "end", self.records[-1].position)

    @property
    def name(self) -> str:
        """`<first sequence>[.<sub>]-<records>`: fixes which records are inside (I2)."""
        return f"{self.first.position}-{self.count}"

    def release(self) -> None:
        """Let go of the records, most of what a shard process holds, once nobody will look at them any more; what
        the chunk is called, how many it had and where it ends stays known."""
        object.__setattr__(self, "records", ())


class Chunker:
    """Cuts one shard's records into chunks. Pure: it reads no clock and does no I/O."""

    def __init__(self, limits: ChunkLimits) -> None:
        self._limits = limits
        self._open: list[Record] = []
        self._open_bytes = 0

    @property
    def open_records(self) -> int:
        return len(self._open)

    @property
    def open_bytes(self) -> int:
        return self._open_bytes

    @property
    def open_since_ms(self) -> int | None:
        """Arrival time of the open chunk's first record."""
        return self._open[0].arrival_ms if self._open else None

    def add(self, records: Sequence[Record]) -> list[Chunk]:
        """Take records in shard order; return the chunks that they complete."""
        if not records:
            return []
        batch_bytes = sum([len(record.data) for record in records])
        if self._holds_all_of(records, batch_bytes):
            self._open.extend(records)
            self._open_bytes += batch_bytes
            return []
        return self._cut(records)

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
        chunk = Chunk(tuple(self._open), self._open_bytes)
        self.discard()
        return chunk

    def discard(self) -> None:
        """Forget the open chunk: whoever reads from the checkpoint next cuts it again at the same place."""
        self._open = []
        self._open_bytes = 0

    def _holds_all_of(self, records: Sequence[Record], batch_bytes: int) -> bool:
        """Whether the whole batch fits without completing the chunk, so that no record need be looked at twice."""
        since = self._open[0].arrival_ms if self._open else records[0].arrival_ms
        return (
            self._open_bytes + batch_bytes < self._limits.max_bytes
            and len(self._open) + len(records) < self._limits.max_records
            and max([record.arrival_ms for record in records]) < since + self._limits.window_ms
        )

    def _cut(self, records: Sequence[Record]) -> list[Chunk]:
        sealed: list[Chunk] = []
        limits = self._limits
        for record in records:
            size = len(record.data)
            if self._open and (
                self._open_bytes + size > limits.max_bytes
                or record.arrival_ms >= self._open[0].arrival_ms + limits.window_ms
            ):
                sealed.append(Chunk(tuple(self._open), self._open_bytes))
                self.discard()
            self._open.append(record)
            self._open_bytes += size
            if self._open_bytes >= limits.max_bytes or len(self._open) >= limits.max_records:
                sealed.append(Chunk(tuple(self._open), self._open_bytes))
                self.discard()
        return sealed
