"""docs/recipes/your-own-log-format.md: what it says, done in a folder of one's own."""

import json
import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from consumer.daemon.commands.check import check_main
from consumer.local.stack import Stack
from consumer.settings.table import Backend
from tests.recipes import lake, pages
from tests.recipes.answers import Row
from tests.recipes.conftest import BigQuery, bigquery_of

pytestmark = pytest.mark.timeout(600)

PAGE = "your-own-log-format"
[NDJSON] = pages.blocks(PAGE, "ndjson")
[SCHEMA] = pages.blocks(PAGE, "json")
[ATHENA] = pages.queries_of(PAGE, "Athena")
[BIGQUERY] = pages.queries_of(PAGE, "BigQuery")
SCHEMA_FILE = "/etc/consumer/events.schema.json"
PROJECT = "own-format"


def settings_of_page(backend: Backend) -> dict[str, str]:
    for_s3, for_bigquery = pages.blocks(PAGE, "properties")
    chosen = for_s3 if backend == "s3" else for_bigquery
    return dict(line.split(" = ") for line in chosen.splitlines())


@dataclass(frozen=True, slots=True)
class Line:
    data: bytes
    arrived: datetime


LINES = [Line(line.encode(), datetime(2026, 11, 1, 12, tzinfo=UTC)) for line in NDJSON.splitlines()]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With what the page has its reader put there."""
    (tmp_path / "events.ndjson").write_text(NDJSON)
    (tmp_path / "schema.json").write_text(SCHEMA)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_say_which_settings_fit_and_write_columns_of_these_names(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = pages.blocks(PAGE, "sh")[0].replace("\\\n", " ").splitlines()
    codes = []
    for command in commands:
        codes.append(check_main(shlex.split(command)[1:]))
        told = capsys.readouterr().out
        if not codes[:-1]:
            proposed = {line.strip() for line in told.splitlines() if " = " in line}
    assert codes == [1, 0]
    chosen = settings_of_page("bigquery")
    fitting = [f"{key} = {chosen[key]}" for key in chosen if key.startswith("record.")]
    assert {*fitting, "bigquery.key_digits = 0"} <= proposed
    written = json.loads((folder / "events.schema.json").read_text())
    assert {each["name"] for each in written} == {each["name"] for each in json.loads(SCHEMA)}


def deliver(stack: Stack, backend: Backend, folder: Path, **changes: str) -> None:
    named = {key.replace("__", "."): text for key, text in changes.items()}
    chosen = settings_of_page(backend)
    key = f"{backend}.schema_file"
    assert chosen[key] == SCHEMA_FILE
    settings = lake.settings_of(stack, backend, {**chosen, key: str(folder / "schema.json"), **named})
    lake.deliver(settings, lake.messages(LINES), folder / backend)


def ago(rows: list[Row]) -> list[Row]:
    """With times as milliseconds."""
    return [
        (account, round(seen.replace(tzinfo=UTC).timestamp() * 1000), *others)
        for account, seen, *others in rows
        if isinstance(seen, datetime)
    ]


ANSWER = [("Max", 1772273473456, 12, 0), ("Zoe", 1772273474001, None, 1)]


def test_the_objects_answer_the_question(stack: Stack, folder: Path) -> None:
    deliver(stack, "s3", folder, s3__prefix="own/")
    lake.download(stack, "own/", folder)
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(
        "CREATE VIEW events AS SELECT * REPLACE (ts AT TIME ZONE 'UTC' AS ts)"
        " FROM read_parquet('own/**/*.parquet', hive_partitioning = true)"
    )
    assert ago(connection.execute(pages.transpiled(ATHENA)).fetchall()) == ANSWER
    kinds = connection.execute("SELECT DISTINCT type FROM events ORDER BY 1").fetchall()
    assert kinds == [("login",), ("logout",), ("trade",)]


def test_the_table_answers_the_question(stack: Stack, folder: Path) -> None:
    deliver(stack, "bigquery", folder, bigquery__project=PROJECT, applicationName=PROJECT)
    assert ago(BigQuery(bigquery_of(stack, PROJECT)).ask(BIGQUERY)) == ANSWER
