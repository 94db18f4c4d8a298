"""Level `originals`: the systems that the daemon replaces, the daemon and a plain program, at one request latency."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.backend import Backend, discarding
from tests.bench.batches import FIRST_NUMBER, Batch, Batches
from tests.bench.cases import USUAL_SIZE, Case
from tests.bench.counts import Behaviour
from tests.bench.inputs import Input
from tests.bench.kcl import BenchError
from tests.bench.originals_table import Attempt, Run, figures
from tests.bench.shard_level import start

TABLE_PER_PLAYER = "serial, a table per player"

_ARRIVALS_PER_SECOND = 1000
"""What one shard takes: denser records would give the daemon larger chunks than a stream does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """A run ends with its records, or with the batch that is under way after `seconds`."""

    delay_ms: int
    seconds: float
    batch: int
    players: int
    new_table_seconds: float


def systems(records: int) -> list[Case]:
    """The rows of the table."""
    given = Input(record_bytes=USUAL_SIZE, count=records, arrivals_per_second=_ARRIVALS_PER_SECOND)
    original = "tests.bench.programs.original"
    plain = "tests.bench.programs.plain"
    bigquery = Case(backend="bigquery", name="this daemon, insert_all", input=given)
    s3 = Case(backend="s3", name="this daemon", input=given)
    return [
        replace(bigquery, name=TABLE_PER_PLAYER, program=(original, "player", "URL")),
        replace(bigquery, name="serial, 16 tables", program=(original, "serial", "URL")),
        replace(bigquery, name="gevent, 16 tables", program=(original, "gevent", "URL")),
        replace(bigquery, name="plain amazon_kclpy, insert_rows_json", program=(plain, "bigquery", "URL")),
        bigquery,
        replace(s3, name="plain amazon_kclpy, put_object", program=(plain, "s3", "URL")),
        s3,
    ]


def measure(
    cases: list[Case], conditions: Conditions, *, runs: int, folder: Path, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """A row for each system; systems take turns. Raises BenchError when a record did not arrive."""
    done: list[list[dict[str, Any]]] = [[] for _ in cases]
    with discarding(folder) as backend:
        for number in range(runs):
            for case, its_runs in zip(cases, done, strict=True):
                its_runs.append(figures(run(case, conditions, backend, folder)))
                say(f"run {number + 1} of {runs}: {case.backend}, {case.name}: {its_runs[-1]}")
    return [
        {"backend": case.backend, "system": case.name, "delay_ms": conditions.delay_ms, **_medians(its_runs)}
        for case, its_runs in zip(cases, done, strict=True)
    ]


def run(case: Case, conditions: Conditions, backend: Backend, folder: Path) -> Run:
    """One system from its start to its end; raises BenchError."""
    creates_tables = case.name == TABLE_PER_PLAYER
    backend.behave(
        Behaviour(
            latency_seconds=conditions.delay_ms / 1000,
            new_table_seconds=conditions.new_table_seconds if creates_tables else None,
            first_number=FIRST_NUMBER,
        )
    )
    with start(case, backend, folder) as child:
        child.initialize()
        began = time.perf_counter()
        batches = Batches(input=case.input, size=conditions.batch, players=conditions.players)
        attempts = feed(batches, child.call, seconds=conditions.seconds)
        ending = time.perf_counter()
        child.end_shard()
        ended = time.perf_counter()
        cost = child.close()
    arrived = backend.arrived()
    done = Run(
        attempts=attempts,
        end_seconds=ended - ending,
        total_seconds=ended - began,
        all_records=case.input.count,
        written=arrived.records,
        requests=arrived.requests,
        peak_rss_bytes=cost.peak_rss_bytes,
    )
    if arrived.unbroken < done.records:
        raise BenchError(
            f"{case.backend}, {case.name}: record {arrived.unbroken + 1} of {done.records} did not arrive"
        )
    return done


def feed(
    batches: Iterable[Batch],
    call: Callable[[bytes], Mapping[str, Any]],
    *,
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Attempt]:
    """Give the batches in order, each until it is taken, one attempt at least; none begins after `seconds`."""
    attempts: list[Attempt] = []
    deadline = clock() + seconds
    for batch in batches:
        taken = False
        while not taken:
            began = clock()
            if attempts and began >= deadline:
                return attempts
            taken = "failed" not in call(batch.text)
            attempts.append(Attempt(clock() - began, batch.records if taken else 0))
    return attempts


def _medians(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Of every number; what is said in words is told once for each way."""
    return {
        name: round(median(each[name] for each in runs), 4)
        if isinstance(value, int | float)
        else " or ".join(sorted({each[name] for each in runs}))
        for name, value in runs[0].items()
    }
