"""An application as all of its workers have it: leases, checkpoints and their distance to the tip, and what the daemons
of this host say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from consumer.daemon.page.amounts import duration, number
from consumer.daemon.page.told import Shard, Told
from consumer.daemon.page.verdict import DOWN, UNREAD, Tone, Verdict, state_of, verdict_of
from consumer.daemon.prepare.distances import Distance
from consumer.daemon.report.leases import Lease

_TONES = list(Tone)

SILENT_SECONDS = 10.0
"""A daemon that runs writes its status every second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One shard. `is_read` is None for one that nobody has to read, at its end or before its parents'. `rate` is in
    records a second, None where it is not known."""

    shard: str
    owner: str | None
    checkpoint: str | None
    is_read: bool | None
    state: str
    tone: Tone
    freshness_seconds: float | None
    behind_latest_seconds: float | None
    rate: float | None
    local: Shard | None
    trouble: str | None

    def summary(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "shard": self.shard,
            "state": self.state,
            "owner": self.owner,
            "is_read": self.is_read,
            "checkpoint": self.checkpoint,
            "freshness_seconds": self.freshness_seconds,
            "behind_latest_seconds": self.behind_latest_seconds,
            "records_per_second": self.rate,
            "in_flight_bytes": None if self.local is None else self.local.in_flight_bytes,
            "dead_letters": None if self.local is None else self.local.counters.get("dead_letters", 0),
            "trouble": self.trouble,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """At `at`, in seconds since the epoch. `here` are the daemons of this host that run, `trouble` why the lease table
    could not be read."""

    backend: str
    name: str
    at: float
    here: tuple[Told, ...]
    rows: tuple[Row, ...]
    trouble: str | None
    verdict: Verdict

    @property
    def healthy(self) -> bool:
        return self.verdict.tone is not Tone.ILL

    @property
    def freshness_seconds(self) -> float | None:
        ages = [row.freshness_seconds for row in self.rows if row.freshness_seconds is not None]
        return max(ages, default=None)

    def reasons(self) -> Iterator[str]:
        for told in self.here:
            yield from told.reasons
            yield from told.notes
        if self.trouble is not None:
            yield self.trouble

    def summary(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "backend": self.backend,
            "application": self.name,
            "at": self.at,
            "healthy": self.healthy,
            "state": self.verdict.state,
            "says": self.verdict.says,
            "todo": self.verdict.todo,
            "freshness_seconds": self.freshness_seconds,
            "reasons": list(self.reasons()),
            "workers_here": [told.worker_id for told in self.here],
            "shards": [row.summary() for row in self.rows],
        }


def assemble(
    *,
    backend: str,
    name: str,
    at: float,
    told: Sequence[Told],
    rates: Mapping[str, float],
    leases: Sequence[Lease],
    renewed: Mapping[str, bool],
    distances: Mapping[str, Distance],
    trouble: str | None,
    late_seconds: float,
) -> Application:
    """`told` are the statuses that lie on this host, `renewed` says for each shard whether its owner renews the lease.
    Where no daemon of this host tells of a shard, it is late `late_seconds` after the arrival of a record past its
    checkpoint."""
    here = tuple(one for one in told if at - one.updated_at < SILENT_SECONDS and one.phase != "stopping")
    by_shard = {shard.shard: (one, shard) for one in here for shard in one.shards}
    unread_parents = {lease.shard for lease in leases if not lease.ended}
    rows = []
    for lease in sorted(leases, key=lambda lease: lease.shard):
        is_due = not lease.ended and not lease.parents & unread_parents
        known = by_shard.get(lease.shard)
        is_read = (known is not None or renewed.get(lease.shard, False)) if is_due else None
        rows.append(
            _row(lease, is_read, known, rates.get(lease.shard), distances.get(lease.shard), at, late_seconds)
        )
    leased = {lease.shard for lease in leases}
    for shard, (one, local) in sorted(by_shard.items()):
        if shard not in leased:
            lease = Lease(shard=shard, owner=one.worker_id, counter=0)
            rows.append(_row(lease, True, (one, local), rates.get(shard), None, at, late_seconds))
    return Application(
        backend=backend,
        name=name,
        at=at,
        here=here,
        rows=tuple(rows),
        trouble=trouble,
        verdict=_verdict(here, rows, trouble),
    )


def _row(
    lease: Lease,
    is_read: bool | None,
    known: tuple[Told, Shard] | None,
    rate: float | None,
    distance: Distance | None,
    at: float,
    late_seconds: float,
) -> Row:
    local = None if known is None else known[1]
    arrived = None if distance is None else distance.next_arrived_at
    freshness = 0.0 if arrived is None else max(0.0, at - arrived)
    state, tone = _state(lease, is_read, freshness > late_seconds)
    if known is not None:
        state, tone = state_of(*known)
        freshness = known[1].freshness_seconds
    unknown = lease.ended or (known is None and (distance is None or distance.fault is not None))
    return Row(
        shard=lease.shard,
        owner=lease.owner,
        checkpoint=lease.checkpoint,
        is_read=is_read,
        state=state,
        tone=tone,
        freshness_seconds=None if unknown else freshness,
        behind_latest_seconds=None if distance is None else distance.behind_latest_seconds,
        rate=rate,
        local=local,
        trouble=(local.held or local.retrying) if local else (distance.fault if distance else None),
    )


def _state(lease: Lease, is_read: bool | None, is_late: bool) -> tuple[str, Tone]:
    """Of a shard that no daemon of this host tells of."""
    if lease.ended:
        return "ended", Tone.WELL
    if is_read is None:
        return "waits for its parents", Tone.WELL
    if not is_read:
        return "unread", Tone.ILL
    return ("lagging", Tone.WATCH) if is_late else ("running", Tone.WELL)


def _verdict(here: Sequence[Told], rows: Sequence[Row], trouble: str | None) -> Verdict:
    due = [row for row in rows if row.is_read is not None]
    unread = [row for row in due if not row.is_read]
    if not here and trouble is not None:
        return replace(DOWN, says="No daemon runs here, and of others nothing is known.", todo=trouble)
    if not here and unread == due:
        return DOWN
    if not here and unread:
        return UNREAD
    own = max(map(verdict_of, here), key=lambda verdict: _TONES.index(verdict.tone), default=None)
    if own is not None and own.tone is not Tone.WELL:
        return own
    if unread:
        return Verdict(
            state="running",
            tone=Tone.WATCH,
            says=f"{number(len(unread))} of {number(len(due))} shards have no reader at the moment.",
            todo="Look again in a minute: a shard that changes its worker has none for some seconds.",
            runbook="unread",
        )
    late = [row.freshness_seconds or 0 for row in rows if row.local is None and row.tone is Tone.WATCH]
    if late:
        return Verdict(
            state="lagging",
            tone=Tone.WATCH,
            says=f"All shards are read; the oldest record past a checkpoint is {duration(max(late))} old.",
            todo="See on the hosts of the owners whether they catch up: bin/status there, or the status page.",
            runbook="lagging",
        )
    return _well(due)


def _well(due: Sequence[Row]) -> Verdict:
    workers = len({row.owner for row in due})
    return Verdict(
        state="running",
        tone=Tone.WELL,
        says=f"All is well: {number(len(due))} shards are read by {number(workers)}"
        f" worker{'' if workers == 1 else 's'}.",
    )
