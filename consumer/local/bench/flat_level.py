"""Level `flat`: whether a record costs more the more records a shard process has delivered."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from consumer.local.bench.backend import Backend, discarding
from consumer.local.bench.cases import Case, usual_cases
from consumer.local.bench.shard_level import MIB, check_arrived, start

STEPS = 10
_RECORD_BYTES = 200


def measure(records: int, *, runs: int, folder: Path, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """A row for each tenth of the records, by backend: the least of the runs, since whatever else the machine does
    only adds to a tenth. Raises BenchError when a record did not arrive."""
    rows: list[dict[str, Any]] = []
    with discarding(folder) as backend:
        for usual in usual_cases(_RECORD_BYTES):
            case = replace(usual, input=replace(usual.input, count=records))
            steps: list[list[dict[str, Any]]] = []
            for run in range(runs):
                steps.append(_steps(case, backend, folder))
                costs = " ".join(str(row["cpu_seconds_per_million"]) for row in steps[-1])
                say(f"run {run + 1} of {runs}: {case.backend}: CPU s per million of each tenth: {costs}")
            rows += [_least(same) for same in zip(*steps, strict=True)]
    return rows


def _least(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of the same tenth in several runs; the memory is the most."""
    costs = [row["cpu_seconds_per_million"] for row in runs]
    return {
        **runs[0],
        "cpu_seconds_per_million": min(costs),
        "cpu_seconds_per_million_of_runs": costs,
        "rss_mib": max(row["rss_mib"] for row in runs),
    }


def _steps(case: Case, backend: Backend, folder: Path) -> list[dict[str, Any]]:
    backend.behave()
    step = case.input.count / STEPS
    marks: list[tuple[int, float, int]] = []
    given = number_sum = 0
    with start(case, backend, folder) as child:
        child.initialize()
        marks.append((0, child.cpu_seconds(), child.rss_bytes()))
        for line in case.input.lines():
            child.call(line.text)
            given += line.records
            number_sum += line.number_sum
            if given >= len(marks) * step:
                marks.append((given, child.cpu_seconds(), child.rss_bytes()))
        child.end_shard()
        child.close()
    check_arrived(case, backend, number_sum)
    return [
        {
            "backend": case.backend,
            "records": now[0],
            "cpu_seconds_per_million": round((now[1] - before[1]) / (now[0] - before[0]) * 1e6, 2),
            "rss_mib": round(now[2] / MIB, 1),
        }
        for before, now in pairwise(marks)
    ]
