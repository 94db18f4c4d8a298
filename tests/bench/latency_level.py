"""Level `latency`: time from put to readable in a backend, through the real KCL on the embedded stack."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from consumer.domain.routing import table_name, table_suffix
from consumer.local import backends
from consumer.local import stack as stacks
from consumer.local.backends import BACKENDS
from consumer.local.child import ROOT
from consumer.local.readback import BigQueryReader, S3Reader, records_named
from consumer.local.stack import Stack
from consumer.settings import Settings, load
from consumer.settings.table import Backend
from tests.bench.kcl import BenchError
from tests.bench.latency import Counts, holds, latencies, percentile, put_before
from tests.bench.latency_feed import Feed, Looks

RATES = (100, 500, 1_000)

_START_SECONDS = 180.0
_CATCH_UP_SECONDS = 120.0
_POLL_SECONDS = 0.2
_FIRST_RATE = 5.0
"""While the KCL starts: what waits for it must be little, since a backlog would make later records late."""
_SETTINGS = {"chunk.window": "1s", "chunk.grace": "2s", "http.port": "0"}

type Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table; `rate` in records/s on one shard."""

    backend: Backend
    rate: int


CASES = [Case(backend, rate) for backend in BACKENDS for rate in RATES]


def measure(cases: Sequence[Case], *, seconds: float, folder: Path, say: Say) -> list[dict[str, Any]]:
    """A row for each case, of the records put in so many seconds; a fresh stack for each backend.

    Raises BenchError when a record does not become readable, or is there twice.
    """
    rows: list[dict[str, Any]] = []
    for backend in BACKENDS:
        rates = [case.rate for case in cases if case.backend == backend]
        if rates:
            with _world(backend, folder / backend) as world:
                rows += _measured(world, rates, seconds, say)
    return rows


@dataclass(frozen=True, slots=True)
class _World:
    backend: Backend
    feed: Feed
    looks: Looks
    checks: Sequence[Callable[[], None]]

    def wait(self, seconds: float) -> None:
        """Raises what ended meanwhile."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for check in self.checks:
                check()
            time.sleep(min(_POLL_SECONDS, max(0.0, deadline - time.monotonic())))

    def catch_up(self, seconds: float) -> None:
        """Wait until everything is readable that has been put before this moment; raises BenchError."""
        began = time.monotonic()
        wanted = put_before(self.feed.puts, began)
        while not holds(self.looks.latest(), wanted):
            if time.monotonic() - began > seconds:
                raise BenchError(
                    f"{self.backend}: of {sum(wanted.values())} records {sum(self.looks.latest().values())}"
                    f" were readable after {seconds:.0f} s"
                )
            self.wait(_POLL_SECONDS)


@contextmanager
def _world(backend: Backend, folder: Path) -> Iterator[_World]:
    """A stack of one shard, the backend on it, records on their way and a look at where they come out."""
    with stacks.running(folder, shards=1) as running:
        chosen = {**_SETTINGS, "worker.state_dir": str(folder / "workers")}
        settings = load(
            backend,
            file=ROOT / "properties" / f"{backend}.properties",
            overrides={**stacks.overrides(running.stack, backend), **chosen},
        )
        count, lane_of = _PLACES[backend](running.stack, settings)
        with (
            backends.started(folder, {backend: chosen}) as [daemon],
            Feed(running.stack, rate=_FIRST_RATE, lane_of=lane_of) as feed,
            Looks(count) as looks,
        ):
            yield _World(backend, feed, looks, (running.check, daemon.check, feed.check, looks.check))


def _measured(world: _World, rates: Sequence[int], seconds: float, say: Say) -> list[dict[str, Any]]:
    """Rates follow each other without a pause, and the last goes on until its records are readable: where records
    end, a chunk stays open for `chunk.grace`."""
    say(f"{world.backend}: waiting for the first records; the KCL takes up to a minute for its first lease")
    world.wait(1)
    world.catch_up(_START_SECONDS)
    rows = []
    for rate in rates:
        world.feed.rate = rate
        world.catch_up(_CATCH_UP_SECONDS)
        began = time.monotonic()
        world.wait(seconds)
        ended = time.monotonic()
        world.catch_up(_CATCH_UP_SECONDS)
        rows.append(_row(world, rate, began, ended))
        say(str(rows[-1]))
    _count(world)
    return rows


def _row(world: _World, rate: int, began: float, ended: float) -> dict[str, Any]:
    taken = latencies(list(world.feed.puts), list(world.looks.seen), since=began, until=ended)
    moments = [moment for moment, _ in world.looks.seen if began <= moment < ended]
    return {
        "backend": world.backend,
        "rate": rate,
        "records": len(taken),
        "put_per_second": round(len(taken) / (ended - began)),
        "p50_seconds": round(percentile(taken, 50), 2),
        "p99_seconds": round(percentile(taken, 99), 2),
        "max_seconds": round(max(taken), 2),
        "look_seconds": round(median(b - a for a, b in pairwise(moments)), 3),
    }


def _count(world: _World) -> None:
    """End the feed and compare: a record that is there twice would have let others seem readable too early."""
    world.feed.stop()
    world.catch_up(_CATCH_UP_SECONDS)
    if world.looks.latest() != put_before(world.feed.puts, time.monotonic()):
        raise BenchError(f"{world.backend}: more records are readable than were put")


type _Place = tuple[Callable[[], Counts], Callable[[str], str]]


def _objects(stack: Stack, settings: Settings) -> _Place:
    """One lane: chunks have a second each, and come one after the other."""
    reader = S3Reader(stack, settings.text("s3.prefix"))
    return lambda: {"": records_named(reader.keys())}, lambda player: ""


def _tables(stack: Stack, settings: Settings) -> _Place:
    """A lane for each table: those of a chunk become readable one by one."""
    prefix, digits = settings.text("bigquery.table_prefix"), settings.integer("bigquery.key_digits")
    reader = BigQueryReader(stack, time_column=settings.text("bigquery.partition_field"))
    return (
        lambda: reader.counts(f"{prefix}_"),
        lambda player: table_name(prefix, table_suffix(player, digits) or ""),
    )


_PLACES: dict[Backend, Callable[[Stack, Settings], _Place]] = {"s3": _objects, "bigquery": _tables}
