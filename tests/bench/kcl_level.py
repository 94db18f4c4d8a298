"""Level `kcl`: prepared answers of Kinesis through the real KCL and its shard processes into the discarding backend."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.cases import TARGETS
from tests.bench.kcl import BenchError
from tests.bench.kcl_run import ACKNOWLEDGES, KclCase, KclRun, run, world
from tests.bench.production import production_settings
from tests.bench.shard_level import MIB

SHARDS = (1, 2, 4, 16)
CHILDREN = (ACKNOWLEDGES, *TARGETS)
_RECORDS = 400_000
_RECORDS_A_SHARD = 50_000
"""With fewer of them, what shard processes cost is the memory that they touch for the first time."""


def cases(shards: Sequence[int], *, records: int | None, max_records: int | None, wire: str) -> list[KclCase]:
    """All of them. `records` of all shards together are measured, and as many before them warm up; `max_records` is
    the setting of the KCL. None is the usual for both. Raises BenchError when a shard has no record."""
    if records is not None and records < max(shards):
        raise BenchError(f"{records} records are too few for {max(shards)} shards")
    return [
        _case(
            number, child, records or max(_RECORDS, number * _RECORDS_A_SHARD), max_records or _usual(), wire
        )
        for number in shards
        for child in CHILDREN
    ]


def _case(shards: int, child: str, records: int, max_records: int, wire: str) -> KclCase:
    return KclCase(
        shards=shards, child=child, records=records, warm_up=records, max_records=max_records, wire=wire
    )


def _usual() -> int:
    """maxRecords as properties/ has it."""
    return int(production_settings("s3").kcl["maxRecords"])


def measure(
    chosen: Sequence[KclCase], *, runs: int, folder: Path, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """A row for each case. Runs of different cases take turns, so that a busy machine troubles all alike.

    Raises BenchError when a process fails or when a record did not arrive.
    """
    done: dict[KclCase, list[KclRun]] = {case: [] for case in chosen}
    with world(folder) as shared:
        for number in range(1, runs + 1):
            for place, (case, its_runs) in enumerate(done.items()):
                its_runs.append(run(case, shared, name=f"bench-{number}-{place}"))
                say(f"run {number} of {runs}: {_told(case, its_runs[-1])}")
    return rows(done)


def rows(done: Mapping[KclCase, Sequence[KclRun]]) -> list[dict[str, Any]]:
    """Of each case the run that cost least: whatever else the machine does only adds. `ratio` is the cost of JVM and
    shard processes by that of the case that acknowledges as many shards, None where that was not measured."""
    floors = {
        case.shards: _least(its_runs).per_million
        for case, its_runs in done.items()
        if case.child == ACKNOWLEDGES
    }
    return [_row(case, its_runs, floors.get(case.shards)) for case, its_runs in done.items()]


def _row(case: KclCase, runs: Sequence[KclRun], floor: float | None) -> dict[str, Any]:
    least = _least(runs)
    return {
        "shards": case.shards,
        "child": case.child,
        "wire": case.wire,
        "max_records": case.max_records,
        "records": least.records,
        "jvm_cpu_seconds_per_million": round(least.jvm_per_million, 2),
        "shards_cpu_seconds_per_million": round(least.shards_per_million, 2),
        "cpu_seconds_per_million": round(least.per_million, 2),
        "cpu_seconds_per_million_of_runs": [round(each.per_million, 2) for each in runs],
        "ratio": None if floor is None else round(least.per_million / floor, 2),
        "records_per_second": round(median(each.records / each.seconds for each in runs)),
        "jvm_start_cpu_seconds": round(median(each.start.root for each in runs), 2),
        "shards_start_cpu_seconds": round(median(each.start.descendants for each in runs), 2),
        "jvm_peak_rss_mib": round(median(each.jvm_peak_rss_bytes for each in runs) / MIB, 1),
    }


def _least(runs: Sequence[KclRun]) -> KclRun:
    return min(runs, key=lambda run: run.per_million)


def _told(case: KclCase, a_run: KclRun) -> str:
    return (
        f"{case.shards} shards, {case.child}: {a_run.jvm_per_million:.2f} and {a_run.shards_per_million:.2f}"
        f" CPU s per million (JVM, shard processes), {a_run.records / a_run.seconds:.0f} records/s"
    )
