"""The daemon's status as one JSON object, for status.json and /healthz.

A name that ends in `_ms` is a moment, in milliseconds since the epoch, one that ends in `_at` a moment in seconds, and
one that ends in `_seconds` a duration.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from consumer.daemon.report.complaints import Complaint
from consumer.daemon.report.health import Health, Phase, State
from consumer.daemon.report.pause import Pause
from consumer.daemon.report.pressure import Pressure
from consumer.daemon.report.shards import ReportedShard
from consumer.daemon.report.tally import Totals
from consumer.domain.events import RetryClass


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who reports."""

    backend: str
    application: str
    worker_id: str
    pid: int


class ShardReport(msgspec.Struct, frozen=True, kw_only=True):
    """One shard that has a process here. `freshness_seconds` and `checkpoint_age_seconds` are ReportedShard's,
    `behind_latest_seconds` what Kinesis said at the last read, `back_pressure` the share of the last minute for which
    callbacks have waited, and the word for it. `condition` says in a word how the shard fares, `state` what its
    process does; the rest is StatusEvent's."""

    shard: str
    pid: int
    started_ms: int
    state: str
    condition: State
    catching_up: bool
    freshness_seconds: float
    checkpoint_age_seconds: float | None
    behind_latest_seconds: float | None
    oldest_undelivered_ms: int | None
    oldest_undelivered_read_ms: int | None
    last_checkpoint_ms: int | None
    last_callback_ms: int | None
    in_flight_records: int
    in_flight_chunks: int
    in_flight_bytes: int
    max_in_flight_chunks: int
    max_in_flight_bytes: int
    back_pressure: Pressure
    back_pressure_share: float
    retrying: str | None
    retrying_class: RetryClass | None
    held: str | None
    dead_letters: str | None
    counters: dict[str, int]

    @classmethod
    def of(
        cls,
        reported: ReportedShard,
        *,
        now: float,
        catching_up: bool,
        condition: State = State.RUNNING,
    ) -> ShardReport:
        event = reported.event
        behind = event.millis_behind_latest
        checkpoint_age = reported.checkpoint_age_seconds(now)
        share = reported.waits.share
        return cls(
            shard=event.shard,
            pid=event.pid,
            started_ms=event.started_ms,
            state=event.state,
            condition=condition,
            catching_up=catching_up,
            freshness_seconds=round(reported.freshness_seconds(now), 3),
            checkpoint_age_seconds=None if checkpoint_age is None else round(checkpoint_age, 3),
            behind_latest_seconds=None if behind is None else behind / 1000,
            oldest_undelivered_ms=event.oldest_undelivered_ms,
            oldest_undelivered_read_ms=event.oldest_undelivered_read_ms,
            last_checkpoint_ms=event.last_checkpoint_ms,
            last_callback_ms=event.last_callback_ms,
            in_flight_records=event.in_flight_records,
            in_flight_chunks=event.in_flight_chunks,
            in_flight_bytes=event.in_flight_bytes,
            max_in_flight_chunks=event.max_in_flight_chunks,
            max_in_flight_bytes=event.max_in_flight_bytes,
            back_pressure=Pressure.of(share),
            back_pressure_share=round(share, 3),
            retrying=event.retrying,
            retrying_class=event.retrying_class,
            held=event.held,
            dead_letters=event.dead_letters,
            counters=event.counters,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What is known at `updated_at`, in seconds since the epoch. `restarts` and `kcl_errors` count those since the
    start."""

    identity: Identity
    health: Health
    updated_at: float
    started_at: float
    jvm_pid: int | None = None
    restarts: int = 0
    kcl_errors: int = 0
    last_kcl_error: Complaint | None = None
    totals: Totals = field(default_factory=Totals)
    paused: Pause | None = None
    shards: tuple[ShardReport, ...] = field(default=())

    @property
    def freshness_seconds(self) -> float | None:
        """Of the shard that is furthest behind; None for a worker without shards."""
        return max((shard.freshness_seconds for shard in self.shards), default=None)

    @property
    def back_pressure_share(self) -> float | None:
        """Of the shard that waits most; None for a worker without shards."""
        return max((shard.back_pressure_share for shard in self.shards), default=None)

    @property
    def ready(self) -> bool:
        """Whether it can take leases: the backend is prepared, and the JVM runs."""
        return self.health.phase is Phase.RUNNING and self.jvm_pid is not None


def encode(status: Status) -> bytes:
    """One JSON object, `healthy` and `reasons` at its top."""
    health = status.health
    return msgspec.json.encode(
        {
            "healthy": health.healthy,
            "ready": status.ready,
            "state": health.state,
            "phase": health.phase,
            "freshness_seconds": status.freshness_seconds,
            "reasons": health.reasons,
            "notes": health.notes,
            "paused": status.paused,
            "backend": status.identity.backend,
            "application": status.identity.application,
            "worker_id": status.identity.worker_id,
            "pid": status.identity.pid,
            "started_at": status.started_at,
            "updated_at": status.updated_at,
            "jvm": {
                "pid": status.jvm_pid,
                "restarts": status.restarts,
                "errors": status.kcl_errors,
                "last_error": status.last_kcl_error,
            },
            "records": {
                "read": status.totals.counters["records_read"],
                "delivered": status.totals.counters["records_delivered"],
                "dead_letters": status.totals.counters["dead_letters"],
                "filtered": status.totals.counters["records_filtered"],
                "in_flight": status.totals.in_flight,
                "left": status.totals.left,
                "conservation": status.totals.conservation,
            },
            "unread_shards": sorted(health.unread),
            "shards": status.shards,
        }
    )
