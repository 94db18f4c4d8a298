"""`bin/demo` before and after the records: options, settings, and what it tells."""

import json

import pytest

from consumer.local import report
from consumer.local.backends import settings_for
from consumer.local.demo import demo_main
from consumer.local.verify import Result
from consumer.local.witness import Verdict


def test_a_wrong_setting_is_refused_before_anything_starts(capsys: pytest.CaptureFixture[str]) -> None:
    assert demo_main(["--set", "chunk.windw=5s"]) == 2
    assert capsys.readouterr().err.startswith("bin/demo: chunk.windw: no such setting")


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
