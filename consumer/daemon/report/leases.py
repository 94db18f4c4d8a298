"""Which shards nobody reads, told from the KCL's lease table: decided from what was read, without asking anybody."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

SHARD_END = "SHARD_END"
"""The checkpoint of a shard that was read to its end."""
_AT_ITS_START = "TRIM_HORIZON"
"""The checkpoint of a child until its reader has made one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """One row of the lease table. `counter` grows with every renewal; a shard is read once its `parents` were read to
    their end, those that have no row any more aside. A `sub_sequence` below 0 is a position before the record of the
    checkpoint."""

    shard: str
    owner: str | None
    counter: int
    checkpoint: str | None = None
    sub_sequence: int = 0
    parents: frozenset[str] = frozenset()

    @property
    def ended(self) -> bool:
        return self.checkpoint == SHARD_END

    @property
    def is_at_its_start(self) -> bool:
        return self.checkpoint == _AT_ITS_START


class Leases:
    """What looks at the lease table have shown, and when each shard was last read. Times are in epoch seconds."""

    def __init__(self, *, table: str, worker_id: str, began_at: float) -> None:
        """What nobody reads at the first look counts from `began_at`, when the supervisor began; a shard that may have
        become one to read only just now, since its parents have ended, from that look."""
        self._table = table
        self._unseen_since: float | None = began_at
        self._worker_id = worker_id
        self._counters: dict[str, tuple[str | None, int]] = {}
        self._read_at: dict[str, float] = {}
        self._owners_of_unread: dict[str, str | None] = {}  # but for those of this worker
        self._own: frozenset[str] = frozenset()
        self._reading: frozenset[str] = frozenset()
        self._ended: frozenset[str] = frozenset()  # since the last look
        self._ended_before: frozenset[str] = frozenset()  # since the one before, which may have begun earlier
        self._without_process: frozenset[str] = frozenset()  # of its own, at the last look
        self.read_elsewhere: frozenset[str] = frozenset()
        """The shards whose lease another worker has and renews."""
        self._trouble: tuple[float, str] | None = None

    def read(self, shard: str, *, at: float) -> None:
        """The process of a shard was given what had been read; one that begins knows nothing of its predecessor."""
        self._read_at[shard] = max(at, self._read_at.get(shard, at))

    def ended(self, shard: str) -> None:
        """The process of a shard has checkpointed its end, which only a look that begins later is sure to show."""
        self._ended |= {shard}

    def reads(self, shards: Collection[str]) -> None:
        """Which shards have a process here: this worker's others are read by nobody, if the table still says that they
        are this worker's, or cannot be read."""
        self._reading = frozenset(shards)

    def read_at(self, shard: str) -> float | None:
        """When a shard was last read by any worker, or first seen without a reader."""
        return self._read_at.get(shard)

    def seen(self, leases: Sequence[Lease], *, now: float) -> None:
        """All rows, as they were at `now`. Where the table could not be read until now, a counter that has grown
        meanwhile may have done so long ago: the next look tells."""
        ended = {lease.shard for lease in leases if lease.ended}
        present = {lease.shard for lease in leases}
        unread: dict[str, str | None] = {}
        own: set[str] = set()
        elsewhere: set[str] = set()
        after_a_gap = self._trouble is not None
        for lease in leases:
            waits_for_parents = lease.parents & present - ended
            if lease.ended or waits_for_parents:
                continue
            may_be_new = lease.is_at_its_start and bool(lease.parents & ended)
            since = now if self._unseen_since is None or may_be_new else self._unseen_since
            self._read_at.setdefault(lease.shard, since)
            if lease.owner == self._worker_id:
                own.add(lease.shard)
            elif lease.owner is None or self._counters.get(lease.shard) == (lease.owner, lease.counter):
                unread[lease.shard] = lease.owner
            elif not after_a_gap:
                self._read_at[lease.shard] = now
                elsewhere.add(lease.shard)
        self._unseen_since = None
        self._ended_before, self._ended = self._ended, frozenset()
        self._owners_of_unread = unread
        self._own = frozenset(own)
        self._without_process = self._own - self._reading
        self.read_elsewhere = frozenset(elsewhere)
        self._read_at = {shard: at for shard, at in self._read_at.items() if shard in present}
        self._counters = {lease.shard: (lease.owner, lease.counter) for lease in leases}
        if leases:
            self._trouble = None
        else:
            self.failed(f'lease table "{self._table}" holds no lease, so no shard is read', now=now)

    def failed(self, trouble: str, *, now: float) -> None:
        """The table could not be read, which was tried at `now`."""
        since = now if self._trouble is None else self._trouble[0]
        self._trouble = (since, trouble)

    def unread(self, *, now: float, limit_seconds: float) -> frozenset[str]:
        """The shards that nobody has read for longer than the limit."""
        # a lease whose process has ended since may be another worker's: the next look tells, where there is one
        own = self._without_process if self._trouble is None else self._own
        unread = self._owners_of_unread.keys() | (own - self._reading - self._ended - self._ended_before)
        return frozenset(shard for shard in unread if now - self._read_at[shard] > limit_seconds)

    def faults(self, *, now: float, limit_seconds: float) -> Iterator[str]:
        """What has lasted for longer than the limit."""
        if self._trouble is not None and now - self._trouble[0] > limit_seconds:
            yield f"{self._trouble[1]} (for {now - self._trouble[0]:.0f} s)"
        for shard in sorted(self.unread(now=now, limit_seconds=limit_seconds)):
            cause = self._cause(self._owners_of_unread.get(shard, self._worker_id))
            yield f"{shard}: not read for {now - self._read_at[shard]:.0f} s: {cause}"

    def _cause(self, owner: str | None) -> str:
        if owner is None:
            return "no worker has its lease"
        if owner == self._worker_id:
            return "this worker has its lease, and the KCL has started no process for it"
        return f"worker {owner} has its lease and does not renew it"
