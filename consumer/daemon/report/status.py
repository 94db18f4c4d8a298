"""The daemon's status as one JSON object, for status.json and /healthz."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from consumer.daemon.report.complaints import Complaint
from consumer.daemon.report.health import Health
from consumer.domain.events import StatusEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who reports."""

    backend: str
    application: str
    worker_id: str
    pid: int


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
    shards: tuple[StatusEvent, ...] = field(default=())


def encode(status: Status) -> bytes:
    """One JSON object, `healthy` and `reasons` at its top."""
    health = status.health
    return msgspec.json.encode(
        {
            "healthy": health.healthy,
            "phase": health.phase,
            "reasons": health.reasons,
            "notes": health.notes,
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
            "shards": status.shards,
        }
    )
