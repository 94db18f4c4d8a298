"""Asking the KCL for checkpoints, and what its refusals mean for this process."""

import time
from collections.abc import Callable
from typing import Protocol

from amazon_kclpy.checkpoint_error import CheckpointError

from consumer.domain.checkpoints import CheckpointState, Refusal, refusal_of
from consumer.domain.errors import DeliveryError, ProtocolError, Superseded
from consumer.domain.records import Position
from consumer.shard.delivery.status import ShardStatus

CHECKPOINT_RETRY_SECONDS = 1.0


class Checkpointer(Protocol):
    """amazon_kclpy's: blocks until the KCL answers; raises CheckpointError with the KCL's reason."""

    def checkpoint(
        self, sequence_number: str | None = None, sub_sequence_number: int | None = None
    ) -> None: ...


class Checkpointing:
    """Every method that takes a checkpointer has to run inside a callback: elsewhere the KCL refuses.

    Once the lease is lost, nothing is asked any more.
    """

    def __init__(
        self,
        state: CheckpointState,
        status: ShardStatus,
        *,
        before: Callable[[Position], None] = lambda position: None,
        release: Callable[[bool], None] = lambda everything: None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`before` is called with a watermark before it is asked for; it may block and raise DeliveryError, which
        puts the checkpoint off, or Superseded. `release` gives up what the backend holds for this process, everything
        or what was idle for long; it may do the same."""
        self._state = state
        self._status = status
        self._before = before
        self._release = release
        self._now = now
        self.lease_lost = False

    @property
    def confirmed(self) -> Position | None:
        return self._state.confirmed

    def pending(self, watermark: Position | None) -> bool:
        return not self.lease_lost and self._state.pending(watermark)

    def seconds_until_due(self) -> float:
        return self._state.seconds_until_due(self._now())

    def if_due(self, watermark: Position | None, checkpointer: Checkpointer) -> None:
        if self._state.due(watermark, self._now()):
            self.at(watermark, checkpointer)

    def at(self, watermark: Position | None, checkpointer: Checkpointer) -> None:
        """Ask now, due or not; a refusal leaves the watermark pending."""
        if watermark is None or self.lease_lost or not self._may_ask(watermark):
            return
        # null and 0 mean the same to the KCL; null is what plain records are checkpointed with
        sub_sequence_number = watermark.sub_sequence_number or None
        if self._accepted(checkpointer, watermark.sequence_number, sub_sequence_number):
            self._state.succeeded(watermark, self._now())
            self._status.checkpointed(str(watermark))

    def at_shard_end(self, checkpointer: Checkpointer) -> bool:
        """Whether the KCL took the shard's end; every record has to be durable before this is called (I1)."""
        if self.lease_lost or not self._accepted(checkpointer, None, None):
            return False
        self._status.checkpointed("the shard's end")
        return True

    def release(self, *, everything: bool) -> None:
        """Once nothing is on its way."""
        if self.lease_lost:
            return
        try:
            self._release(everything)
        except DeliveryError as error:
            self._status.log("WARNING", f"what is open at the backend stays open: {error}")
        except Superseded as error:
            self._superseded(error)

    def _superseded(self, error: Superseded) -> None:
        self._status.log(
            "WARNING", f"{error}: this process takes no more checkpoints", event="shard_superseded"
        )
        self.lease_lost = True

    def _may_ask(self, watermark: Position) -> bool:
        try:
            self._before(watermark)
        except DeliveryError as error:
            self._status.log("WARNING", f"checkpoint put off: {error}", event="checkpoint_failed")
            self._state.failed(self._now(), retry_after_seconds=CHECKPOINT_RETRY_SECONDS)
            return False
        except Superseded as error:
            self._superseded(error)
            return False
        return True

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
        self._status.log(
            "WARNING",
            f"checkpoint refused: {reason}; {refusal.value}",
            event="checkpoint_failed",
            reason=reason,
        )
        self._state.failed(self._now(), retry_after_seconds=CHECKPOINT_RETRY_SECONDS)
        if refusal is Refusal.LEASE_LOST:
            self.lease_lost = True
        return refusal
