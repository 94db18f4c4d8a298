"""One shard's way from records to checkpoints: chunker, delivery, ledger.

Every method runs inside a callback of the KCL, the only place where a checkpoint is legal. A callback returns when
there is room for more; until then it waits, and checkpoints while it waits.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from amazon_kclpy.checkpoint_error import CheckpointError

from consumer.domain.checkpoints import CheckpointState, Refusal, refusal_of
from consumer.domain.chunks import Chunk, Chunker
from consumer.domain.errors import ProtocolError
from consumer.domain.ledger import Ledger
from consumer.domain.records import Record
from consumer.shard.status import ShardStatus

CHECKPOINT_RETRY_SECONDS = 1.0


class Checkpointer(Protocol):
    """amazon_kclpy's: raises CheckpointError with the KCL's reason."""

    def checkpoint(
        self, sequence_number: str | None = None, sub_sequence_number: int | None = None
    ) -> None: ...


class ChunkDelivery(Protocol):
    def start(self, chunk: Chunk, on_durable: Callable[[], None]) -> None: ...


class Wakeup(Protocol):
    """gevent.event.Event, as far as it is used."""

    def set(self) -> None: ...
    def clear(self) -> None: ...
    def wait(self, timeout: float | None = None) -> Any: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class InFlightLimits:
    """At either of these a callback waits. A chunk larger than `max_bytes` passes when it is alone."""

    max_chunks: int
    max_bytes: int


class Pipeline:
    """The state of one shard between `initialize` and the end of the process."""

    def __init__(
        self,
        *,
        chunker: Chunker,
        ledger: Ledger,
        delivery: ChunkDelivery,
        checkpoints: CheckpointState,
        limits: InFlightLimits,
        status: ShardStatus,
        wakeup: Wakeup,
        drain_seconds: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`drain_seconds` is how long a shutdown waits for chunks in flight."""
        self._chunker = chunker
        self._ledger = ledger
        self._delivery = delivery
        self._checkpoints = checkpoints
        self._limits = limits
        self._status = status
        self._wakeup = wakeup
        self._drain_seconds = drain_seconds
        self._now = now
        self._drain_until: float | None = None
        self._dropped = False
        self._lease_lost = False

    # What the supervisor is told (status.Gauges)

    @property
    def state(self) -> str:
        if self._lease_lost:
            return "lease_lost"
        return "running" if self._drain_until is None else "draining"

    @property
    def in_flight_chunks(self) -> int:
        return self._ledger.in_flight_chunks

    @property
    def in_flight_bytes(self) -> int:
        return self._ledger.in_flight_bytes + self._chunker.open_bytes

    @property
    def oldest_undelivered_ms(self) -> int | None:
        oldest = self._ledger.oldest_ms
        return self._chunker.open_since_ms if oldest is None else oldest

    def is_draining(self) -> bool:
        return self._drain_until is not None

    @property
    def drain_seconds(self) -> float:
        return self._drain_seconds

    # The callbacks

    def accept(self, records: Sequence[Record], tip_seen_ms: int | None, checkpointer: Checkpointer) -> None:
        """Take records; `tip_seen_ms` as Chunker.seal_idle has it, None where the tip was not seen."""
        if self.is_draining() or self._lease_lost:
            self._drop(bool(records))
            return
        sealed = self._chunker.add(records)
        if tip_seen_ms is not None and (idle := self._chunker.seal_idle(tip_seen_ms)) is not None:
            sealed.append(idle)
        for chunk in sealed:
            if self.is_draining():
                # it was never tracked, so no checkpoint can pass it: the next owner reads it again
                self._drop(True)
                return
            self._start(chunk)
            self._wait(self._has_room, checkpointer)
        self._checkpoint_if_due(checkpointer)

    def end(self, checkpointer: Checkpointer) -> None:
        """The shard has ended: deliver everything, then checkpoint its end, so that its children may start."""
        last = None if self.is_draining() else self._chunker.seal()
        if last is not None:
            self._start(last)
        self._wait(self._is_idle, checkpointer)
        if not self._is_idle():
            self._wait(self._is_idle, checkpointer, until=self._drain_until)
        if self._dropped or not self._is_idle():
            self._status.log("WARNING", "the shard's end is not checkpointed: not everything is delivered")
            return
        self._checkpoint_end(checkpointer)

    def shut_down(self, checkpointer: Checkpointer) -> None:
        """The lease will be given up: finish what is in flight, checkpoint, forget the open chunk."""
        self.drain()
        self._wait(self._is_idle, checkpointer, until=self._drain_until)
        while self._checkpoints.pending(self._ledger.watermark) and not self._lease_lost:
            self._checkpoint(checkpointer)
            if self._checkpoints.confirmed == self._ledger.watermark or self._past_drain():
                break
            self._pause(CHECKPOINT_RETRY_SECONDS)
        left = self._ledger.in_flight_chunks
        self._status.log(
            "INFO" if not left else "WARNING",
            f"shut down at {self._checkpoints.confirmed or 'the checkpoint it started from'},"
            f" {left} chunks left undelivered for the next owner",
        )

    def lose_lease(self) -> None:
        """Writes in flight are harmless (I2, I3); checkpoints are not ours to make."""
        self._lease_lost = True
        self._drop(False)
        self._wakeup.set()

    def drain(self) -> None:
        """Take no more records. Called by a signal as well, at any moment; ends every wait for room."""
        if self._drain_until is None:
            self._drain_until = self._now() + self._drain_seconds
        self._drop(False)
        self._wakeup.set()

    # Inside

    def _start(self, chunk: Chunk) -> None:
        ticket = self._ledger.track(chunk)

        def on_durable() -> None:
            ticket.resolve()
            self._wakeup.set()

        self._delivery.start(chunk, on_durable)

    def _drop(self, records_too: bool) -> None:
        self._dropped = self._dropped or records_too or self._chunker.open_records > 0
        self._chunker.discard()

    def _has_room(self) -> bool:
        return (
            self._ledger.in_flight_chunks < self._limits.max_chunks
            and self._ledger.in_flight_bytes < self._limits.max_bytes
        )

    def _is_idle(self) -> bool:
        return self._ledger.in_flight_chunks == 0

    def _past_drain(self) -> bool:
        return self._drain_until is not None and self._now() >= self._drain_until

    def _wait(
        self, done: Callable[[], bool], checkpointer: Checkpointer, *, until: float | None = None
    ) -> None:
        """Block until `done`, a lost lease, or `until` (monotonic); without `until`, a drain ends it as well."""
        while True:
            self._checkpoint_if_due(checkpointer)
            self._wakeup.clear()
            if done() or self._lease_lost or (self.is_draining() if until is None else self._now() >= until):
                return
            self._wakeup.wait(self._next_look(until))

    def _next_look(self, until: float | None) -> float | None:
        """Seconds until there is something to do without a wake-up; None where there is nothing."""
        now = self._now()
        looks = [] if until is None else [until - now]
        if self._checkpoints.pending(self._ledger.watermark):
            looks.append(self._checkpoints.seconds_until_due(now))
        return max(0.0, min(looks)) if looks else None

    def _pause(self, seconds: float) -> None:
        self._wakeup.clear()
        self._wakeup.wait(seconds)

    # Checkpoints

    def _checkpoint_if_due(self, checkpointer: Checkpointer) -> None:
        if not self._lease_lost and self._checkpoints.due(self._ledger.watermark, self._now()):
            self._checkpoint(checkpointer)

    def _checkpoint(self, checkpointer: Checkpointer) -> None:
        position = self._ledger.watermark
        if position is None or self._lease_lost:
            return
        # null and 0 mean the same to the KCL; null is what plain records are checkpointed with
        sub_sequence_number = position.sub_sequence_number or None
        if self._accepted(checkpointer, position.sequence_number, sub_sequence_number):
            self._checkpoints.succeeded(position, self._now())
            self._status.checkpointed(str(position))

    def _checkpoint_end(self, checkpointer: Checkpointer) -> None:
        while not self._accepted(checkpointer, None, None):
            if self._lease_lost or self._past_drain():
                return
            self._pause(CHECKPOINT_RETRY_SECONDS)
        self._status.checkpointed("the shard's end")

    def _accepted(self, checkpointer: Checkpointer, sequence_number: str | None, sub: int | None) -> bool:
        """Ask the KCL once, or twice where the refusal says that this may help."""
        for attempt in (1, 2):
            try:
                checkpointer.checkpoint(sequence_number, sub)
            except CheckpointError as error:
                refusal = self._refused(str(error.value))
                if refusal is not Refusal.REPEAT or attempt == 2:
                    return False
                continue
            return True
        return False

    def _refused(self, reason: str) -> Refusal:
        if reason == "InvalidStateException":
            # the conversation is out of step, or the lease table is gone: only a new process can go on
            raise ProtocolError(f"checkpoint refused: {reason}")
        refusal = refusal_of(reason)
        self._status.count("checkpoints_refused")
        self._status.log("WARNING", f"checkpoint refused: {reason}; {refusal.value}")
        self._checkpoints.failed(self._now(), retry_after_seconds=CHECKPOINT_RETRY_SECONDS)
        if refusal is Refusal.LEASE_LOST:
            self.lose_lease()
        return refusal
