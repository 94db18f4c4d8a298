"""Level `idle`: what a worker of the real KCL costs whose shards bring nothing, under the leases and waits of
production."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consumer.local import stack as stacks
from consumer.local.bill.ask import Bill
from consumer.settings.table import Backend
from tests.bench.kcl import BenchError
from tests.bench.production import production_leases, production_settings
from tests.bench.worker_usage import Seconds, cpu_seconds, memory, parts, spent
from tests.chaos.workers import Worker

SHARDS = (1, 16, 64)
SECONDS = 60.0
_BACKEND: Backend = "s3"
_SETTLE_SECONDS = 45.0
"""Until the JVM has compiled what runs often, and the first checkpoints are behind it."""
_PATIENCE_SECONDS = 240.0
_POLL_SECONDS = 0.5

type Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """Settings that make a quiet worker cheaper, and what they cost: how much later a record may be read."""

    name: str
    settings: Mapping[str, str]
    later: str


VARIANTS = (
    Variant(name="as shipped", settings={}, later="–"),
    Variant(
        name="idleTimeBetweenReadsInMillis = 5000",
        settings={"idleTimeBetweenReadsInMillis": "5000"},
        later="4 s",
    ),
    Variant(
        name="leaseAssignmentIntervalMillis = 10000, workerMetricsReporterFreqInMillis = 30000",
        settings={"leaseAssignmentIntervalMillis": "10000", "workerMetricsReporterFreqInMillis": "30000"},
        later="none; 8 s after a start, and a worker that left is given shards for a minute",
    ),
)


def measure(
    shards: Sequence[int], variants: Sequence[Variant], *, seconds: float, folder: Path, say: Say
) -> list[dict[str, Any]]:
    """A row for each number of shards and variant, each with a fresh stack. Raises BenchError or ChildError."""
    rows = []
    for number in shards:
        for place, variant in enumerate(variants):
            rows.append(_measured(number, variant, seconds, folder / f"{number}-{place}"))
            say(str(rows[-1]))
    return rows


def _measured(shards: int, variant: Variant, seconds: float, folder: Path) -> dict[str, Any]:
    with ExitStack() as world:
        running = world.enter_context(stacks.running(folder, shards=shards))
        options = (
            f"{production_settings(_BACKEND).text('jvm.options')} -Daws.cborEnabled=false"  # which moto needs
        )
        worker = Worker(
            backend=_BACKEND,
            name="a",
            stack_dir=folder,
            settings={
                **production_leases(_BACKEND),
                "http.port": "0",
                "jvm.options": options,
                **variant.settings,
            },
        )
        world.callback(worker.abandon)
        worker.start()
        watch = _Watch(worker, running.check)
        watch.wait(_PATIENCE_SECONDS, until=lambda: len(worker.shard_processes()) == shards)
        watch.wait(_SETTLE_SECONDS)
        bill = Bill(running.stack)
        bill.reset()
        before, began = watch.seconds(), time.monotonic()
        watch.wait(seconds)
        counts, after, took = bill.counts(), watch.seconds(), time.monotonic() - began
        used = memory(parts([worker.processes()]))
        hours = took / 3600
        jvm, beside, supervisor = (spent(*pair) for pair in zip(before, after, strict=True))
        return {
            "shards": shards,
            "settings": variant.name,
            "jvm_cpu_seconds_per_hour": round(jvm / hours),
            "beside_cpu_seconds_per_hour": round(beside / hours),
            "supervisor_cpu_seconds_per_hour": round(supervisor / hours),
            "kinesis_reads_per_hour": round(counts.get("kinesis_get_requests", 0.0) / hours),
            "dynamodb_read_units_per_hour": round(counts.get("dynamodb_read_units", 0.0) / hours),
            "dynamodb_write_units_per_hour": round(counts.get("dynamodb_write_units", 0.0) / hours),
            "jvm_rss_mib": round(sum(used.jvm_rss_bytes) / 2**20),
            "later": variant.later,
        }


@dataclass(frozen=True, slots=True)
class _Watch:
    worker: Worker
    check: Callable[[], None]

    def seconds(self) -> tuple[Seconds, Seconds, Seconds]:
        """CPU seconds of the JVM, of what stands beside it, and of the supervisor."""
        tree = self.worker.processes()
        found = parts([tree])
        return cpu_seconds(found.jvms), cpu_seconds(found.beside), cpu_seconds(tree[:1])

    def wait(self, seconds: float, until: Callable[[], bool] | None = None) -> None:
        """So long, or until that is so; raises BenchError where it does not come to be."""
        deadline = time.monotonic() + seconds
        while not (until and until()):
            self.check()
            if self.worker.ended():
                raise BenchError(f"{self.worker.id} has ended")
            if time.monotonic() > deadline:
                if until:
                    raise BenchError(f"not all shards have a process after {seconds:.0f} s")
                return
            time.sleep(_POLL_SECONDS)
