"""What a run says at its end: the limits, and rows that BigQuery has forgotten as a column of their own."""

from typing import Any

from tests.chaos.checker import Tally
from tests.chaos.forgotten import Explained
from tests.chaos.report import summary, table
from tests.chaos.run import Ending


def ending(limits: dict[str, dict[str, Any]] | None) -> Ending:
    forgotten = [Explained(7, "t", 10.0, 80.0, ("#1 kill_jvm (12 s)",))] if limits else []
    return Ending(
        tallies={"s3": Tally(delivered=9), "bigquery": Tally(delivered=9, forgotten=len(forgotten))},
        limits=limits,
        forgotten=forgotten,
    )


LIMITED = {
    "kinesis.reads": {"unit": "GetRecords", "counted": 1200.0, "refused": 34},
    "s3.writes": {"unit": "PUT", "counted": 5.0, "refused": 0},
}


def test_with_limits_forgotten_rows_have_a_column_and_lines() -> None:
    told = table(ending(LIMITED), seconds=60)
    assert told.splitlines()[0].endswith("forgotten")
    assert "limit kinesis.reads: 1,200 GetRecords counted, 34 refused" in told
    assert "s3.writes" not in told
    assert "1 rows of t, records 7 to 7: first at 10.0 s, again at 80.0 s" in told
    assert "honours every insertId" not in told


def test_without_limits_there_is_no_such_column() -> None:
    told = table(ending(None), seconds=60)
    assert "forgotten" not in told
    assert "honours every insertId" in told


def test_the_summary_has_each_forgotten_row() -> None:
    found = summary(ending(LIMITED), seed=1, faults=1, seconds=60)
    assert found["clean"]
    assert found["limits"] == LIMITED
    assert found["bigquery"]["forgotten"] == 1
    assert [(one["number"], one["first"], one["again"]) for one in found["forgotten"]] == [(7, 10.0, 80.0)]
