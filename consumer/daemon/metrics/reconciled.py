"""The metrics of `bin/reconcile --every`: what one backend misses that the other holds, and what it holds twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from consumer.daemon.metrics.metric import Metric, Sample

_SOURCE = "bin/reconcile --every"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """Of one backend. Times are in seconds since the epoch; `faults` are records by table and what is wrong with them
    (`missing`, `doubled`). `failed` tells that the last look could not compare: all else is that of the last one that
    could, None where none has."""

    failed: bool
    looked_at: float | None = None
    until: float | None = None
    records: int | None = None
    faults: Counter[tuple[str, str]] = field(default_factory=Counter)


def _one(value: Callable[[Reconciled], float | None]) -> Callable[[Reconciled], list[Sample]]:
    def read(found: Reconciled) -> list[Sample]:
        number = value(found)
        return [] if number is None else [Sample((), number)]

    return read


def _total(problem: str) -> Callable[[Reconciled], float | None]:
    def total(found: Reconciled) -> float | None:
        counts = (count for (_, what), count in found.faults.items() if what == problem)
        return None if found.looked_at is None else sum(counts)

    return total


RECONCILED: tuple[Metric[Reconciled], ...] = (
    Metric(
        name="consumer_reconcile_missing_records",
        kind="gauge",
        unit="{record}",
        meaning="records of the last look's range that the other backend holds and this one does not",
        source=_SOURCE,
        read=_one(_total("missing")),
    ),
    Metric(
        name="consumer_reconcile_doubled_records",
        kind="gauge",
        unit="{record}",
        meaning="records of the last look's range that this backend holds once more",
        source=_SOURCE,
        read=_one(_total("doubled")),
    ),
    Metric(
        name="consumer_reconcile_faulty_records",
        kind="gauge",
        unit="{record}",
        labels=("table", "problem"),
        meaning="the same by the table that they belong in, of those tables of which records are missing or doubled",
        source=_SOURCE,
        read=lambda found: [Sample(labels, count) for labels, count in sorted(found.faults.items())],
    ),
    Metric(
        name="consumer_reconcile_records",
        kind="gauge",
        unit="{record}",
        meaning="records of the last look's range that this backend holds, dead letters included",
        source=_SOURCE,
        read=_one(lambda found: found.records),
    ),
    Metric(
        name="consumer_reconcile_until_seconds",
        kind="gauge",
        unit="s",
        meaning="the end of the last look's range, in seconds since the epoch",
        source=_SOURCE,
        read=_one(lambda found: found.until),
    ),
    Metric(
        name="consumer_reconcile_look_seconds",
        kind="gauge",
        unit="s",
        meaning="when the last look ended that could compare, in seconds since the epoch",
        source=_SOURCE,
        read=_one(lambda found: found.looked_at),
    ),
    Metric(
        name="consumer_reconcile_failed",
        kind="gauge",
        unit="1",
        meaning="1 when the last look could not compare, or could not read all of it",
        source=_SOURCE,
        read=_one(lambda found: float(found.failed)),
    ),
)
