"""Level `sizes`: what a worker carries that has a quarter of a processor, a half, one or two."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.cases import TARGETS, Target
from tests.bench.kcl import BenchError
from tests.bench.kcl_run import KclCase, world
from tests.bench.shard_level import MIB
from tests.bench.sizes_run import SizeRun, run

SIZES = (0.25, 0.5, 1.0, 2.0)
SHARDS = 16
RECORDS = 400_000
ANSWER_RECORDS = 1000
"""In an answer of Kinesis: what a shard that takes in as much as it may brings in the second between two reads
(https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html). Larger ones cost less a record."""

_SPARE_CORES = 1.0
"""The stub of Kinesis and the backend have to have more than they need."""

type Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeCase:
    """Processors, and a backend with the way to write to it."""

    vcpu: float
    child: Target

    @property
    def name(self) -> str:
        """With the name of the method in place of BigQuery's usual one."""
        return f"{backend_name(self.child)}, {self.vcpu:g}"


def backend_name(child: Target) -> str:
    return "insert_all" if child == "bigquery" else child


CASES = tuple(SizeCase(vcpu=vcpu, child=child) for child in TARGETS for vcpu in SIZES)


def measure(
    chosen: Sequence[SizeCase],
    *,
    shards: int,
    records: int,
    max_records: int,
    runs: int,
    folder: Path,
    say: Say,
    cores: int | None = None,
) -> list[dict[str, Any]]:
    """A row for each case, in runs that take turns; where this machine's `cores` are too few for a size, the row is
    computed from what the largest smaller one spent. `records` of all shards together are measured, and half as many
    before them warm up. Raises BenchError when a process fails or a record is lost."""
    if records < 2 * shards:
        raise BenchError(f"{records} records are too few for {shards} shards")
    most = (cores or os.cpu_count() or 1) - _SPARE_CORES
    done: dict[SizeCase, list[SizeRun]] = {case: [] for case in chosen if case.vcpu <= most}
    with world(folder) as shared:
        for number in range(1, runs + 1):
            for place, (case, its_runs) in enumerate(done.items()):
                kcl = KclCase(
                    shards=shards,
                    child=case.child,
                    records=records,
                    warm_up=records // 2,
                    max_records=max_records,
                )
                its_runs.append(run(kcl, case.vcpu, shared, name=f"bench-{number}-{place}"))
                say(f"run {number} of {runs}: {case.name} vCPU: {_told(its_runs[-1])}")
    return rows(chosen, done, shards=shards, max_records=max_records)


def rows(
    chosen: Sequence[SizeCase],
    done: Mapping[SizeCase, Sequence[SizeRun]],
    *,
    shards: int,
    max_records: int,
) -> list[dict[str, Any]]:
    """Of each case the run that carried most: whatever else the machine does only takes from it. A size that was not
    measured has what its processors carry at the CPU time that a record took with the most that were, and is left
    out where there is none."""
    made = []
    for case in chosen:
        smaller = [other for other in done if other.child == case.child and other.vcpu <= case.vcpu]
        if not smaller:
            continue
        nearest = max(smaller, key=lambda other: other.vcpu)
        common = {"vcpu": case.vcpu, "backend": backend_name(case.child), "shards": shards}
        its_runs = done[nearest]
        figures = _measured(its_runs) if nearest == case else _computed(case.vcpu, its_runs)
        made.append({**common, "max_records": max_records, **figures})
    return made


def _measured(runs: Sequence[SizeRun]) -> dict[str, Any]:
    best = _best(runs)
    return {
        "by": "measured",
        "records_per_second": round(best.rate),
        "records_per_second_of_runs": [round(run.rate) for run in runs],
        "cpu_seconds_per_million": round(best.per_million, 2),
        "throttled_percent": round(best.throttling.percent),
        "start_seconds": round(best.start.seconds, 1),
        "start_cpu_seconds": round(best.start.cpu_seconds, 1),
        "peak_pss_mib": round(best.peak_pss_bytes / MIB),
    }


def _computed(vcpu: float, runs: Sequence[SizeRun]) -> dict[str, Any]:
    per_million = _best(runs).per_million
    return {
        **dict.fromkeys(_measured(runs)),
        "by": "computed",
        "records_per_second": round(vcpu / per_million * 1e6),
        "cpu_seconds_per_million": round(per_million, 2),
    }


def _best(runs: Sequence[SizeRun]) -> SizeRun:
    return max(runs, key=lambda run: run.rate)


def _told(done: SizeRun) -> str:
    return (
        f"{done.rate:.0f} records/s, {done.per_million:.2f} CPU s per million, {done.throttling.percent:.0f} % of the"
        f" periods throttled, all shards after {done.start.seconds:.1f} s ({done.start.cpu_seconds:.1f} CPU s),"
        f" {done.peak_pss_bytes / MIB:.0f} MiB"
    )
