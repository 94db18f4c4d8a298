"""Level `recovery`: from a start, and from SIGKILL, to the next delivered record, under the leases of production."""

import asyncio
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from consumer.local import stack as stacks
from consumer.local.backends import BACKENDS
from consumer.local.child import ROOT
from consumer.local.readback import BigQueryReader, S3Reader, records_named
from consumer.local.stack import Stack
from consumer.settings import Settings, load
from consumer.settings.table import Backend
from tests.bench.kcl import BenchError
from tests.bench.latency import Counts
from tests.bench.latency_feed import Feed, Looks
from tests.bench.production import production_leases, production_settings
from tests.chaos.processes import Proc, send_all
from tests.chaos.watch import Sample, next_delivery, recovery_seconds
from tests.chaos.workers import Worker

FIRST_START = "first start, no lease table"
NEXT_START = "start after an orderly end, lease table there"
KILLS = ("SIGKILL of a shard process", "SIGKILL of the JVM", "SIGKILL of the supervisor and all below it")

_RATE = 20.0
_CALM_SECONDS = 15.0
"""Between two kills: the KCL is told of a checkpoint, and leases are renewed."""
_PATIENCE_SECONDS = 200.0
_POLL_SECONDS = 0.05
_CHUNKS = {"chunk.window": "1s", "chunk.grace": "2s", "http.port": "0"}

type Say = Callable[[str], None]


@dataclass(slots=True)
class _World:
    worker: Worker
    feed: Feed
    looks: Looks

    def samples(self) -> list[Sample]:
        return [(moment, sum(counts.values())) for moment, counts in list(self.looks.seen)]

    def check(self) -> None:
        self.feed.check()
        self.looks.check()


def measure(*, only: Callable[[Backend], bool], runs: int, folder: Path, say: Say) -> list[dict[str, Any]]:
    """Seconds of each event, median and largest of the runs; a fresh stack for each run. Raises BenchError."""
    rows: list[dict[str, Any]] = []
    for backend in filter(only, BACKENDS):
        seconds: dict[str, list[float]] = defaultdict(list)
        for run in range(runs):
            with _world(backend, folder / f"{backend}-{run}") as world:
                for event, found in _events(world):
                    seconds[event].append(found)
                    say(f"{backend}, {event}: {found:.1f} s")
        rows += [
            {
                "backend": backend,
                "event": event,
                "median_seconds": round(median(found), 1),
                "max_seconds": round(max(found), 1),
            }
            for event, found in seconds.items()
        ]
    return rows


def _events(world: _World) -> Iterator[tuple[str, float]]:
    began = time.monotonic()
    world.worker.start()
    yield "first start: JVM runs", _until(world, began, lambda: world.worker.jvm() is not None)
    yield (
        "first start: shard process runs",
        _until(world, began, lambda: bool(world.worker.shard_processes())),
    )
    yield FIRST_START, _until(world, began, lambda: bool(world.samples()[-1][1]))
    _wait(world, _CALM_SECONDS)
    yield NEXT_START, _start_again(world)
    for event in KILLS:
        _wait(world, _CALM_SECONDS)
        yield event, _recovery(world, victims(world.worker, event), starts_again=event == KILLS[-1])


def _start_again(world: _World) -> float:
    """From a start to the next record that is delivered, once all that the last life had taken is seen."""
    code = asyncio.run(world.worker.stop())
    if code != 0:
        raise BenchError(f"{world.worker.id}: it ended with code {code}")
    looks = len(world.looks.seen)
    _until(world, time.monotonic(), lambda: len(world.looks.seen) > looks + 1)
    began = time.monotonic()
    world.worker.start()
    _until(world, began, lambda: next_delivery(world.samples(), began) is not None)
    return next_delivery(world.samples(), began) or 0.0


def victims(worker: Worker, event: str) -> Sequence[Proc]:
    if event == KILLS[0]:
        return worker.shard_processes()[:1]
    jvm = worker.jvm()
    if event == KILLS[1]:
        return [] if jvm is None else [jvm]
    return worker.processes()


def _recovery(world: _World, victims: Sequence[Proc], *, starts_again: bool) -> float:
    if not victims:
        raise BenchError("there is nothing to kill")
    killed_at = time.monotonic()
    send_all(victims, signal.SIGKILL)
    if starts_again:
        assert world.worker.popen is not None
        world.worker.popen.wait()
        world.worker.start()
    _until(world, killed_at, lambda: recovery_seconds(world.samples(), killed_at) is not None)
    return recovery_seconds(world.samples(), killed_at) or 0.0


def _until(world: _World, began: float, reached: Callable[[], bool]) -> float:
    """Seconds since `began`. Raises BenchError when it takes too long."""
    while not reached():
        world.check()
        if time.monotonic() - began > _PATIENCE_SECONDS:
            raise BenchError(f"{world.worker.id}: nothing was delivered within {_PATIENCE_SECONDS:.0f} s")
        time.sleep(_POLL_SECONDS)
    return time.monotonic() - began


def _wait(world: _World, seconds: float) -> None:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        world.check()
        time.sleep(_POLL_SECONDS)


@contextmanager
def _world(backend: Backend, folder: Path) -> Iterator[_World]:
    with stacks.running(folder, shards=1) as running:
        options = (
            f"{production_settings(backend).text('jvm.options')} -Daws.cborEnabled=false"  # which moto needs
        )
        chosen = {**production_leases(backend), **_CHUNKS, "jvm.options": options}
        settings = load(
            backend,
            file=ROOT / "properties" / f"{backend}.properties",
            overrides={**stacks.overrides(running.stack, backend), **chosen},
        )
        worker = Worker(backend=backend, name="a", stack_dir=folder, settings=chosen)
        try:
            with (
                Feed(running.stack, rate=_RATE, lane_of=lambda player: "") as feed,
                Looks(_counts(backend, running.stack, settings)) as looks,
            ):
                yield _World(worker, feed, looks)
        finally:
            worker.abandon()


def _counts(backend: Backend, stack: Stack, settings: Settings) -> Callable[[], Counts]:
    if backend == "s3":
        objects = S3Reader(stack, settings.text("s3.prefix"))
        return lambda: {"": records_named(objects.keys())}
    tables = BigQueryReader(stack, time_column=settings.text("bigquery.partition_field"))
    prefix = settings.text("bigquery.table_prefix")
    return lambda: {"": tables.count(prefix)}
