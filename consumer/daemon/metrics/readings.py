"""How values are read off the status of a daemon: a function for each form, made or named by the rows of the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from consumer.daemon.metrics.metric import Buckets, Sample, Snapshot
from consumer.daemon.report.health import State
from consumer.daemon.report.pressure import Pressure
from consumer.daemon.report.status import ShardReport
from consumer.settings.table import Backend

_RETRY_CLASSES = ("transient", "throttled", "setup")
_BURIED_FOR = "dead_letters_"


def one(value: float | None) -> list[Sample]:
    return [] if value is None else [Sample((), value)]


def counted(*names: str, backend: Backend | None = None) -> Callable[[Snapshot], list[Sample]]:
    """The sum of counters of all shard processes, by their names in the status."""

    def read(snapshot: Snapshot) -> list[Sample]:
        if backend not in (None, snapshot.status.identity.backend):
            return []
        return one(sum(snapshot.status.totals.counters[name] for name in names))

    return read


def of_all(value: Callable[[ShardReport], float]) -> Callable[[Snapshot], list[Sample]]:
    return lambda snapshot: one(sum(value(shard) for shard in snapshot.status.shards))


def of_each(
    value: Callable[[ShardReport], float | None], *, counts: bool = False
) -> Callable[[Snapshot], Iterator[Sample]]:
    """One sample a shard, where it has a value; what `counts` began with its process."""

    def read(snapshot: Snapshot) -> Iterator[Sample]:
        for shard in snapshot.status.shards:
            found = value(shard)
            if found is not None:
                yield Sample((shard.shard,), found, shard.started_ms / 1000 if counts else None)

    return read


def retries(snapshot: Snapshot) -> Iterator[Sample]:
    counters = snapshot.status.totals.counters
    return (Sample((name,), counters[f"retries_{name}"]) for name in _RETRY_CLASSES)


def dead_letters_by_reason(snapshot: Snapshot) -> Iterator[Sample]:
    for name, count in sorted(snapshot.status.totals.counters.items()):
        if name.startswith(_BURIED_FOR):
            yield Sample((name.removeprefix(_BURIED_FOR),), count)


def latency(snapshot: Snapshot) -> list[Sample]:
    totals = snapshot.status.totals
    return [Sample((), Buckets(tuple(totals.latency_counts), totals.latency_sum_seconds))]


def behind_latest(snapshot: Snapshot) -> list[Sample]:
    behind = [shard.behind_latest_seconds for shard in snapshot.status.shards]
    return one(max((seconds for seconds in behind if seconds is not None), default=None))


def pressure(snapshot: Snapshot) -> Iterator[Sample]:
    word = Pressure.of(snapshot.status.back_pressure_share or 0.0)
    return (Sample((each.value,), float(each is word)) for each in Pressure)


def state(snapshot: Snapshot) -> Iterator[Sample]:
    now = snapshot.status.health.state
    return (Sample((each.value,), float(each is now)) for each in State)


def shard_state(snapshot: Snapshot) -> Iterator[Sample]:
    return (Sample((shard.shard, shard.condition.value), 1.0) for shard in snapshot.status.shards)


def memory(snapshot: Snapshot) -> Iterator[Sample]:
    return (Sample((kind,), resident) for kind, resident in snapshot.memory.items())


def build(snapshot: Snapshot) -> list[Sample]:
    worker = snapshot.status.identity.worker_id
    return [Sample((snapshot.version, snapshot.method, worker), 1.0)]
