"""One shard's way from records to checkpoints: chunker, delivery, ledger.

Every method runs inside a callback of the KCL, the only place where a checkpoint is legal. A callback returns when
there is room for more; until then it waits, and checkpoints while it waits.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

from consumer.domain.chunks import Chunk, Chunker, Footprint
from consumer.domain.columns import Records
from consumer.domain.events import REPLAYED, RUNNING
from consumer.domain.ledger import Ledger
from consumer.shard.delivery.checkpointing import CHECKPOINT_RETRY_SECONDS, Checkpointer, Checkpointing
from consumer.shard.delivery.status import ShardStatus

_RELEASE_SECONDS = 60.0
"""Between two looks of an idle shard at what it may give up."""
_FIRST_MESSAGE_SECONDS = 5.0
"""How long the callback of the first message may wait for room. Until it has returned, KCL 3.1.3 may open no other
shard, since its scheduler waits for a lock of ShardConsumer."""


class ChunkDelivery(Protocol):
    def start(self, chunk: Chunk, on_durable: Callable[[], None]) -> None: ...


class Wakeup(Protocol):
    """gevent.event.Event, as far as it is used."""

    def set(self) -> None: ...
    def clear(self) -> None: ...
    def wait(self, timeout: float | None = None) -> Any: ...


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

    chunks: Iterator[Chunk]
    records: int
    left_bytes: int
    since: tuple[int, int] | None = None
    is_put_off: bool = False
    """Until the next callback: this one has returned."""


class Pipeline:
    """The state of one shard between `initialize` and the end of the process."""

    def __init__(
        self,
        *,
        chunker: Chunker,
        ledger: Ledger,
        delivery: ChunkDelivery,
        checkpoints: Checkpointing,
        limits: InFlightLimits,
        status: ShardStatus,
        wakeup: Wakeup,
        drain_seconds: float,
        end: End | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`drain_seconds` is how long a shutdown waits for chunks in flight. A replay has an `end`."""
        self._chunker = chunker
        self._ledger = ledger
        self._delivery = delivery
        self._checkpoints = checkpoints
        self._limits = limits
        self._status = status
        self._wakeup = wakeup
        self._drain_seconds = drain_seconds
        self._end = end
        self._at_end = False
        self._at_first_message = True
        self._first_message_until: float | None = None
        self._now = now
        self._open_read_ms: int | None = None
        self._drain_until: float | None = None
        self._dropped = False
        self._paused = False
        self._released_at = now()
        self._message_bytes = 0  # beyond what a usual message takes
        self._taking: _Taking | None = None
        self._waited_seconds = 0.0
        self._waiting_since: float | None = None

    # What the supervisor is told (status.Gauges)

    @property
    def state(self) -> str:
        if self._checkpoints.lease_lost:
            return "lease_lost"
        if self._drain_until is not None:
            return "draining"
        if self._at_end and self._is_idle() and not self._checkpoints.pending(self._ledger.watermark):
            return REPLAYED
        return "paused" if self._paused else RUNNING

    @property
    def in_flight_records(self) -> int:
        """Read, and neither delivered nor given up: of sealed chunks, of the open one, and of the message that is
        being taken."""
        untracked = self._chunker.open_records if self._taking is None else self._taking.records
        return self._ledger.in_flight_records + untracked

    @property
    def in_flight_chunks(self) -> int:
        return self._ledger.in_flight_chunks

    @property
    def in_flight_bytes(self) -> int:
        """Of memory, for records that are not durable yet."""
        return self._ledger.in_flight_bytes + self._chunker.open_held_bytes + self._message_bytes

    @property
    def max_in_flight_chunks(self) -> int:
        return self._limits.max_chunks

    @property
    def max_in_flight_bytes(self) -> int:
        return self._limits.max_bytes

    @property
    def waited_seconds(self) -> float:
        """How long callbacks have waited for deliveries, the wait that lasts included; a pause is none."""
        since = self._waiting_since
        return self._waited_seconds + (0.0 if since is None else self._now() - since)

    @property
    def oldest_undelivered_ms(self) -> int | None:
        """Of what was read, be it that the message waits for the end of a pause before it is taken."""
        oldest = self._ledger.oldest_ms
        if oldest is None:
            oldest = self._chunker.open_since_ms
        return self._untracked_since()[0] if oldest is None else oldest

    @property
    def oldest_undelivered_read_ms(self) -> int | None:
        oldest = self._ledger.oldest_read_ms
        if oldest is None:
            oldest = self._open_read_ms
        return self._untracked_since()[1] if oldest is None else oldest

    def is_draining(self) -> bool:
        return self._drain_until is not None

    # The callbacks

    def accept(self, records: Records, tip_seen_ms: int | None, checkpointer: Checkpointer) -> None:
        """Take records; `tip_seen_ms` as Chunker.seal_idle has it, None where the tip was not seen.

        The callback of the first message waits for a moment only: what finds no room by then, and all of it in a pause,
        is put off to the next callback.
        """
        self._take(records, tip_seen_ms, checkpointer, may_put_off=self._at_first_message)
        if self._end is not None and (self._at_end or self._is_past_tip(self._end, tip_seen_ms)):
            self._at_end = True
            # the KCL keeps the lease meanwhile, and reads no further
            if not self._at_first_message:
                self._wait(lambda: False, checkpointer)
        self._at_first_message = False
        if not records and self._is_idle() and self._now() - self._released_at >= _RELEASE_SECONDS:
            self._released_at = self._now()
            self._checkpoints.release(everything=False)

    def take_early(self, records: Records) -> None:
        """Take records of a message that is still coming: as `accept`, but that nothing can be checkpointed yet, and
        that of the first message no more is put off than a usual one takes."""
        put_off = 0 if self._taking is None else self._taking.left_bytes
        is_much = put_off + records.held_bytes > self._limits.message_bytes
        self._take(records, None, None, may_put_off=self._at_first_message and not is_much)

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
                chunks=iter(()),
                records=self._chunker.open_records,
                left_bytes=self._chunker.open_held_bytes,
            )
        if records and taking.since is None:
            taking.since = records.first_arrival_ms, self._status.now_ms()
        taking.records += len(records)
        taking.left_bytes += records.held_bytes
        taking.chunks = chain(
            taking.chunks, self._sealed(_copy(records) if may_put_off else records, tip_seen_ms)
        )
        self._go_on(taking, checkpointer, may_put_off=may_put_off)

    def _go_on(
        self, taking: _Taking, checkpointer: Checkpointer | None, *, may_put_off: bool = False
    ) -> None:
        """Start its chunks: all of them, unless some may be put off."""
        taking.is_put_off = False
        if self._paused and not may_put_off:
            self._wait(lambda: not self._paused, checkpointer)
        until = self._end_of_first_wait() if may_put_off else None
        taking.is_put_off = not self._takes_no_more() and not self._start_all(taking, checkpointer, until)
        self._message_bytes = taking.left_bytes if taking.is_put_off else 0
        if not taking.is_put_off:
            self._taking = None
            if self._takes_no_more():
                # no checkpoint can pass what was never tracked
                self._give_up(taking.records)
        self._checkpoint_if_due(checkpointer)

    def _start_all(self, taking: _Taking, checkpointer: Checkpointer | None, until: float | None) -> bool:
        """Whether nothing is left but the open chunk, or nothing more is to be taken: always, without `until`."""
        if self._paused:
            return False
        now_ms = self._status.now_ms()
        read_ms = now_ms if self._open_read_ms is None else self._open_read_ms
        for chunk in taking.chunks:
            if self._reaches_end(chunk.since_ms):
                break
            taking.since = chunk.records.first_arrival_ms, read_ms
            self._message_bytes = max(
                0, taking.left_bytes - chunk.records.held_bytes - self._limits.message_bytes
            )
            self._wait(lambda chunk=chunk: self._has_room_for(chunk), checkpointer, until=until)  # type: ignore[misc]
            if until is not None and not self._takes_no_more() and not self._has_room_for(chunk):
                taking.chunks = chain([chunk], taking.chunks)
                return False
            if self._takes_no_more():
                break
            taking.left_bytes -= chunk.records.held_bytes
            taking.records -= chunk.count
            self._start(chunk, read_ms)
            read_ms = now_ms
            self._wait(self._has_room, checkpointer, until=until)
        self._reaches_end(self._chunker.open_since_ms)
        self._open_read_ms = read_ms if self._chunker.open_records else None
        return True

    def _end_of_first_wait(self) -> float:
        """Of the whole first message, however many parts it comes in."""
        if self._first_message_until is None:
            self._first_message_until = self._now() + _FIRST_MESSAGE_SECONDS
        return self._first_message_until

    def _untracked_since(self) -> tuple[int | None, int | None]:
        """When the oldest record arrived that is neither tracked nor in the open chunk, and when it was read."""
        since = None if self._taking is None else self._taking.since
        return (None, None) if since is None else since

    def end(self, checkpointer: Checkpointer) -> None:
        """The shard has ended: deliver everything, then checkpoint its end, so that its children may start."""
        if self._taking is not None:
            self._go_on(self._taking, checkpointer)
        read_ms = self._open_read_ms
        last = None if self._takes_no_more() else self._chunker.seal()
        if last is not None:
            self._start(last, read_ms)
            self._open_read_ms = None
        self._wait(self._is_idle, checkpointer)
        if not self._is_idle() and self._drain_until is not None:
            self._wait(self._is_idle, checkpointer, until=self._drain_until, draining=True)
        if self._dropped or not self._is_idle():
            self._status.log(
                "WARNING",
                "the shard's end is not checkpointed: not everything is delivered",
                event="shard_end_put_off",
            )
            return
        while not self._checkpoints.at_shard_end(checkpointer):
            if self._checkpoints.lease_lost or self._past_drain():
                return
            self._pause(CHECKPOINT_RETRY_SECONDS)
        self._checkpoints.release(everything=True)

    def shut_down(self, checkpointer: Checkpointer) -> None:
        """The lease will be given up: finish what is in flight, checkpoint, forget the open chunk."""
        self.drain()
        self._wait(self._is_idle, checkpointer, until=self._drain_until, draining=True)
        while self._checkpoints.pending(self._ledger.watermark):
            self._checkpoints.at(self._ledger.watermark, checkpointer)
            if not self._checkpoints.pending(self._ledger.watermark) or self._past_drain():
                break
            self._pause(CHECKPOINT_RETRY_SECONDS)
        left = self._ledger.in_flight_chunks
        if not left:
            self._checkpoints.release(everything=True)
        self._status.log(
            "INFO" if not left else "WARNING",
            f"shut down at {self._checkpoints.confirmed or 'the checkpoint it started from'},"
            f" {left} chunks left undelivered for the next owner",
            event="shard_shut_down",
            chunks_left=left,
        )

    def lose_lease(self) -> None:
        """Writes in flight are harmless (I2, I3); checkpoints are not ours to make."""
        self._checkpoints.lease_lost = True
        self._give_up_open_chunk()
        self._wakeup.set()

    def drain(self) -> None:
        """Take no more records. Called by a signal as well, at any moment; ends every wait for room."""
        if self._drain_until is None:
            self._drain_until = self._now() + self._drain_seconds
        self._give_up_open_chunk()
        self._wakeup.set()

    def pause(self, paused: bool) -> None:
        """While paused, a callback that brings records waits before it takes them; what was taken is delivered, but for
        the open chunk, whose end only further records can tell. Called at any moment; a drain ends the wait."""
        self._paused = paused
        self._wakeup.set()

    # Inside

    def _takes_no_more(self) -> bool:
        return self.is_draining() or self._checkpoints.lease_lost or self._at_end

    def _reaches_end(self, since_ms: int | None) -> bool:
        """Whether a chunk that began then is past the end of a replay, at which the shard is from then on."""
        if self._end is not None and since_ms is not None and since_ms >= self._end.before_ms:
            self._at_end = True
        return self._at_end

    def _is_past_tip(self, end: End, tip_seen_ms: int | None) -> bool:
        if self._taking is not None or self._chunker.open_records:
            return False
        return tip_seen_ms is not None and tip_seen_ms >= end.tip_ms

    def _sealed(self, records: Records, tip_seen_ms: int | None) -> Iterator[Chunk]:
        """The chunks that are complete now, each of them copied out of the message when it is asked for."""
        yield from self._chunker.cut(records)
        if tip_seen_ms is not None and (idle := self._chunker.seal_idle(tip_seen_ms)) is not None:
            yield idle

    def _start(self, chunk: Chunk, read_ms: int | None) -> None:
        held_bytes = self._limits.footprint.of(chunk.records)
        ticket = self._ledger.track(chunk, held_bytes=held_bytes, read_ms=read_ms)

        def on_durable() -> None:
            ticket.resolve()
            self._wakeup.set()

        self._delivery.start(chunk, on_durable)

    def _give_up_open_chunk(self) -> None:
        """Unless a message is being taken: that gives up all that it has not tracked, as soon as it goes on."""
        if self._taking is None:
            self._give_up(self._chunker.open_records)
        elif self._taking.is_put_off:
            records, self._taking, self._message_bytes = self._taking.records, None, 0
            self._give_up(records)

    def _give_up(self, records: int) -> None:
        """Of no sealed chunk, the open one's among them: the next owner reads them again."""
        if records:
            self._dropped = True
            self._status.left(records)
        self._chunker.discard()
        self._open_read_ms = None

    def _has_room(self) -> bool:
        if self._paused:
            return False
        held = self._ledger.in_flight_bytes + self._message_bytes
        has_bytes = self._is_idle() or held < self._limits.max_bytes
        return has_bytes and self._ledger.unsettled_chunks < self._limits.max_chunks

    def _has_room_for(self, chunk: Chunk) -> bool:
        held = self._ledger.in_flight_bytes + self._message_bytes + self._limits.footprint.of(chunk.records)
        return not self._paused and (self._is_idle() or (held <= self._limits.max_bytes and self._has_room()))

    def _is_idle(self) -> bool:
        return self._ledger.in_flight_chunks == 0

    def _past_drain(self) -> bool:
        return self._drain_until is not None and self._now() >= self._drain_until

    def _wait(
        self,
        done: Callable[[], bool],
        checkpointer: Checkpointer | None,
        *,
        until: float | None = None,
        draining: bool = False,
    ) -> None:
        """Block until `done`, a lost lease, or `until` (monotonic), and but for one that is `draining`, until a drain.
        Without a checkpointer nothing is checkpointed meanwhile."""
        while True:
            self._checkpoint_if_due(checkpointer)
            self._wakeup.clear()
            if done() or self._checkpoints.lease_lost:
                return
            if (self.is_draining() and not draining) or (until is not None and self._now() >= until):
                return
            self._waiting_since = None if self._paused or self._at_end else self._now()
            self._wakeup.wait(self._next_look(until, may_checkpoint=checkpointer is not None))
            self._waited_seconds = self.waited_seconds
            self._waiting_since = None

    def _next_look(self, until: float | None, *, may_checkpoint: bool) -> float | None:
        """Seconds until there is something to do without a wake-up; None where there is nothing."""
        looks = [] if until is None else [until - self._now()]
        if may_checkpoint and self._checkpoints.pending(self._ledger.watermark):
            looks.append(self._checkpoints.seconds_until_due())
        return max(0.0, min(looks)) if looks else None

    def _pause(self, seconds: float) -> None:
        self._wakeup.clear()
        self._wakeup.wait(seconds)

    def _checkpoint_if_due(self, checkpointer: Checkpointer | None) -> None:
        if checkpointer is not None and not self._checkpoints.lease_lost:
            self._checkpoints.if_due(self._ledger.watermark, checkpointer)


def _copy(records: Records) -> Records:
    """What a message has is valid until the next one comes."""
    copy = Records()
    copy.extend(records)
    return copy
