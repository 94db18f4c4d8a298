"""What a run takes from bin/reconcile's JSON."""

from typing import Any

from tests.chaos.reconciled import faults


def found(**changes: Any) -> dict[str, Any]:
    counts = dict.fromkeys(
        ("missing_in_s3", "missing_in_bigquery", "doubled_in_s3", "doubled_in_bigquery"), 0
    )
    rest: dict[str, Any] = {"s3": {"records": 10}, "records": [], "incomplete_chunks": [], "problems": []}
    return {**counts, **rest, **changes}


def test_a_clean_look_says_nothing() -> None:
    assert faults(found(), forgotten=0) == []


def test_what_is_missing_is_told_with_its_place() -> None:
    record = {"backend": "bigquery", "problem": "missing", "where": "s3://bucket/key line 3"}
    told = faults(found(missing_in_bigquery=1, records=[record]), forgotten=0)
    assert told == ["1 missing in bigquery", "missing in bigquery: s3://bucket/key line 3"]


def test_rows_that_bigquery_has_stored_again_are_known() -> None:
    assert faults(found(doubled_in_bigquery=2), forgotten=2) == []
    assert faults(found(doubled_in_bigquery=3), forgotten=2) == ["3 doubled in bigquery"]


def test_a_look_that_has_seen_nothing_proves_nothing() -> None:
    assert faults(found(s3={"records": 0}), forgotten=0) == ["no record was compared"]


def test_what_could_not_be_read_and_what_both_have_lost_counts() -> None:
    told = faults(found(incomplete_chunks=["S3 holds 1 of 2"], problems=["cannot be read"]), forgotten=0)
    assert told == ["S3 holds 1 of 2", "cannot be read"]
