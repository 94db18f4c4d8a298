"""A stream that was delivered once, in every form that docs/recipes/tables.md names."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from consumer.local import stack as stacks
from consumer.local.stack import Stack
from tests.recipes import lake, pages
from tests.recipes.answers import Row
from tests.recipes.records import stream

URL = "s3://player-logs/player-log/"
"""Of the objects, on the pages."""

_SCHEMA = {
    "content_type": "STRING",
    "event_id": "STRING",
    "player_id": "STRING",
    "time": "TIMESTAMP",
    "event": "STRING",
    "level": "INTEGER",
    "amount": "FLOAT",
    "version": "INTEGER",
    "status": "STRING",
    "plan": "STRING",
    "country": "STRING",
}
_PARQUET = {"s3.format": "parquet", "s3.row_group_records": "1000"}
_TABLE = {
    "bigquery.table_prefix": "logs",
    "bigquery.key_digits": "0",
    "bigquery.metadata_columns": "true",
}


@dataclass(frozen=True, slots=True)
class Objects:
    """A prefix, and its objects as files."""

    prefix: str
    folder: Path
    views: str
    """The part of tables.md that is for them."""

    @property
    def source(self) -> str:
        return "DuckDB: lines" if next(self.folder.rglob("*.gz"), None) else "DuckDB: Parquet"


@dataclass(frozen=True, slots=True)
class Delivered:
    """`projects` are BigQuery's, by the part of tables.md that is for them."""

    stack: Stack
    objects: dict[str, Objects]
    projects: dict[str, str]


@pytest.fixture(scope="session")
def stack_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stack")


@pytest.fixture(scope="session")
def running_stack(stack_folder: Path) -> Iterator[Stack]:
    with stacks.running(stack_folder, shards=1) as running:
        yield running.stack


@contextmanager
def within_reach(stack: Stack, folder: Path) -> Iterator[None]:
    """Every AWS client, and `--local` of a command, finds it by the environment."""
    found = {"CONSUMER_LOCAL_DIR": str(folder), "AWS_ENDPOINT_URL": stack.aws_endpoint}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (stacks.environment(stack) | found).items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def stack(running_stack: Stack, stack_folder: Path) -> Iterator[Stack]:
    """Within reach for as long as a module's tests run: others must not find it."""
    with within_reach(running_stack, stack_folder):
        yield running_stack


@pytest.fixture(scope="module")
def delivered(stack: Stack, all_delivered: Delivered) -> Delivered:
    """With the stack within reach."""
    assert stack is all_delivered.stack
    return all_delivered


@pytest.fixture(scope="session")
def all_delivered(
    running_stack: Stack, stack_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Delivered:
    with within_reach(running_stack, stack_folder):
        return deliver_all(running_stack, tmp_path_factory.mktemp("delivered"))


def deliver_all(stack: Stack, folder: Path) -> Delivered:
    schema = folder / "schema.json"
    modes = {"time": "REQUIRED"}
    schema.write_text(
        json.dumps(
            [
                {"name": name, "type": kind, "mode": modes.get(name, "NULLABLE")}
                for name, kind in _SCHEMA.items()
            ]
        )
    )
    templates = {"s3.key_template": lake.TEMPLATE}
    columns = {"bigquery.row": "fields", "bigquery.schema_file": str(schema)}
    chosen = {
        "lines": lake.settings_of(stack, "s3", {**templates, "s3.prefix": "lines/"}),
        "parquet": lake.settings_of(stack, "s3", {**templates, **_PARQUET, "s3.prefix": "parquet/"}),
        "columns": lake.settings_of(
            stack,
            "s3",
            {**templates, **_PARQUET, "s3.prefix": "columns/", "s3.schema_file": str(schema)},
        ),
        "rows": lake.settings_of(stack, "bigquery", {**_TABLE, "bigquery.project": "logs-as-rows"}),
        "fields": lake.settings_of(
            stack,
            "bigquery",
            {**_TABLE, **columns, "bigquery.project": "logs-as-fields", "applicationName": "fields"},
        ),
    }
    told = lake.messages(stream())
    for name, settings in chosen.items():
        lake.deliver(settings, told, folder / name)
    objects = {}
    for name, views in {"lines": "log", "parquet": "log", "columns": "columns"}.items():
        lake.download(stack, f"{name}/", folder / "objects")
        objects[name] = Objects(f"{name}/", folder / "objects" / name, views)
    assert lake.dead_letters(stack) == []
    return Delivered(stack, objects, {"log": "logs-as-rows", "columns": "logs-as-fields"})


def duckdb_of(objects: Objects) -> duckdb.DuckDBPyConnection:
    """With the table and the views of tables.md."""
    connection = duckdb.connect()
    extensions = Path(sys.prefix) / "share/duckdb-home/.duckdb/extensions"
    connection.execute("SET extension_directory = ?", [str(extensions)])
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("CREATE SCHEMA player_logs")
    tables = pages.queries("tables")
    [table] = [query.sql for query in tables if query.of == objects.source]
    connection.execute(table.replace(URL, f"{objects.folder}/"))
    for query in tables:
        if query.of == f"Athena: {objects.views}":
            connection.execute(query.in_duckdb())
    return connection


@pytest.fixture(scope="session", params=["lines", "parquet", "columns"])
def athena(request: pytest.FixtureRequest, all_delivered: Delivered) -> Iterator["Athena"]:
    connection = duckdb_of(all_delivered.objects[request.param])
    yield Athena(connection)
    connection.close()


@pytest.fixture(scope="session", params=["log", "columns"])
def tables(request: pytest.FixtureRequest, all_delivered: Delivered) -> "BigQuery":
    client = bigquery_of(all_delivered.stack, all_delivered.projects[request.param])
    found = BigQuery(client)
    for view in pages.queries_of("tables", f"BigQuery: {request.param}"):
        found.ask(view)
    return found


def bigquery_of(stack: Stack, project: str) -> bigquery.Client:
    return bigquery.Client(
        project=project,
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": stack.bigquery_endpoint},
    )


@dataclass(frozen=True, slots=True)
class Athena:
    """DuckDB, asked in Athena's words."""

    connection: duckdb.DuckDBPyConnection

    def ask(self, sql: str) -> list[Row]:
        return self.connection.execute(pages.transpiled(sql)).fetchall()


@dataclass(frozen=True, slots=True)
class BigQuery:
    client: bigquery.Client

    def ask(self, sql: str) -> list[Row]:
        return [tuple(row.values()) for row in self.client.query_and_wait(sql)]
