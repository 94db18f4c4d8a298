"""docs/recipes/dataframes.md and the program of s3-and-bigquery.md do what they say, with the libraries they name."""

import ast
from collections import Counter
from pathlib import Path

import pytest

from tests.recipes import answers, pages
from tests.recipes.conftest import URL, BigQuery, Delivered, bigquery_of, duckdb_of
from tests.recipes.readers import run_reader
from tests.recipes.records import of_type

pytestmark = pytest.mark.timeout(600)

WRANGLER_PARQUET, WRANGLER_LINES, PYARROW, PANDAS = pages.blocks("dataframes", "python")
[SIDE_BY_SIDE] = pages.blocks("s3-and-bigquery", "python")

LATE = [each for each in answers.action_logs() if f"{each.arrived:%Y-%m-%d}" >= "2026-11-10"]
DAYS = sorted({f"{each.arrived:%Y-%m-%d}" for each in LATE})


def run(program: str, delivered: Delivered, objects: str) -> list[str]:
    place = f"s3://{delivered.stack.bucket}/{delivered.objects[objects].prefix}"
    assert URL in program
    return run_reader(program.replace(URL, place)).splitlines()


@pytest.mark.parametrize("objects", ["parquet", "columns"])
def test_wrangler_reads_some_partitions_of_parquet(objects: str, delivered: Delivered) -> None:
    assert run(WRANGLER_PARQUET, delivered, objects) == [f"{len(LATE)} {DAYS}"]


def test_wrangler_reads_some_partitions_of_lines(delivered: Delivered) -> None:
    [told] = run(WRANGLER_LINES, delivered, "lines")
    kinds = Counter(each.fields["event"] for each in LATE)
    begin = f"{len(LATE)} {min(each.time for each in LATE)}"
    assert told.startswith(begin)
    assert ast.literal_eval(told[told.index("{") :]) == kinds


@pytest.mark.parametrize("objects", ["parquet", "columns"])
def test_pyarrow_reads_columns_and_partitions_and_goes_through_all(
    objects: str, delivered: Delivered
) -> None:
    records = len(answers.action_logs()) + len(of_type("customer_changes"))
    assert run(PYARROW, delivered, objects) == [f"{len(LATE)} timestamp[us, tz=UTC]", str(records)]


def test_pandas_reads_one_partition(delivered: Delivered) -> None:
    day = sum(f"{each.arrived:%Y-%m-%d}" == "2026-11-10" for each in LATE)
    assert run(PANDAS, delivered, "columns") == [f"{day} UTC"]


ANONYMOUS = """
import google.auth
from google.auth.credentials import AnonymousCredentials
google.auth.default = lambda *_, **__: (AnonymousCredentials(), {project!r})
"""


def test_both_backends_answer_alike_side_by_side(
    delivered: Delivered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = duckdb_of(delivered.objects["columns"])
    connection.execute(f"ATTACH '{tmp_path}/lake.duckdb' AS lake")
    connection.execute("CREATE SCHEMA lake.player_logs")
    connection.execute("CREATE TABLE lake.player_logs.events AS SELECT * FROM player_logs.events")
    connection.close()
    for view in pages.queries_of("tables", "BigQuery: columns"):
        BigQuery(bigquery_of(delivered.stack, delivered.projects["columns"])).ask(view)
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", delivered.stack.bigquery_endpoint)
    program = ANONYMOUS.format(project=delivered.projects["columns"]) + SIDE_BY_SIDE
    events = sorted(Counter(each.fields["event"] for each in answers.action_logs()).items())
    told = [f"{event} {count} {count}" for event, count in events]
    assert run_reader(program, cwd=tmp_path).splitlines() == told
