"""What is in flight, and how far a checkpoint may go."""

from collections import deque

from consumer.domain.chunks import Chunk
from consumer.domain.records import Position


class Ticket:
    """The handle that acknowledges one tracked chunk."""

    __slots__ = ("_done", "_ledger", "end", "held_bytes", "read_ms", "records", "since_ms")

    def __init__(self, ledger: "Ledger", chunk: Chunk, held_bytes: int, read_ms: int | None) -> None:
        self._ledger = ledger
        self._done = False
        self.end = chunk.end
        self.records = chunk.count
        self.held_bytes = held_bytes
        self.since_ms = chunk.since_ms
        self.read_ms = read_ms

    @property
    def done(self) -> bool:
        return self._done

    def resolve(self) -> None:
        """Every record of the chunk is durable, in the backend or in the dead letters (I1)."""
        if self._done:
            raise RuntimeError(f"chunk ending at {self.end} was resolved twice")
        self._done = True
        self._ledger._on_resolved(self)


class Ledger:
    """Chunks in order of arrival. Completing one in the middle moves nothing: the watermark is the end of the
    longest completed prefix, and the only position that may ever be checkpointed (I1)."""

    def __init__(self) -> None:
        self._tickets: deque[Ticket] = deque()
        self._unresolved = 0
        self._unresolved_records = 0
        self._unresolved_bytes = 0
        self._watermark: Position | None = None

    @property
    def watermark(self) -> Position | None:
        """`None` until the first chunk of this shard process is complete."""
        return self._watermark

    @property
    def in_flight_chunks(self) -> int:
        return self._unresolved

    @property
    def in_flight_records(self) -> int:
        return self._unresolved_records

    @property
    def unsettled_chunks(self) -> int:
        """Chunks past the watermark, complete or not: what a restart would deliver again."""
        return len(self._tickets)

    @property
    def in_flight_bytes(self) -> int:
        """As `track` was told."""
        return self._unresolved_bytes

    @property
    def oldest_ms(self) -> int | None:
        """Arrival time of the first record that is not known to be durable."""
        return self._tickets[0].since_ms if self._tickets else None

    @property
    def oldest_read_ms(self) -> int | None:
        """When that record was read, where `track` was told."""
        return self._tickets[0].read_ms if self._tickets else None

    def track(self, chunk: Chunk, *, held_bytes: int | None = None, read_ms: int | None = None) -> Ticket:
        """Take responsibility for the next chunk of the shard, which takes so much memory until it is durable (its
        payloads' bytes unless told); `read_ms` is when its first record was read."""
        held_bytes = chunk.size_bytes if held_bytes is None else held_bytes
        ticket = Ticket(self, chunk, held_bytes, read_ms)
        self._tickets.append(ticket)
        self._unresolved += 1
        self._unresolved_records += ticket.records
        self._unresolved_bytes += held_bytes
        return ticket

    def _on_resolved(self, ticket: Ticket) -> None:
        self._unresolved -= 1
        self._unresolved_records -= ticket.records
        self._unresolved_bytes -= ticket.held_bytes
        while self._tickets and self._tickets[0].done:
            self._watermark = self._tickets.popleft().end
