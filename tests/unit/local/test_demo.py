"""`bin/demo` before and after the records: options, settings, and what it tells."""

import json
from collections import Counter

import pytest

from consumer.local import report
from consumer.local.backends import settings_for
from consumer.local.commands import demo_main
from consumer.local.demo import _delivering
from consumer.local.verify import Result
from consumer.local.waits import Report
from consumer.local.witness import Seen, Verdict

pytestmark = pytest.mark.usefixtures("restored_surroundings")


def test_a_wrong_setting_is_refused_before_anything_starts(capsys: pytest.CaptureFixture[str]) -> None:
    assert demo_main(["--set", "chunk.windw=5s"]) == 2
    loading, fault = capsys.readouterr().err.splitlines()
    assert loading.endswith("loading")
    assert fault.startswith("bin/demo: chunk.windw: no such setting")


def test_a_row_shape_that_cannot_be_verified_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("bigquery.row=fields", "bigquery.schema_file=properties/player_log.schema.json")
    assert demo_main([f"--set={option}" for option in options]) == 1
    assert "bigquery.row=log" in capsys.readouterr().err


def test_a_setting_of_one_backend_goes_to_that_one() -> None:
    given = {"s3.prefix": "a/", "bigquery.key_digits": "2", "chunk.window": "1s", "typo": "x"}
    assert settings_for("s3", given) == {"s3.prefix": "a/", "chunk.window": "1s", "typo": "x"}
    assert settings_for("bigquery", given) == {"bigquery.key_digits": "2", "chunk.window": "1s", "typo": "x"}


VERDICT = Verdict(
    s3=Result(delivered=9, lost=1, examples=["lost: {}"]),
    bigquery=Result(delivered=7, dead_letters=3),
    objects=4,
    rows={"t_0": 5, "t_1": 2},
)


def test_the_summary_has_exactly_the_promised_keys() -> None:
    assert json.loads(json.dumps(report.summary(VERDICT, records=10, seconds=12.345))) == {
        "records": 10,
        "s3": {"delivered": 9, "lost": 1, "duplicated": 0, "dead_letters": 0, "objects": 4},
        "bigquery": {"delivered": 7, "lost": 0, "duplicated": 0, "dead_letters": 3, "tables": 2},
        "seconds": 12.3,
    }


def test_the_table_names_what_is_wrong() -> None:
    text = report.table(VERDICT, records=10, seconds=12)
    assert "7 rows in 2 tables" in text
    assert "s3: lost: {}" in text
    assert "NOT every record exactly once; 12 s" in text
    assert not VERDICT.clean


HELD = Verdict(
    s3=Result(delivered=10),
    bigquery=Result(dead_letters=3, waiting=7, reasons=Counter({"no_key": 2, "not_json": 1})),
    objects=4,
    rows={},
)


def test_records_behind_the_checkpoint_are_told_from_lost_ones() -> None:
    assert not HELD.clean
    assert report.summary(HELD, records=10, seconds=1)["bigquery"] == {
        "delivered": 0,
        "lost": 0,
        "duplicated": 0,
        "dead_letters": 3,
        "waiting": 7,
        "tables": 0,
    }
    heading, _, row, *_ = report.table(HELD, records=10, seconds=1).splitlines()
    assert [heading.split()[5:7], row.split()[:6]] == [
        ["waiting", "lost"],
        ["bigquery", "10", "0", "3", "7", "0"],
    ]


WAITING = (
    "bigquery: 7 records wait on the stream behind the checkpoint;"
    " they are not lost: the next start reads them again"
)


def test_what_waits_is_told_with_its_reason_and_the_cure() -> None:
    kept = Report(backend="bigquery", phase="running", reasons=("shard-1: held: no_key: …", "shard-2: held"))
    assert list(report.causes(HELD, {"bigquery": kept}, look_up="bin/check bigquery --sample FILE")) == [
        "bigquery: dead letters by reason: no_key 2, not_json 1",
        WAITING,
        "  because shard-1: held: no_key: …",
        "  because shard-2: held",
        "Which settings fit such records: bin/check bigquery --sample FILE",
    ]


def test_a_run_without_trouble_needs_no_causes() -> None:
    fine = Verdict(Result(delivered=1), Result(delivered=1), 1, {"t": 1})
    assert list(report.causes(fine, {}, look_up="-")) == []


def test_what_is_waited_for_is_named_for_each_backend_that_is_not_done() -> None:
    preparing, running = (
        Report(backend="bigquery", phase="preparing"),
        Report(backend="s3", phase="running"),
    )
    assert _delivering(Seen(0, 0), 9, {}) == "delivered: S3 0, BigQuery 0 of 9; s3 and bigquery: starting"
    assert _delivering(Seen(0, 0), 9, {"bigquery": preparing, "s3": running}) == (
        "delivered: S3 0, BigQuery 0 of 9; s3: waiting for the KCL's first leases;"
        " bigquery: making what it writes to"
    )
    assert _delivering(Seen(9, 4), 9, {"bigquery": preparing, "s3": running}) == (
        "delivered: S3 9, BigQuery 4 of 9; bigquery: making what it writes to"
    )
    assert _delivering(Seen(9, 9), 9, {}) == "delivered: S3 9, BigQuery 9 of 9"
