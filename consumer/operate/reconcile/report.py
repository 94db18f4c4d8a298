"""What a look has found, for people and for programs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any, Literal

from consumer.domain.routing import expand_time
from consumer.operate.moments import written
from consumer.operate.reconcile.compare import Problem
from consumer.operate.reconcile.look import Cell, Named, Result
from consumer.settings.table import BACKENDS, Backend

type By = Literal["hour", "day"]

FAULTS: tuple[tuple[Backend, Problem, str], ...] = (
    ("s3", "missing", "missing in S3"),
    ("bigquery", "missing", "missing in BigQuery"),
    ("s3", "doubled", "doubled in S3"),
    ("bigquery", "doubled", "doubled in BigQuery"),
)
"""What can be wrong, and in words."""

_MOST_PROBLEMS = 20
_BACKENDS: tuple[tuple[Backend, str], ...] = (("s3", "S3"), ("bigquery", "BigQuery"))
_NONE = "(no table)"


def shown(table: str) -> str:
    """A table's name, or what stands for records that no table takes."""
    return table or _NONE


def moment_of(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, UTC)


def merged(result: Result, by: By) -> dict[tuple[str, str], Cell]:
    """Cells by hour or day and table."""
    cells: dict[tuple[str, str], Cell] = defaultdict(Cell)
    for (span, table), cell in sorted(result.cells.items()):
        into = cells[_period(span, by, result.scope.partition.zone), shown(table)]
        into.held.update(cell.held)
        into.faults.update(cell.faults)
    return cells


def lines(result: Result, by: By, limit: int) -> Iterator[str]:
    """Totals; where something is wrong, by hour or day and table; then the records, so many of them at most."""
    scope = result.scope
    what = "records that arrived" if scope.by_arrival else "records of the time"
    yield f"{what} from {written(moment_of(scope.begin_ms))} to before {written(moment_of(scope.end_ms))}:"
    for backend, words in _BACKENDS:
        letters = result.letters[backend]
        aside = f", {letters:,} of them dead letters" if letters else ""
        yield f"  {words} holds {result.held[backend]:,}{aside}"
    yield from _some(result.problems, _MOST_PROBLEMS)
    faults = result.faults
    if not (faults.total() or result.incomplete):
        yield "nothing is missing, nothing is doubled" if result.clean else "nothing else is wrong"
        return
    yield f"  {', '.join(f'{faults[backend, problem]:,} {words}' for backend, problem, words in FAULTS)}"
    yield ""
    yield from _table(result, by)
    yield from _some(result.incomplete, _MOST_PROBLEMS)
    # what there is little of comes first
    named = sorted(result.named, key=lambda one: faults[one.difference.backend, one.difference.problem])
    yield from _some([_record(one) for one in named], limit)
    if result.unnamed:
        yield f"{result.unnamed:,} of these are only counted: so many records are not looked at one by one"


def _some(every: Sequence[str], most: int) -> Iterator[str]:
    yield from every[:most]
    if len(every) > most:
        yield f"and {len(every) - most:,} more (--limit, --json)"


def _record(one: Named) -> str:
    backend, problem, copy = one.difference
    return f"{_words(backend, problem)}: {copy.where}"


def as_object(result: Result, by: By) -> dict[str, Any]:
    """All of it."""
    return {
        "from": written(moment_of(result.scope.begin_ms)),
        "to": written(moment_of(result.scope.end_ms)),
        "by": "arrival" if result.scope.by_arrival else "time",
        "clean": result.clean,
        "s3": {"records": result.held["s3"], "dead_letters": result.letters["s3"]},
        "bigquery": {"records": result.held["bigquery"], "dead_letters": result.letters["bigquery"]},
        **_fault_counts(result.faults),
        "cells": [
            {
                by: period,
                "table": table,
                **{backend: cell.held[backend] for backend in BACKENDS},
                **_fault_counts(cell.faults),
            }
            for (period, table), cell in merged(result, by).items()
        ],
        "records": [
            {
                "backend": one.difference.backend,
                "problem": one.difference.problem,
                "table": shown(one.table),
                "where": one.difference.copy.where,
            }
            for one in result.named
        ],
        "unnamed": result.unnamed,
        "incomplete_chunks": result.incomplete,
        "problems": result.problems,
    }


def _fault_counts(faults: Counter[tuple[Backend, Problem]]) -> dict[str, int]:
    return {f"{problem}_in_{backend}": faults[backend, problem] for backend, problem, _ in FAULTS}


def _table(result: Result, by: By) -> Iterator[str]:
    heads = [words for _, _, words in FAULTS]
    wrong = {place: cell for place, cell in merged(result, by).items() if cell.faults.total()}
    width = max([len("table"), *(len(table) for _, table in wrong)])
    yield f"{by:17} {'table':{width}} {'S3':>12} {'BigQuery':>12}  {'  '.join(heads)}"
    for (period, table), cell in wrong.items():
        counts = "  ".join(
            f"{cell.faults[backend, problem]:>{len(words)},}" for backend, problem, words in FAULTS
        )
        yield f"{period:17} {table:{width}} {cell.held['s3']:>12,} {cell.held['bigquery']:>12,}  {counts}"


def _words(backend: Backend, problem: Problem) -> str:
    return next(words for one, other, words in FAULTS if (one, other) == (backend, problem))


def _period(span: int, by: By, zone: tzinfo) -> str:
    """Days are those of the zone that the objects' paths have."""
    return expand_time("%Y-%m-%d", span, zone) if by == "day" else f"{moment_of(span):%Y-%m-%dT%H:%MZ}"
