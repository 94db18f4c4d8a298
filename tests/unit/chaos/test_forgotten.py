"""Which doubled rows count as explained: forgotten by BigQuery, and after a fault. All others stay doubled."""

from dataclasses import dataclass
from itertools import islice

import msgspec
import pytest

from consumer.settings.table import Backend
from tests.chaos.catalogue import KINDS
from tests.chaos.checker import Held, Tally, check
from tests.chaos.forgotten import Again, explain, stored_again, told
from tests.chaos.journal import Fed, Journal, Sort, records
from tests.chaos.plan import Planned

LOGS = [fed for fed in islice(records(5), 20) if fed.sort is Sort.LOG][:3]


@dataclass
class Fault:
    """As it was, in seconds of the run."""

    began: float
    ended: float
    target: Backend | None = "bigquery"

    @property
    def fault(self) -> Planned:
        kind = next(kind for kind in KINDS if kind.name == "kill_jvm")
        return Planned(number=4, at_seconds=0, kind=kind, target=self.target, seconds=0, pick=0)


@pytest.fixture
def journal() -> Journal:
    journal = Journal()
    for fed in islice(records(5), 20):
        journal.attempt(fed)
        journal.acknowledge(fed.number)
    return journal


def tally_of(journal: Journal, *delivered: Fed) -> Tally:
    return check(journal, "bigquery", delivered=[Held(one.data, "t") for one in delivered], dead_letters=[])


def again(fed: Fed, first: float, second: float) -> Again:
    return Again("t", first, second, fed.data)


def explained(tally: Tally, journal: Journal, rows: list[Again], *faults: Fault) -> list[int]:
    found = explain(tally, journal, rows, faults, backend="bigquery", memory_seconds=60)
    return [one.number for one in found]


def test_a_row_that_was_forgotten_after_a_fault_is_explained(journal: Journal) -> None:
    tally = tally_of(journal, LOGS[0], LOGS[1], LOGS[0])
    assert tally.duplicated == 1
    assert explained(tally, journal, [again(LOGS[0], 10, 71)], Fault(12, 12)) == [LOGS[0].number]
    assert (tally.duplicated, tally.forgotten) == (0, 1)


@pytest.mark.parametrize(
    ("first", "second", "fault"),
    [
        pytest.param(10, 69, Fault(12, 12), id="it was remembered still"),
        pytest.param(10, 71, Fault(72, 80), id="the fault came later"),
        pytest.param(100, 171, Fault(12, 12), id="the fault was long over"),
        pytest.param(10, 71, Fault(12, 12, "s3"), id="the fault hit the other backend"),
    ],
)
def test_without_a_reason_it_stays_doubled(
    journal: Journal, first: float, second: float, fault: Fault
) -> None:
    tally = tally_of(journal, LOGS[0], LOGS[0])
    assert explained(tally, journal, [again(LOGS[0], first, second)], fault) == []
    assert (tally.duplicated, tally.forgotten) == (1, 0)


def test_each_copy_needs_a_reason_of_its_own(journal: Journal) -> None:
    tally = tally_of(journal, *[LOGS[0]] * 3, LOGS[1], LOGS[1])
    rows = [again(LOGS[0], 10, 71), again(LOGS[2], 10, 71)]
    assert explained(tally, journal, rows, Fault(12, 12, None)) == [LOGS[0].number]
    assert (tally.duplicated, tally.forgotten) == (2, 1)


def test_a_line_tells_of_a_request(journal: Journal) -> None:
    tally = tally_of(journal, *LOGS, *LOGS)
    found = explain(
        tally,
        journal,
        [again(fed, 10.04, 71) for fed in LOGS],
        [Fault(12, 12)],
        backend="bigquery",
        memory_seconds=60,
    )
    numbers = [fed.number for fed in LOGS]
    [line] = told(found)
    assert line == (
        f"3 rows of t, records {numbers[0]} to {numbers[2]}: first at 10.0 s, again at 71.0 s, 61.0 s later,"
        " after #4 kill_jvm (12 s)"
    )


@pytest.mark.parametrize("as_text", [True, False])
def test_rows_come_from_the_report_of_the_embedded_bigquery(journal: Journal, as_text: bool) -> None:
    log = LOGS[0].data.decode() if as_text else msgspec.json.decode(LOGS[0].data)
    report = {
        "stored_twice": [{"table": '"local"."d"."t"', "first": 1010.5, "again": 1090.0, "row": {"log": log}}]
    }
    [row] = stored_again(report, run_began=1000.0)
    assert (row.table, row.first, row.again) == ("t", 10.5, 90.0)
    assert journal.number_of(row.log) == LOGS[0].number
