"""Whether the daemon is well, and why not: decided from what is known, without asking anybody."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from consumer.daemon.report.shards import ReportedShard
from consumer.domain.unread_times import COUNTER

SILENT_AFTER_SECONDS = 30.0
"""A shard process reports about once a second; one that has not for this long is stuck or stopped."""

KCL_ERROR = "the KCL's last error: "
TRYING = "; trying again: "


class Phase(StrEnum):
    """What the supervisor is doing."""

    PREPARING = "preparing"
    RUNNING = "running"
    RESTARTING = "restarting"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthPolicy:
    """A record may wait for `undelivered_seconds` from its reading and, unless its shard catches up, from its arrival
    on the stream; that covers the time a chunk stays open by design. A shard may go without a call, or a reader, for
    `unread_seconds`."""

    undelivered_seconds: float
    unread_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """`reasons` says in a sentence each what is wrong; none when healthy. `notes` tells of what may become
    so."""

    phase: Phase
    healthy: bool
    reasons: tuple[str, ...]
    notes: tuple[str, ...] = ()


def assess(
    *,
    phase: Phase,
    shards: Iterable[ReportedShard],
    policy: HealthPolicy,
    now: float,
    faults: Iterable[str] = (),
    unread: Iterable[str] = (),
    kcl_error: str | None = None,
) -> Health:
    """The health at `now`, in seconds since the epoch. A worker without shards is well: others may hold them.

    `faults` is what keeps the preparation of the backend from its end until someone mends it, `unread` which shards
    nobody reads, `kcl_error` what the KCL complains of meanwhile. Reading counts while the JVM runs only: before it
    does and while it stops, nobody is to read.
    """
    statuses = tuple(shards)
    reasons = [*faults, *(reason for status in statuses for reason in _reasons(status, policy, now))]
    if phase is Phase.RUNNING:
        reasons += _not_read([*unread, *_uncalled(statuses, policy, now)], kcl_error)
    if phase is Phase.RESTARTING:
        reasons.insert(0, "the JVM has ended and is not running again yet")
    notes = [note for status in statuses for note in _notes(status, policy, now)]
    return Health(phase=phase, healthy=not reasons, reasons=tuple(reasons), notes=tuple(notes))


def is_catching_up(status: ReportedShard, policy: HealthPolicy, now: float) -> bool:
    """Whether a shard is behind, and less so from minute to minute."""
    return status.freshness_seconds(now) > policy.undelivered_seconds and status.trend.catching_up


def hung_for(shards: Iterable[ReportedShard], *, now: float) -> float | None:
    """Seconds since the KCL last called any shard process; None without shard processes."""
    moments = [status.last_callback_at() for status in shards]
    return now - max(moments) if moments else None


def _reasons(status: ReportedShard, policy: HealthPolicy, now: float) -> Iterator[str]:
    shard = status.event.shard
    if now - status.last_at > SILENT_AFTER_SECONDS:
        yield f"{shard}: no word from its process {status.event.pid} for {now - status.last_at:.0f} s"
    if status.event.held is not None:
        yield f"{shard}: held: {status.event.held}"
    since = status.waiting_since()
    age = status.freshness_seconds(now)
    if since is not None and now - since > policy.undelivered_seconds:
        yield f"{shard}: a record has waited for {now - since:.0f} s{_cause(status)}"
    elif age > policy.undelivered_seconds and not status.trend.catching_up:
        yield (
            f"{shard}: the oldest record not delivered is {age:.0f} s old, and the shard does not catch up: the backend"
            f" takes less than the stream brings{_cause(status)}"
        )


def _notes(status: ReportedShard, policy: HealthPolicy, now: float) -> Iterator[str]:
    shard = status.event.shard
    if is_catching_up(status, policy, now):
        yield f"{shard}: catching up: the oldest record not delivered is {status.freshness_seconds(now):.0f} s old"
    if status.event.dead_letters is not None:
        yield f"{shard}: {status.event.dead_letters}"
    if unread := status.event.counters.get(COUNTER):
        yield f"{shard}: {unread} records hold no time that record.time_format reads, and have that of their arrival"
    if status.event.retrying is not None:
        yield f"{shard}: trying again: {status.event.retrying}"


def _uncalled(statuses: Iterable[ReportedShard], policy: HealthPolicy, now: float) -> Iterator[str]:
    for status in statuses:
        silent = now - status.last_callback_at()
        if silent > policy.unread_seconds:
            yield f"{status.event.shard}: not read for {silent:.0f} s: the KCL gives its process nothing"


def _not_read(reasons: list[str], kcl_error: str | None) -> list[str]:
    return reasons if kcl_error is None or not reasons else [*reasons, f"{KCL_ERROR}{kcl_error}"]


def _cause(status: ReportedShard) -> str:
    return "" if status.event.retrying is None else f"{TRYING}{status.event.retrying}"
