"""How evenly the workers of one application share its shards."""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

_SLACK = 0.25
"""The KCL balances throughput, not numbers, and leaves differences that are too small to be worth a move."""


@dataclass(frozen=True, slots=True)
class Shares:
    """Open shards, by the worker that holds the lease; `elsewhere` are those of anyone else, or of nobody."""

    by_worker: Mapping[str, int]
    elsewhere: int

    @property
    def balanced(self) -> bool:
        """The workers hold all shards, each a quarter more or less than its even part at most, rounded away from it,
        and one at least where there are enough."""
        if self.elsewhere:
            return False
        even = sum(self.by_worker.values()) / len(self.by_worker)
        least = max(math.floor(even * (1 - _SLACK)), min(1, math.floor(even)))
        most = math.ceil(even * (1 + _SLACK))
        return all(least <= count <= most for count in self.by_worker.values())

    def __str__(self) -> str:
        told = ", ".join(str(count) for count in self.by_worker.values())
        return f"{told}; {self.elsewhere} elsewhere" if self.elsewhere else told


def shares(open_shards: Collection[str], owners: Mapping[str, str], workers: Sequence[str]) -> Shares:
    """`owners` are workers by shard, of any shard."""
    held = Counter(owners.get(shard, "") for shard in open_shards)
    by_worker = {worker: held[worker] for worker in workers}
    return Shares(by_worker, len(open_shards) - sum(by_worker.values()))


def idle(
    open_shards: Collection[str], owners: Mapping[str, str], running: Mapping[str, Collection[str]]
) -> list[str]:
    """Shards without a process at the worker that holds the lease; `running` are shards by worker."""
    return [shard for shard in open_shards if shard not in running.get(owners.get(shard, ""), ())]


def moved(open_shards: Collection[str], before: Mapping[str, str], after: Mapping[str, str]) -> int:
    """Shards that have another owner than before."""
    return sum(before.get(shard) != after.get(shard) for shard in open_shards)


class Streak:
    """Since when something has been true without a break, in seconds of any clock."""

    def __init__(self) -> None:
        self.since: float | None = None

    def see(self, now: float, *, holds: bool) -> float:
        """For how long it has been true at `now`; 0 when it is not."""
        if not holds:
            self.since = None
        elif self.since is None:
            self.since = now
        return 0.0 if self.since is None else now - self.since


class Pauses:
    """How long shards have stood idle, in seconds of any clock."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self.longest = 0.0

    def see(self, now: float, idle_shards: Collection[str]) -> None:
        self._since = {shard: self._since.get(shard, now) for shard in idle_shards}
        self.longest = max([self.longest, *(now - since for since in self._since.values())])
