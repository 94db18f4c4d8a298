"""What is taken from the KCL's messages: their records become chunks, and each is started when there is room for it."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from consumer.domain.chunks import Chunk, Chunker, Footprint
from consumer.domain.columns import Records
from consumer.domain.ledger import Ledger
from consumer.shard.delivery.checkpointing import Checkpointer
from consumer.shard.delivery.status import ShardStatus
from consumer.shard.delivery.waits import Waits

_FIRST_MESSAGE_SECONDS = 5.0
"""How long the callback of the first message may wait for room. The scheduler of KCL 3.1.3 may wait for a lock of
ShardConsumer that each callback holds, and opens no other shard before. It can miss the moment between two callbacks
that follow at once, so those after the first wait no longer than that either, as long as something is put off and
memory allows: sooner or later one comes after a pause between two reads."""


class ChunkDelivery(Protocol):
    def start(self, chunk: Chunk, on_durable: Callable[[], None]) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class InFlightLimits:
    """At either of these a callback waits, and no chunk is started that would pass `max_bytes`: one that is larger
    than that goes alone. Bytes are of memory, as `footprint` tells; those of a message beyond `message_bytes`, for
    which a shard process has room beside its limit, count until they are taken.

    `max_chunks` counts from the watermark, so that one chunk that takes long bounds how much is delivered beyond
    it: after a crash all of that is delivered again, and BigQuery forgets an insertId after a minute.
    """

    max_chunks: int
    max_bytes: int
    footprint: Footprint
    message_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """Where a replay ends, in milliseconds since the epoch: chunks whose first record arrived at `before_ms` or later
    are not delivered, and a shard that was seen to be empty at `tip_ms` has no others."""

    before_ms: int
    tip_ms: int


@dataclass(slots=True, kw_only=True)
class _Taking:
    """What was read and is not tracked yet: the open chunk, and what is left of the messages behind it. `since` is when
    the oldest of it arrived and when it was read, `left_bytes` what its records take."""

    sealed: deque[Iterator[Chunk]]
    """One after the other."""
    records: int
    left_bytes: int
    since: tuple[int, int] | None = None
    is_put_off: bool = False
    """Until the next callback: this one has returned."""

    def next(self) -> Chunk | None:
        """The next chunk that is complete, None where no other is."""
        while self.sealed:
            chunk = next(self.sealed[0], None)
            if chunk is not None:
                return chunk
            self.sealed.popleft()
        return None

    def give_back(self, chunk: Chunk) -> None:
        self.sealed.appendleft(iter((chunk,)))


class Intake:
    """That of one shard. Tracked is a chunk that is in the ledger: it was started, and a checkpoint waits for it."""

    def __init__(
        self,
        *,
        chunker: Chunker,
        ledger: Ledger,
        delivery: ChunkDelivery,
        limits: InFlightLimits,
        status: ShardStatus,
        waits: Waits,
        end: End | None,
        now: Callable[[], float],
    ) -> None:
        self._chunker = chunker
        self._ledger = ledger
        self._delivery = delivery
        self._limits = limits
        self._status = status
        self._waits = waits
        self._end = end
        self._now = now
        self.has_dropped = False
        """Records that were read, and are left to the next owner; those beyond the end of a replay are nobody's."""
        self._first_message_until: float | None = None
        self._open_read_ms: int | None = None
        self._message_bytes = 0  # beyond what a usual message takes
        self._taking: _Taking | None = None

    # What is not tracked yet

    @property
    def records(self) -> int:
        return self._chunker.open_records if self._taking is None else self._taking.records

    @property
    def held_bytes(self) -> int:
        """Of memory."""
        return self._chunker.open_held_bytes + self._message_bytes

    @property
    def oldest_ms(self) -> int | None:
        """When the oldest arrived, be it that its message waits for the end of a pause before it is taken."""
        oldest = self._chunker.open_since_ms
        return self._taking_since()[0] if oldest is None else oldest

    @property
    def oldest_read_ms(self) -> int | None:
        return self._taking_since()[1] if self._open_read_ms is None else self._open_read_ms

    def _taking_since(self) -> tuple[int | None, int | None]:
        since = None if self._taking is None else self._taking.since
        return (None, None) if since is None else since

    # Taking

    def take(
        self, records: Records, tip_seen_ms: int | None, checkpointer: Checkpointer, *, is_first: bool
    ) -> None:
        """All there is of a message; of the first one, what finds no room soon, and all of it in a pause, is put off to
        the next callback, and so is what comes behind that as long as it is little. `tip_seen_ms` as Chunker.seal_idle
        has it, None where the tip was not seen."""
        may_put_off = is_first or self._may_put_off_more(records)
        self._take(records, tip_seen_ms, checkpointer, may_put_off=may_put_off)
        if self._end is not None and self._is_past_tip(self._end, tip_seen_ms):
            self._waits.at_end = True

    def take_early(self, records: Records, *, is_first: bool) -> None:
        """Of a message that is still coming: nothing can be checkpointed yet, and of the first one no more is put off
        than a usual one takes."""
        may_put_off = self._may_put_off_more(records) or (is_first and self._is_little(records))
        self._take(records, None, None, may_put_off=may_put_off)

    def take_last(self, checkpointer: Checkpointer) -> None:
        """At the shard's end: what was put off, and the open chunk."""
        if self._taking is not None:
            self._go_on(self._taking, checkpointer)
        last = None if self._waits.takes_no_more() else self._chunker.seal()
        if last is not None:
            self._start(last, self._open_read_ms)
            self._open_read_ms = None

    def give_up(self) -> None:
        """The open chunk, unless a message is being taken: that gives up all that it has not tracked, as soon as it
        goes on. May be called at any moment, once no more is to be taken."""
        if self._taking is None:
            self._drop(self._chunker.open_records)
        elif self._taking.is_put_off:
            records, self._taking, self._message_bytes = self._taking.records, None, 0
            self._drop(records)

    def _may_put_off_more(self, records: Records) -> bool:
        return self._taking is not None and not self._waits.paused and self._is_little(records)

    def _is_little(self, records: Records) -> bool:
        """With what is put off no more than a usual message takes."""
        put_off = 0 if self._taking is None else self._taking.left_bytes
        return put_off + records.held_bytes <= self._limits.message_bytes

    def _take(
        self,
        records: Records,
        tip_seen_ms: int | None,
        checkpointer: Checkpointer | None,
        *,
        may_put_off: bool,
    ) -> None:
        taking = self._taking
        if taking is None:
            taking = self._taking = _Taking(
                sealed=deque(),
                records=self._chunker.open_records,
                left_bytes=self._chunker.open_held_bytes,
            )
        if records and taking.since is None:
            taking.since = records.first_arrival_ms, self._status.now_ms()
        taking.records += len(records)
        taking.left_bytes += records.held_bytes
        if records or not taking.is_put_off:  # a sight of the tip is for what has no records before it
            taking.sealed.append(self._sealed(_copy(records) if may_put_off else records, tip_seen_ms))
        self._go_on(taking, checkpointer, may_put_off=may_put_off)

    def _sealed(self, records: Records, tip_seen_ms: int | None) -> Iterator[Chunk]:
        """The chunks that are complete now, each of them copied out of the message when it is asked for."""
        yield from self._chunker.cut(records)
        if tip_seen_ms is not None and (idle := self._chunker.seal_idle(tip_seen_ms)) is not None:
            yield idle

    def _go_on(
        self, taking: _Taking, checkpointer: Checkpointer | None, *, may_put_off: bool = False
    ) -> None:
        """Start its chunks: all of them, unless some may be put off."""
        taking.is_put_off = False
        if self._waits.paused and not may_put_off:
            self._waits.until(lambda: not self._waits.paused, checkpointer)
        until = self._end_of_first_wait() if may_put_off else None
        taking.is_put_off = not self._waits.takes_no_more() and not self._start_all(
            taking, checkpointer, until
        )
        self._message_bytes = taking.left_bytes if taking.is_put_off else 0
        if not taking.is_put_off:
            self._taking = None
            if self._waits.takes_no_more():
                # no checkpoint can pass what was never tracked
                self._drop(taking.records)
        self._waits.checkpoint_if_due(checkpointer)

    def _end_of_first_wait(self) -> float:
        """Of the whole first message, however many parts it comes in."""
        if self._first_message_until is None:
            self._first_message_until = self._now() + _FIRST_MESSAGE_SECONDS
        return self._first_message_until

    def _start_all(self, taking: _Taking, checkpointer: Checkpointer | None, until: float | None) -> bool:
        """Whether nothing is left but the open chunk, or nothing more is to be taken: always, without `until`."""
        waits = self._waits
        if waits.paused:
            return False
        now_ms = self._status.now_ms()
        read_ms = now_ms if self._open_read_ms is None else self._open_read_ms
        while (chunk := taking.next()) is not None:
            if self._reaches_end(chunk.since_ms):
                break
            taking.since = chunk.records.first_arrival_ms, read_ms
            self._message_bytes = max(
                0, taking.left_bytes - chunk.records.held_bytes - self._limits.message_bytes
            )
            waits.until(lambda chunk=chunk: self._has_room_for(chunk), checkpointer, deadline=until)  # type: ignore[misc]
            if until is not None and not waits.takes_no_more() and not self._has_room_for(chunk):
                taking.give_back(chunk)
                return False
            if waits.takes_no_more():
                break
            taking.left_bytes -= chunk.records.held_bytes
            taking.records -= chunk.count
            self._start(chunk, read_ms)
            read_ms = now_ms
            waits.until(self._has_room, checkpointer, deadline=until)
        self._reaches_end(self._chunker.open_since_ms)
        self._open_read_ms = read_ms if self._chunker.open_records else None
        return True

    def _start(self, chunk: Chunk, read_ms: int | None) -> None:
        held_bytes = self._limits.footprint.of(chunk.records)
        ticket = self._ledger.track(chunk, held_bytes=held_bytes, read_ms=read_ms)

        def on_durable() -> None:
            ticket.resolve()
            self._waits.wake()

        self._delivery.start(chunk, on_durable)

    def _drop(self, records: int) -> None:
        """Of no sealed chunk, the open one's among them: the next owner reads them again."""
        if records:
            self.has_dropped = self.has_dropped or not self._waits.at_end
            self._status.left(records)
        self._chunker.discard()
        self._open_read_ms = None

    # Room

    def _has_room(self) -> bool:
        if self._waits.paused:
            return False
        held = self._ledger.in_flight_bytes + self._message_bytes
        has_bytes = self._is_idle() or held < self._limits.max_bytes
        return has_bytes and self._ledger.unsettled_chunks < self._limits.max_chunks

    def _has_room_for(self, chunk: Chunk) -> bool:
        held = self._ledger.in_flight_bytes + self._message_bytes + self._limits.footprint.of(chunk.records)
        fits = self._is_idle() or (held <= self._limits.max_bytes and self._has_room())
        return fits and not self._waits.paused

    def _is_idle(self) -> bool:
        return self._ledger.in_flight_chunks == 0

    # The end of a replay

    def _reaches_end(self, since_ms: int | None) -> bool:
        """Whether a chunk that began then is past the end of a replay, at which the shard is from then on."""
        if self._end is not None and since_ms is not None and since_ms >= self._end.before_ms:
            self._waits.at_end = True
        return self._waits.at_end

    def _is_past_tip(self, end: End, tip_seen_ms: int | None) -> bool:
        if self._taking is not None or self._chunker.open_records:
            return False
        return tip_seen_ms is not None and tip_seen_ms >= end.tip_ms


def _copy(records: Records) -> Records:
    """What a message has is valid until the next one comes."""
    copy = Records()
    copy.extend(records)
    return copy
