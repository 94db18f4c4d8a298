"""Level `shard`: generated protocol input through one shard process into a backend that keeps nothing."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.backend import Backend, discarding
from tests.bench.cases import Case, settings_of
from tests.bench.kcl import BenchError, Child, Cost

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Run:
    seconds: float
    cost: Cost
    requests: int


def measure(
    cases: list[Case], *, runs: int, folder: Path, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """A row for each case. Runs of different cases take turns, so that a busy machine troubles all alike.

    Raises BenchError when a child fails or when a record did not arrive.
    """
    done: list[list[Run]] = [[] for _ in cases]
    with discarding(folder) as backend:
        for number in range(runs):
            for case, its_runs in zip(cases, done, strict=True):
                its_runs.append(run(case, backend, folder))
                say(f"run {number + 1} of {runs}: {_told(case, its_runs[-1])}")
    return [_row(case, its_runs) for case, its_runs in zip(cases, done, strict=True)]


def run(
    case: Case,
    backend: Backend,
    folder: Path,
    *,
    program: Sequence[str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Run:
    """One run from start to end of a child; raises BenchError. `program` stands in for the shard process, which has
    `environment` beside its own."""
    backend.behave()
    number_sum = 0
    with start(case, backend, folder, program=program, environment=environment) as child:
        child.initialize()
        began = time.perf_counter()
        for line in case.input.lines():
            child.call(line.text)
            number_sum += line.number_sum
        child.end_shard()
        seconds = time.perf_counter() - began
        cost = child.close()
    return Run(seconds, cost, check_arrived(case, backend, number_sum))


def start(
    case: Case,
    backend: Backend,
    folder: Path,
    *,
    program: Sequence[str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Child:
    """The case's program; nothing is said to it yet."""
    own = environment_of(case, backend, folder) if case.is_shard_process else {}
    parts = [backend.url if part == "URL" else part for part in program or case.program]
    return Child(parts, folder, {**own, **(environment or {})})


def environment_of(case: Case, backend: Backend, folder: Path) -> dict[str, str]:
    """What a shard process needs of it; writes its settings to `folder`."""
    settings_file = folder / "settings.json"
    settings_file.write_bytes(settings_of(case, backend, folder).dump())
    return {"CONSUMER_SETTINGS": str(settings_file)}


def check_arrived(case: Case, backend: Backend, number_sum: int) -> int:
    """The number of requests; raises BenchError unless every record of the case is there, and once."""
    arrived = backend.arrived()
    expected = (case.input.count, number_sum) if case.delivers else (0, 0)
    if (arrived.records, arrived.number_sum) != expected:
        raise BenchError(
            f"{case.backend}, {case.name}: {arrived.records} of {expected[0]} records arrived"
            f" (sum of their numbers: {arrived.number_sum} of {expected[1]})"
        )
    return arrived.requests


def cpu_per_million(case: Case, a_run: Run) -> float:
    return a_run.cost.cpu_seconds / case.input.count * 1e6


def _row(case: Case, runs: list[Run]) -> dict[str, Any]:
    costs = [cpu_per_million(case, each) for each in runs]
    return {
        "backend": case.backend if case.delivers else "none",
        "format": case.name,
        "record_bytes": case.input.record_bytes,
        "records": case.input.count,
        "cpu_seconds_per_million": round(median(costs), 2),
        "cpu_seconds_per_million_of_runs": [round(cost, 2) for cost in costs],
        "records_per_second": round(median(case.input.count / each.seconds for each in runs)),
        "start_cpu_seconds": round(median(each.cost.start_cpu_seconds for each in runs), 2),
        "peak_rss_mib": round(median(each.cost.peak_rss_bytes for each in runs) / MIB, 1),
        "peak_pss_mib": round(median(each.cost.peak_pss_bytes for each in runs) / MIB, 1),
        "requests": runs[-1].requests,
    }


def _told(case: Case, a_run: Run) -> str:
    return (
        f"{case.backend}, {case.name}, {case.input.record_bytes} bytes:"
        f" {cpu_per_million(case, a_run):.2f} CPU s per million,"
        f" {a_run.cost.peak_rss_bytes / MIB:.0f} MiB"
    )
