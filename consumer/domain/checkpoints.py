"""When to checkpoint, and what a refused checkpoint means. Decisions only: nothing here talks to the KCL."""

import enum
from dataclasses import dataclass

from consumer.domain.records import Position


@dataclass(frozen=True, slots=True)
class CheckpointPolicy:
    """At most one successful checkpoint in `interval_seconds`; 0 means one at every opportunity."""

    interval_seconds: float

    def __post_init__(self) -> None:
        if self.interval_seconds < 0:
            raise ValueError("checkpoint interval must not be negative")


class CheckpointState:
    """What has been checkpointed, and whether the next checkpoint is due. Times are monotonic seconds."""

    def __init__(self, policy: CheckpointPolicy) -> None:
        self._policy = policy
        self._confirmed: Position | None = None
        self._next_at = 0.0

    @property
    def confirmed(self) -> Position | None:
        return self._confirmed

    def pending(self, watermark: Position | None) -> bool:
        return watermark is not None and watermark != self._confirmed

    def due(self, watermark: Position | None, now: float) -> bool:
        return self.pending(watermark) and now >= self._next_at

    def seconds_until_due(self, now: float) -> float:
        return max(0.0, self._next_at - now)

    def succeeded(self, position: Position, now: float) -> None:
        self._confirmed = position
        self._next_at = now + self._policy.interval_seconds

    def failed(self, now: float, *, retry_after_seconds: float) -> None:
        self._next_at = now + retry_after_seconds


class Refusal(enum.Enum):
    """What to do about a checkpoint that the KCL refused."""

    REPEAT = "repeat at once, then at the next opportunity"
    LATER = "repeat at the next opportunity"
    LEASE_LOST = "never checkpoint this shard again"


_REFUSALS = {
    "ThrottlingException": Refusal.LATER,
    "KinesisClientLibDependencyException": Refusal.LATER,
    "ShutdownException": Refusal.LEASE_LOST,
    "LeaseLost": Refusal.LEASE_LOST,
}


def refusal_of(error_name: str) -> Refusal:
    """The KCL names the Java exception; an unknown one may be passing, so it is repeated."""
    return _REFUSALS.get(error_name.rsplit(".", 1)[-1], Refusal.REPEAT)
