"""The columns that the systems which the daemon replaces were published with, from what a run took."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Attempt:
    """One batch given, and the records that the system took with it: none where it failed."""

    seconds: float
    records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    attempts: Sequence[Attempt]
    end_seconds: float
    """What the last batch left to be delivered took."""
    total_seconds: float
    """From the first batch until everything is delivered."""
    all_records: int
    """That would have been given, had there been time."""
    written: int
    """Rows that the backend took: those written again are among them, and those of a batch that failed."""
    requests: int
    peak_rss_bytes: int

    @property
    def records(self) -> int:
        return sum(attempt.records for attempt in self.attempts)


def figures(run: Run) -> dict[str, Any]:
    """By column; seconds, and records for a batch. A failed attempt counts as a batch that delivers nothing.

    A system that answers before a batch is delivered has what is left at its end divided among its batches.
    """
    batches = len(run.attempts)
    busy_seconds = sum(attempt.seconds for attempt in run.attempts) + run.end_seconds
    failed = sum(attempt.records == 0 for attempt in run.attempts)
    return {
        "peak_rss_mib": round(run.peak_rss_bytes / _MIB, 1),
        "total_average_seconds": round(run.total_seconds / batches, 4),
        "average_seconds": round(busy_seconds / batches, 4),
        "interval_seconds": round((run.total_seconds - busy_seconds) / batches, 4),
        "average_records": round(run.records / batches, 1),
        "records_per_second": round(run.records / busy_seconds),
        "total_records_per_second": round(run.records / run.total_seconds),
        "error_rate_percent": round(100 * failed / batches, 1),
        "ended_by": "records" if run.records == run.all_records else "time",
        "batches": batches,
        "records": run.records,
        "surplus_rows": run.written - run.records,
        "requests": run.requests,
    }
