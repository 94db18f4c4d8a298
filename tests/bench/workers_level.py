"""Level `workers`: many shards on one host, shared by one worker of the real KCL, by two and by four, under the leases
of production, while records flow."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.balance import Pauses, Shares, Streak, idle, moved, shares
from tests.bench.kcl import BenchError
from tests.bench.production import production_leases
from tests.bench.shard_level import MIB
from tests.bench.worker_host import BACKEND, Host, hosting
from tests.bench.worker_usage import cpu_seconds, memory, parts, spent

SHARDS = 64
SECONDS = 15.0
RATE_PER_SHARD = 5.0

_CALM_SECONDS = 10.0
"""What holds for so long counts as reached when it began: the KCL balances every few seconds."""
_PATIENCE_SECONDS = 150.0
_STALL_SECONDS = 180.0
"""Nothing has arrived for so long: nobody reads what is missing. The KCL may leave a shard alone for two minutes."""
_POLL_SECONDS = 1.5
_SETTINGS = {
    "chunk.window": "10s",
    "chunk.grace": "2s",
    "checkpoint.interval": "10s",
    "http.port": "0",
    "supervisor.lock": "worker",
    # the embedded AWS answers some 200 requests a second
    "idleTimeBetweenReadsInMillis": "2000",
}

type Say = Callable[[str], None]
type Act = Callable[[Host], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """`shards` are there after each of half as many was split; `seconds` is how long each state is measured once it is
    reached; `leases` are settings of the KCL."""

    shards: int
    seconds: float
    leases: Mapping[str, str]

    @property
    def rate(self) -> float:
        """Records/s of the whole stream; it stays when shards are split."""
        return self.shards * RATE_PER_SHARD


def _one_starts(host: Host) -> None:
    host.start("a")


def _a_second_joins(host: Host) -> None:
    host.start("b")


def _two_more_join(host: Host) -> None:
    host.start("c")
    host.start("d")


def _two_leave(host: Host) -> None:
    for worker in host.workers[2:]:
        host.stop(worker)


STEPS: Sequence[tuple[str, Act]] = (
    ("one starts, no lease table", _one_starts),
    ("every shard is split", Host.split_all),
    ("a second one joins", _a_second_joins),
    ("two more join", _two_more_join),
    ("two leave (SIGTERM)", _two_leave),
)


def measure(
    conditions: Conditions, *, folder: Path, say: Say, steps: Sequence[tuple[str, Act]] = STEPS
) -> list[dict[str, Any]]:
    """A row for each step, and one for the end, at which every record is looked for.

    Raises BenchError when one is lost or duplicated, or when a worker fails.
    """
    settings = {**conditions.leases, **_SETTINGS}
    rows: list[dict[str, Any]] = []
    with hosting(folder, shards=conditions.shards // 2, rate=conditions.rate, settings=settings) as host:
        for event, act in steps:
            rows.append(_step(host, event, act, conditions.seconds, say))
            say(str(rows[-1]))
        rows.append({**dict.fromkeys(rows[0]), **_end(host, say)})
        say(str(rows[-1]))
    return rows


def production() -> Mapping[str, str]:
    """The waits of the KCL as properties/ has them."""
    return production_leases(BACKEND)


@dataclass(slots=True)
class _Reached:
    """Seconds from the event on, None for what did not come about in time; and the longest that a shard was without a
    process meanwhile."""

    balanced_seconds: float | None
    running_seconds: float | None
    pause_seconds: float


def _step(host: Host, event: str, act: Act, seconds: float, say: Say) -> dict[str, Any]:
    began = time.monotonic()
    act(host)
    open_shards = [shard["ShardId"] for shard in host.open_shards()]
    reached = _reached(host, open_shards, began, say)
    host.await_stopped()
    return {
        "event": event,
        "workers": len(host.workers),
        "shards": len(open_shards),
        "balanced_seconds": reached.balanced_seconds,
        "running_seconds": reached.running_seconds,
        "pause_seconds": round(reached.pause_seconds, 1),
        **_used(host, open_shards, seconds),
        "records": None,
        "late": None,
        "lost": None,
        "duplicated": None,
    }


def _reached(host: Host, open_shards: Sequence[str], began: float, say: Say) -> _Reached:
    """Wait until the leases have been balanced for a while, and every shard has had its process at once since."""
    balanced, pauses, told = Streak(), Pauses(), ""
    running_at: float | None = None
    while True:
        host.check()
        found, idle_shards = _look(host, open_shards)
        now = time.monotonic()
        pauses.see(now, idle_shards)
        calm = balanced.see(now, holds=found.balanced)
        if balanced.since is None:
            running_at = None
        elif running_at is None and not idle_shards:
            running_at = now
        if (calm >= _CALM_SECONDS and running_at is not None) or now - began > _PATIENCE_SECONDS:
            return _Reached(_after(began, balanced.since), _after(began, running_at), pauses.longest)
        if told != (told := f"{found}; {len(idle_shards)} do not run"):
            say(told)
        time.sleep(_POLL_SECONDS)


def _after(began: float, moment: float | None) -> float | None:
    return None if moment is None else round(moment - began, 1)


def _look(host: Host, open_shards: Sequence[str]) -> tuple[Shares, list[str]]:
    """How the open shards are shared, and which of them no process reads."""
    owners = host.leases.owners()
    found = shares(open_shards, owners, [worker.id for worker in host.workers])
    return found, idle(open_shards, owners, host.running())


def _used(host: Host, open_shards: Sequence[str], seconds: float) -> dict[str, Any]:
    """By all workers together, over so many seconds."""
    before = parts(host.trees())
    jvms, beside, owners = cpu_seconds(before.jvms), cpu_seconds(before.beside), host.leases.owners()
    records, began = len(host.feed.journal), time.monotonic()
    _wait(host, seconds)
    after = parts(host.trees())
    records, took = len(host.feed.journal) - records, time.monotonic() - began
    jvm_seconds = spent(jvms, cpu_seconds(after.jvms))
    beside_seconds = spent(beside, cpu_seconds(after.beside))
    found, _ = _look(host, open_shards)
    taken, shards = memory(after), len(open_shards)
    return {
        "shards_by_worker": str(found),
        "moved": moved(open_shards, owners, host.leases.owners()),
        "records_per_second": round(records / took),
        "jvm_cpu_seconds_per_thousand": round(1000 * jvm_seconds / records, 3),
        "shards_cpu_seconds_per_thousand": round(1000 * beside_seconds / records, 3),
        "cores": round((jvm_seconds + beside_seconds) / took, 2),
        "shard_pss_mib": round(taken.beside_pss_bytes / shards / MIB, 1),
        "jvm_rss_mib": round(max(taken.jvm_rss_bytes) / MIB),
        "jvm_threads_per_shard": round(taken.jvm_threads / shards, 1),
        "shard_threads": round(taken.shard_threads / len(after.shard_processes), 1),
    }


def _wait(host: Host, seconds: float) -> None:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        host.check()
        time.sleep(_POLL_SECONDS)


def _end(host: Host, say: Say) -> dict[str, Any]:
    """End the feed, let everything drain, stop all workers, and look at every object and dead letter.

    Records that the workers did not come to are late, not lost, if a new worker delivers them: it reads from the
    checkpoints.
    """
    host.feed.stop()
    acknowledged = host.feed.journal.acknowledged
    began = time.monotonic()
    _drain(host, acknowledged, say)
    drained_seconds = time.monotonic() - began
    _stop_all(host)
    late = max(0, acknowledged - host.delivered())
    if late:
        say(f"{late} records did not come: a new worker reads from the checkpoints")
        host.start("e")
        _drain(host, acknowledged, say)
        _stop_all(host)
    tally = host.tally()
    if not tally.clean:
        raise BenchError(f"of {acknowledged} records: {tally}")
    return {
        "event": "the feed ends",
        "running_seconds": round(drained_seconds, 1),
        "records": tally.delivered + tally.dead_letters,
        "late": late,
        "lost": tally.lost,
        "duplicated": tally.duplicated,
    }


def _drain(host: Host, acknowledged: int, say: Say) -> None:
    """Until every record is in the backend, or none has come for long."""
    still, delivered = Streak(), -1
    while (found := host.delivered()) < acknowledged:
        if still.see(time.monotonic(), holds=found == delivered) > _STALL_SECONDS:
            break
        if found != delivered:
            say(f"{found} of {acknowledged} records are in the backend")
        delivered = found
        _wait(host, _POLL_SECONDS)


def _stop_all(host: Host) -> None:
    for worker in list(host.workers):
        host.stop(worker)
    host.await_stopped()
