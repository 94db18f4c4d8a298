"""What a daemon has said about itself: status.json, read back.

What it says beside this is passed over, and what it leaves out has a default, so that daemons of two versions can show
each other.
"""

from __future__ import annotations

import msgspec


class KclError(msgspec.Struct, frozen=True):
    """`at` in seconds since the epoch."""

    at: float
    message: str


class Jvm(msgspec.Struct, frozen=True):
    """`errors` counts those that the KCL has logged."""

    pid: int | None = None
    restarts: int = 0
    errors: int = 0
    last_error: KclError | None = None


class Shard(msgspec.Struct, frozen=True):
    """Fields as ShardReport has them. `state` is what its process does, `condition` how the shard fares, in a word."""

    shard: str
    pid: int = 0
    state: str = "running"
    condition: str | None = None
    catching_up: bool = False
    freshness_seconds: float = 0.0
    behind_latest_seconds: float | None = None
    last_checkpoint_ms: int | None = None
    in_flight_chunks: int = 0
    in_flight_bytes: int = 0
    retrying: str | None = None
    held: str | None = None
    dead_letters: str | None = None
    back_pressure_share: float | None = None
    counters: dict[str, int] = {}


class Told(msgspec.Struct, frozen=True):
    """Times are in seconds since the epoch. `state` says in a word how the daemon fares."""

    backend: str
    application: str
    worker_id: str
    healthy: bool
    phase: str
    updated_at: float
    started_at: float
    pid: int = 0
    state: str | None = None
    freshness_seconds: float | None = None
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    jvm: Jvm = Jvm()
    shards: tuple[Shard, ...] = ()

    def reasons_of(self, shard: str) -> list[str]:
        """Without the shard's name at their beginning."""
        start = f"{shard}: "
        return [reason.removeprefix(start) for reason in self.reasons if reason.startswith(start)]


_decoder = msgspec.json.Decoder(Told)


def read(content: bytes) -> Told:
    """Of status.json. Raises msgspec.MsgspecError for anything else."""
    return _decoder.decode(content)
