"""Rows that insertAll has doubled because their insertIds were forgotten: which, when, and after which fault."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from consumer.settings.table import Backend
from tests.chaos.checker import Tally
from tests.chaos.journal import Journal
from tests.chaos.plan import Planned

_AFTERMATH_SECONDS = 15.0
"""What a fault has begun may end so long after it: a read's time-out, and a pause before the next try."""


class Lasting(Protocol):
    """A fault as it was, in seconds of the run."""

    @property
    def fault(self) -> Planned: ...
    @property
    def began(self) -> float: ...
    @property
    def ended(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Again:
    """A row that was stored once more. Times are seconds of the run."""

    table: str
    first: float
    again: float
    log: bytes


@dataclass(frozen=True, slots=True)
class Explained:
    """A doubled row, and the faults between its two stores."""

    number: int
    table: str
    first: float
    again: float
    faults: tuple[str, ...]

    @property
    def when(self) -> str:
        """Of many rows the same: they were in one request."""
        return (
            f"first at {self.first:.1f} s, again at {self.again:.1f} s, {self.again - self.first:.1f} s later,"
            f" after {', '.join(self.faults)}"
        )


def stored_again(report: Mapping[str, Any], *, run_began: float) -> Iterator[Again]:
    """Of the embedded BigQuery's report; `run_began` is the beginning of the run in monotonic seconds."""
    for one in report.get("stored_twice", ()):
        log = one["row"].get("log")
        text = log.encode() if isinstance(log, str) else msgspec.json.encode(log)
        table = one["table"].replace('"', "").rpartition(".")[2]
        yield Again(table, one["first"] - run_began, one["again"] - run_began, text)


def told(explained: Sequence[Explained]) -> list[str]:
    """A line for each request that has stored rows again."""
    requests: dict[tuple[str, str], list[int]] = {}
    for one in explained:
        requests.setdefault((one.table, one.when), []).append(one.number)
    return [
        f"{len(numbers)} rows of {table}, records {min(numbers)} to {max(numbers)}: {when}"
        for (table, when), numbers in requests.items()
    ]


def explain(
    tally: Tally,
    journal: Journal,
    again: Sequence[Again],
    happened: Sequence[Lasting],
    *,
    backend: Backend,
    memory_seconds: float,
) -> list[Explained]:
    """Count the doubled rows that BigQuery had forgotten apart from all others.

    That is one that was stored again later than insertIds are remembered, and after a fault that hit the backend since
    it was stored first. What remains of `tally.duplicated` has no such explanation.
    """
    explained = []
    for one in again:
        number = journal.number_of(one.log)
        faults = tuple(_between(one, happened, backend))
        if number is None or not tally.copies[number] or not faults:
            continue
        if one.again - one.first <= memory_seconds:
            continue
        tally.copies[number] -= 1
        tally.duplicated -= 1
        tally.forgotten += 1
        explained.append(Explained(number, one.table, one.first, one.again, faults))
    return explained


def _between(one: Again, happened: Sequence[Lasting], backend: Backend) -> Iterator[str]:
    for lasting in happened:
        hits = lasting.fault.target in (backend, None)
        if hits and lasting.began <= one.again and lasting.ended + _AFTERMATH_SECONDS >= one.first:
            yield f"#{lasting.fault.number} {lasting.fault.kind.name} ({lasting.began:.0f} s)"
