"""Level `flat`: whether a record costs more the more records a shard process has delivered."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from consumer.local.bench.backend import Backend, discarding
from consumer.local.bench.cases import Case, usual_cases
from consumer.local.bench.shard_level import MIB, check_arrived, start

STEPS = 10
_RECORD_BYTES = 200


def measure(records: int, *, folder: Path, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """A row for each tenth of the records, by backend; raises BenchError when one did not arrive."""
    rows: list[dict[str, Any]] = []
    with discarding(folder) as backend:
        for usual in usual_cases(_RECORD_BYTES):
            case = replace(usual, input=replace(usual.input, count=records))
            for row in _steps(case, backend, folder):
                say(
                    f"{row['backend']}: {row['records']} records, {row['cpu_seconds_per_million']} CPU s per million"
                )
                rows.append(row)
    return rows


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
