"""bin/athena-ddl prints the statement alone on standard output, and what a reader has to know beside it."""

import json
from pathlib import Path

import pytest
import sqlglot

from consumer.operate.catalogue.command import athena_ddl_main
from consumer.operate.catalogue.paths import LAST_YEAR
from consumer.settings import PROJECT_ROOT

SETTINGS = ("streamName=Player-logs", "applicationName=app", "s3.bucket=bucket", "regionName=eu-west-1")
BY_KIND = "s3.key_template=kind={content_type}/year=%Y/dt=%Y-%m-%d"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, list[str]]:
    """Exit code, standard output, and the lines of standard error."""
    code = athena_ddl_main(["--properties=/dev/null", *(f"--set={one}" for one in SETTINGS), *arguments])
    told = capsys.readouterr()
    return code, told.out, told.err.splitlines()


def test_the_statement_alone_is_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--database=the-lake")
    assert code == 0
    assert [table.sql() for table in sqlglot.parse_one(out, read="athena").find_all(sqlglot.exp.Table)] == [
        '"the-lake"."player_logs"'
    ]
    assert ";" not in out


def test_what_a_reader_has_to_know_is_noted(capsys: pytest.CaptureFixture[str]) -> None:
    _, _, notes = run(capsys, "--set", BY_KIND)
    assert [note.partition(" ")[0] for note in notes] == ["note:"] * 4
    assert "kind is injected: every query needs a condition kind = '…'" in notes[0]
    assert "--values content_type=A,B,…" in notes[0]
    assert "{content_type|none}" in notes[1]
    assert f"until {LAST_YEAR}" in notes[2]
    assert "--schema FILE" in notes[3]
    _, _, notes = run(capsys, "--format=parquet", "--set=s3.partition=time=%Y-%m-%d")
    assert notes == ["note: time_partition is the part of the path, and time what the record has"]


def test_values_of_a_field_may_be_named_one_after_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "--set", BY_KIND, "--values=content_type=a,b", "--values=content_type=c d")
    assert "'projection.kind.values' = 'a,b,c%20d,__HIVE_DEFAULT_PARTITION__,_overflow'" in out
    code, out, [refusal] = run(capsys, "--values=content_type=a")
    assert (code, out) == (1, "")
    assert refusal.startswith(
        "athena-ddl: --values: s3.partition = dt=%Y-%m-%d/hour=%H has no {content_type}"
    )


@pytest.mark.parametrize(
    ("arguments", "since"),
    [
        ([], "2025-01-01"),
        (["--set=s3.partition_time=record"], "2000-01-01"),
        (["--from=2019-03-04"], "2019-03-04"),
    ],
)
def test_partitions_begin_with_the_first_objects(
    arguments: list[str], since: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = run(capsys, *arguments)
    assert f"'projection.dt.range' = '{since},NOW+1DAYS'" in out


def test_the_page_names_the_defaults() -> None:
    page = (PROJECT_ROOT / "docs/catalogue.md").read_text()
    assert "`--from` (2025-01-01; 2000-01-01 with `s3.partition_time = record`)" in page
    assert f"years up to {LAST_YEAR}" in page


def test_a_schema_is_for_lines_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "schema.json"
    file.write_text(json.dumps([{"name": "score", "type": "INTEGER"}]))
    _, out, notes = run(capsys, f"--schema={file}", "--format=ndjson.zst")
    assert "`score` bigint" in out
    assert notes == []
    code, out, [refusal] = run(capsys, f"--schema={file}", "--format=parquet")
    assert (code, out) == (1, "")
    assert "--schema is for lines" in refusal
    file.write_text("{}")
    code, _, [refusal] = run(capsys, f"--schema={file}")
    assert code == 1
    assert refusal.startswith("athena-ddl: --schema: not a BigQuery schema")


@pytest.mark.parametrize("argument", ["--table=Upper", "--database=a`b", "--from=yesterday", "--values=x"])
def test_wrong_usage_ends_with_2(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        run(capsys, argument)
    assert end.value.code == 2


def test_settings_that_cannot_be_used_end_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, [finding] = run(capsys, "--format=csv")
    assert (code, out) == (2, "")
    assert "s3.format" in finding
