"""One shard's way from records to checkpoints: chunker, delivery, ledger.

Every method runs inside a callback of the KCL, the only place where a checkpoint is legal. A callback returns when
there is room for more; until then it waits, and checkpoints while it waits.
"""

import time
from collections.abc import Callable

from consumer.domain.chunks import Chunker
from consumer.domain.columns import Records
from consumer.domain.events import ENDED, REPLAYED, RUNNING
from consumer.domain.ledger import Ledger
from consumer.shard.delivery.checkpointing import CHECKPOINT_RETRY_SECONDS, Checkpointer, Checkpointing
from consumer.shard.delivery.intake import ChunkDelivery, End, InFlightLimits, Intake
from consumer.shard.delivery.status import ShardStatus
from consumer.shard.delivery.waits import Waits, Wakeup

_RELEASE_SECONDS = 60.0
"""Between two looks of an idle shard at what it may give up."""

_HOLD_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)
"""How long callbacks at the end of a replay hold the KCL up, which would read on otherwise: one after another, and the
last for all others."""
_BETWEEN_HOLDS_SECONDS = 5.0
"""Callbacks return at once for as long, and from the first message on: the KCL's scheduler may wait for the lock that
each of them holds (intake.py says more), and is sure to get it only where a pause between two reads falls into this."""


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
        self._ledger = ledger
        self._checkpoints = checkpoints
        self._limits = limits
        self._status = status
        self._now = now
        self._waits = Waits(
            ledger=ledger, checkpoints=checkpoints, wakeup=wakeup, drain_seconds=drain_seconds, now=now
        )
        self._intake = Intake(
            chunker=chunker,
            ledger=ledger,
            delivery=delivery,
            limits=limits,
            status=status,
            waits=self._waits,
            end=end,
            now=now,
        )
        self._no_hold_until: float | None = None  # None before the first message
        self._holds = iter(_HOLD_SECONDS)
        self._released_at = now()
        self._has_ended = False

    # What the supervisor is told (status.Gauges)

    @property
    def state(self) -> str:
        if self._has_ended:
            return ENDED
        if self._checkpoints.lease_lost:
            return "lease_lost"
        if self.is_draining():
            return "draining"
        if self._waits.at_end and self._is_idle() and not self._checkpoints.pending(self._ledger.watermark):
            return REPLAYED
        return "paused" if self._waits.paused else RUNNING

    @property
    def in_flight_records(self) -> int:
        """Read, and neither delivered nor given up: of sealed chunks, of the open one, and of the message that is
        being taken."""
        return self._ledger.in_flight_records + self._intake.records

    @property
    def in_flight_chunks(self) -> int:
        return self._ledger.in_flight_chunks

    @property
    def in_flight_bytes(self) -> int:
        """Of memory, for records that are not durable yet."""
        return self._ledger.in_flight_bytes + self._intake.held_bytes

    @property
    def max_in_flight_chunks(self) -> int:
        return self._limits.max_chunks

    @property
    def max_in_flight_bytes(self) -> int:
        return self._limits.max_bytes

    @property
    def waited_seconds(self) -> float:
        return self._waits.seconds

    @property
    def oldest_undelivered_ms(self) -> int | None:
        oldest = self._ledger.oldest_ms
        return self._intake.oldest_ms if oldest is None else oldest

    @property
    def oldest_undelivered_read_ms(self) -> int | None:
        oldest = self._ledger.oldest_read_ms
        return self._intake.oldest_read_ms if oldest is None else oldest

    def is_draining(self) -> bool:
        return self._waits.is_draining()

    # The callbacks

    def accept(self, records: Records, tip_seen_ms: int | None, checkpointer: Checkpointer) -> None:
        """Take records; `tip_seen_ms` as Chunker.seal_idle has it, None where the tip was not seen.

        The callback of the first message waits for a moment only: what finds no room by then, and all of it in a pause,
        is put off to the next callback, which returns as well if it brings little.
        """
        self._intake.take(records, tip_seen_ms, checkpointer, is_first=self._no_hold_until is None)
        if self._no_hold_until is None:
            self._no_hold_until = self._now() + _BETWEEN_HOLDS_SECONDS
        elif self._waits.at_end and self._now() >= self._no_hold_until:
            hold = next(self._holds, _HOLD_SECONDS[-1])
            self._waits.until(lambda: False, checkpointer, deadline=self._now() + hold)
            self._no_hold_until = self._now() + _BETWEEN_HOLDS_SECONDS
        if not records and self._is_idle() and self._now() - self._released_at >= _RELEASE_SECONDS:
            self._released_at = self._now()
            self._checkpoints.release(everything=False)

    def take_early(self, records: Records) -> None:
        """Take records of a message that is still coming: as `accept`, but that nothing can be checkpointed yet, and
        that of the first message no more is put off than a usual one takes."""
        self._intake.take_early(records, is_first=self._no_hold_until is None)

    def end(self, checkpointer: Checkpointer) -> None:
        """The shard has ended: deliver everything, then checkpoint its end, so that its children may start."""
        self._intake.take_last(checkpointer)
        self._waits.until(self._is_idle, checkpointer)
        if not self._is_idle() and self.is_draining():
            self._finish(checkpointer)
        if self._intake.has_dropped or not self._is_idle():
            self._status.log(
                "WARNING",
                "the shard's end is not checkpointed: not everything is delivered",
                event="shard_end_put_off",
            )
            return
        while not self._checkpoints.at_shard_end(checkpointer):
            if self._checkpoints.lease_lost or self._waits.is_past_drain():
                return
            self._waits.sleep(CHECKPOINT_RETRY_SECONDS)
        self._has_ended = True
        self._checkpoints.release(everything=True)

    def shut_down(self, checkpointer: Checkpointer) -> None:
        """The lease will be given up: finish what is in flight, checkpoint, forget the open chunk."""
        self.drain()
        self._finish(checkpointer)
        while self._checkpoints.pending(self._ledger.watermark):
            self._checkpoints.at(self._ledger.watermark, checkpointer)
            if not self._checkpoints.pending(self._ledger.watermark) or self._waits.is_past_drain():
                break
            self._waits.sleep(CHECKPOINT_RETRY_SECONDS)
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
        self._intake.give_up()
        self._waits.wake()

    def drain(self) -> None:
        """Take no more records. Called by a signal as well, at any moment; ends every wait for room."""
        self._waits.drain()
        self._intake.give_up()
        self._waits.wake()

    def pause(self, paused: bool) -> None:
        """While paused, a callback that brings records waits before it takes them; what was taken is delivered, but for
        the open chunk, whose end only further records can tell. Called at any moment; a drain ends the wait."""
        self._waits.paused = paused
        self._waits.wake()

    def _finish(self, checkpointer: Checkpointer) -> None:
        """What is in flight, as long as the drain allows."""
        self._waits.until(self._is_idle, checkpointer, deadline=self._waits.drain_until, draining=True)

    def _is_idle(self) -> bool:
        return self._ledger.in_flight_chunks == 0
