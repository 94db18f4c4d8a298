"""Whether the daemon is well, and why not: decided from what is known, without asking anybody."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from consumer.daemon.report.shards import ReportedShard
from consumer.domain.events import ENDED, RUNNING
from consumer.domain.unread_times import COUNTER

SILENT_AFTER_SECONDS = 30.0
"""A shard process reports about once a second; one that has not for this long is stuck or stopped."""
STUCK_AFTER_SECONDS = 300.0
"""Of silence, after which only a restart helps."""

KCL_ERROR = "the KCL's last error: "
TRYING = "; trying again: "


class Phase(StrEnum):
    """What the supervisor is doing."""

    PREPARING = "preparing"
    RUNNING = "running"
    RESTARTING = "restarting"
    STOPPING = "stopping"


class State(StrEnum):
    """In one word, how the daemon fares, or one of its shards; the first of these that fits."""

    PREPARING = "preparing"
    DRAINING = "draining"
    RESTARTING = "restarting"
    STUCK = "stuck"
    SETUP_BLOCKED = "setup-blocked"
    HELD = "held"
    PAUSED = "paused"
    LAGGING = "lagging"
    RUNNING = "running"


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
    so. `unread` are the shards that nobody reads, `stuck` those whose process here has been silent for so long that
    only a restart of the daemon helps."""

    phase: Phase
    healthy: bool
    reasons: tuple[str, ...]
    notes: tuple[str, ...] = ()
    state: State = State.RUNNING
    unread: frozenset[str] = frozenset()
    stuck: frozenset[str] = frozenset()


def assess(
    *,
    phase: Phase,
    shards: Iterable[ReportedShard],
    policy: HealthPolicy,
    now: float,
    began_at: float | None = None,
    faults: Iterable[str] = (),
    unread: Iterable[str] = (),
    unread_shards: Collection[str] = (),
    kcl_error: str | None = None,
    throttled: Collection[str] = (),
    paused: str | None = None,
    resting: bool = False,
) -> Health:
    """The health at `now`, in seconds since the epoch. A worker without shards is well: others may hold them.

    `faults` is what keeps the preparation of the backend from its end until someone mends it, `unread` why nobody
    reads which shards (`unread_shards`, by name), `kcl_error` what the KCL complains of meanwhile, `throttled` shards
    whose reads are throttled. `paused` is who has paused the application, and why; while it is `resting`, paused or
    until a moment ago, what is not in flight may be as old as it likes. Reading counts while the JVM runs only: before
    it does and while it stops, nobody is to read. A preparation that has lasted since `began_at` for as long as a
    shard may go without a reader is a reason: what it waits for may not come.
    """
    statuses = tuple(shards)
    faults = tuple(faults)
    reasons = [*faults, *(reason for status in statuses for reason in _reasons(status, policy, now, resting))]
    if phase is Phase.PREPARING and not faults and began_at is not None:
        reasons += _not_prepared(now - began_at, policy)
    nobody_reads: set[str] = set()
    if phase is Phase.RUNNING:
        not_read = _not_read([*unread, *_uncalled(statuses, policy, now)], kcl_error)
        nobody_reads.update(unread_shards)
        nobody_reads.update(one.event.shard for one in statuses if _is_uncalled(one, policy, now))
        reasons += not_read
    if phase is Phase.RESTARTING:
        reasons.insert(0, "the JVM has ended and is not running again yet")
    notes = [note for status in statuses for note in _notes(status, policy, now)]
    notes += _throttled_notes(statuses, policy, now, throttled)
    if paused is not None:
        notes.insert(0, f"paused by {paused}")
    states = [shard_state(status, policy, now) for status in statuses]
    if phase is Phase.RUNNING and (nobody_reads or not_read):
        states.append(State.STUCK)
    if paused is not None:
        states.append(State.PAUSED)
    return Health(
        phase=phase,
        healthy=not reasons,
        reasons=tuple(reasons),
        notes=tuple(notes),
        state=_state(phase, states, blocked=bool(faults)),
        unread=frozenset(nobody_reads),
        stuck=frozenset(one.event.shard for one in statuses if now - one.last_at > STUCK_AFTER_SECONDS),
    )


def shard_state(status: ReportedShard, policy: HealthPolicy, now: float) -> State:
    """Of one shard."""
    event = status.event
    if now - status.last_at > SILENT_AFTER_SECONDS or _is_uncalled(status, policy, now):
        return State.STUCK
    if event.retrying_class == "setup":
        return State.SETUP_BLOCKED
    if event.held is not None:
        return State.HELD
    if event.state == "paused":
        return State.PAUSED
    if _waits(status, policy, now) or status.freshness_seconds(now) > policy.undelivered_seconds:
        return State.LAGGING
    return State.RUNNING if event.state in (RUNNING, ENDED) else State.DRAINING


def _state(phase: Phase, states: Collection[State], *, blocked: bool) -> State:
    if phase is Phase.PREPARING:
        return State.SETUP_BLOCKED if blocked else State.PREPARING
    if phase is Phase.STOPPING:
        return State.DRAINING
    if phase is Phase.RESTARTING:
        return State.RESTARTING
    of_running = set(states) - {State.DRAINING}  # one shard that is given up to another worker is no end
    return next((state for state in State if state in of_running), State.RUNNING)


def is_catching_up(status: ReportedShard, policy: HealthPolicy, now: float) -> bool:
    """Whether a shard is behind, and less so from minute to minute: not one whose records wait longer than they may."""
    if status.event.held is not None or _waits(status, policy, now):
        return False
    return status.freshness_seconds(now) > policy.undelivered_seconds and status.trend.catching_up


def hung_for(shards: Iterable[ReportedShard], *, now: float) -> float | None:
    """Seconds since the KCL last called any shard process; None without shard processes."""
    moments = [status.last_callback_at() for status in shards]
    return now - max(moments) if moments else None


def _not_prepared(seconds: float, policy: HealthPolicy) -> Iterator[str]:
    if seconds > policy.unread_seconds:
        yield f"not prepared after {seconds:.0f} s, so no shard is read: the log says what is waited for"


def _reasons(status: ReportedShard, policy: HealthPolicy, now: float, resting: bool) -> Iterator[str]:
    shard = status.event.shard
    if now - status.last_at > SILENT_AFTER_SECONDS:
        yield f"{shard}: no word from its process {status.event.pid} for {now - status.last_at:.0f} s"
    if status.event.held is not None:
        yield f"{shard}: held: {status.event.held}"
    if resting and not status.event.in_flight_chunks:
        return
    since = status.waiting_since()
    age = status.freshness_seconds(now)
    if since is not None and _waits(status, policy, now):
        yield f"{shard}: a record has waited for {now - since:.0f} s{_cause(status)}"
    elif age > policy.undelivered_seconds and not status.trend.catching_up:
        yield (
            f"{shard}: the oldest record not delivered is {age:.0f} s old, and the shard does not catch up: less is"
            f" delivered than the stream brings{_cause(status)}"
        )


def _waits(status: ReportedShard, policy: HealthPolicy, now: float) -> bool:
    """Whether a record that was read is not delivered for longer than that may take."""
    since = status.waiting_since()
    return since is not None and now - since > policy.undelivered_seconds


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


def _throttled_notes(
    statuses: Iterable[ReportedShard], policy: HealthPolicy, now: float, throttled: Collection[str]
) -> Iterator[str]:
    for status in statuses:
        if status.event.shard in throttled and status.freshness_seconds(now) > policy.undelivered_seconds:
            yield (
                f"{status.event.shard}: behind, and reads are throttled: all applications that poll a shard share its"
                " 2 MB/s and 5 reads a second (docs/services.md)"
            )


def _uncalled(statuses: Iterable[ReportedShard], policy: HealthPolicy, now: float) -> Iterator[str]:
    for status in statuses:
        if _is_uncalled(status, policy, now):
            silent = now - status.last_read_at()
            yield f"{status.event.shard}: not read for {silent:.0f} s: the KCL gives its process nothing"


def _is_uncalled(status: ReportedShard, policy: HealthPolicy, now: float) -> bool:
    return not status.read_elsewhere and now - status.last_read_at() > policy.unread_seconds


def _not_read(reasons: list[str], kcl_error: str | None) -> list[str]:
    return reasons if kcl_error is None or not reasons else [*reasons, f"{KCL_ERROR}{kcl_error}"]


def _cause(status: ReportedShard) -> str:
    return "" if status.event.retrying is None else f"{TRYING}{status.event.retrying}"
