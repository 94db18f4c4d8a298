"""How a callback of the KCL waits: until something happens, while checkpoints are asked for as they fall due."""

from collections.abc import Callable
from typing import Any, Protocol

from consumer.domain.ledger import Ledger
from consumer.shard.delivery.checkpointing import Checkpointer, Checkpointing


class Wakeup(Protocol):
    """gevent.event.Event, as far as it is used."""

    def set(self) -> None: ...
    def clear(self) -> None: ...
    def wait(self, timeout: float | None = None) -> Any: ...


class Waits:
    """Those of one shard, and what they depend on: a pause, a drain, a lost lease, the end of a replay."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        checkpoints: Checkpointing,
        wakeup: Wakeup,
        drain_seconds: float,
        now: Callable[[], float],
    ) -> None:
        self._ledger = ledger
        self._checkpoints = checkpoints
        self._wakeup = wakeup
        self._drain_seconds = drain_seconds
        self._now = now
        self.paused = False
        self.at_end = False
        """Of a replay."""
        self.drain_until: float | None = None
        self._waited_seconds = 0.0
        self._waiting_since: float | None = None

    @property
    def seconds(self) -> float:
        """How long callbacks have waited for deliveries, the wait that lasts included; a pause is none."""
        since = self._waiting_since
        return self._waited_seconds + (0.0 if since is None else self._now() - since)

    def is_draining(self) -> bool:
        return self.drain_until is not None

    def is_past_drain(self) -> bool:
        return self.drain_until is not None and self._now() >= self.drain_until

    def takes_no_more(self) -> bool:
        return self.is_draining() or self._checkpoints.lease_lost or self.at_end

    def drain(self) -> None:
        if self.drain_until is None:
            self.drain_until = self._now() + self._drain_seconds

    def wake(self) -> None:
        self._wakeup.set()

    def until(
        self,
        done: Callable[[], bool],
        checkpointer: Checkpointer | None,
        *,
        deadline: float | None = None,
        draining: bool = False,
    ) -> None:
        """Block until `done`, a lost lease, or the deadline (monotonic), and but for a wait that is `draining`, until a
        drain. Without a checkpointer nothing is checkpointed meanwhile."""
        while True:
            self.checkpoint_if_due(checkpointer)
            self._wakeup.clear()
            if done() or self._checkpoints.lease_lost:
                return
            if self.is_draining() and not draining:
                return
            if deadline is not None and self._now() >= deadline:
                return
            self._waiting_since = None if self.paused or self.at_end else self._now()
            self._wakeup.wait(self._next_look(deadline, may_checkpoint=checkpointer is not None))
            self._waited_seconds = self.seconds
            self._waiting_since = None

    def sleep(self, seconds: float) -> None:
        """Until then, or until something happens."""
        self._wakeup.clear()
        self._wakeup.wait(seconds)

    def checkpoint_if_due(self, checkpointer: Checkpointer | None) -> None:
        if checkpointer is not None and not self._checkpoints.lease_lost:
            self._checkpoints.if_due(self._ledger.watermark, checkpointer)

    def _next_look(self, deadline: float | None, *, may_checkpoint: bool) -> float | None:
        """Seconds until there is something to do without a wake-up; None where there is nothing."""
        looks = [] if deadline is None else [deadline - self._now()]
        if may_checkpoint and self._checkpoints.pending(self._ledger.watermark):
            looks.append(self._checkpoints.seconds_until_due())
        return max(0.0, min(looks)) if looks else None
