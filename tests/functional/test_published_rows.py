"""Rows of every kind come out of the tables equal to what went in, by every method.

The cases are those of google-cloud-bigquery's own system tests (tests/system/test_client.py and tests/data of that
project): rows with NULL, a record in a record, repeated records in repeated records, every scalar type; and a JSON
column. They go through a real shard process into the embedded BigQuery.
"""

import base64
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from consumer.daemon.prepare.bigquery_tables import BigQueryTables
from consumer.settings import Settings
from tests.functional.conftest import Embedded, StartShard
from tests.functional.harness.bigquery_stub import BigQueryStub
from tests.functional.harness.dynamodb_stub import DynamoStub
from tests.functional.harness.kcl import record
from tests.functional.harness.s3_stub import S3Stub
from tests.functional.harness.shard_settings import bigquery_settings

METHODS = ("insert_all", "load", "storage_write")

PLAYER = "0123456789abcdef0123456789abcdef"
TIME = "2023-11-14T22:00:00.000Z"
ICON = base64.b64encode(bytes(range(64))).decode()


def column(name: str, kind: str, mode: str = "NULLABLE", *fields: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "type": kind, "mode": mode} | ({"fields": list(fields)} if fields else {})


SCHEMA = [
    column("player_id", "STRING"),
    column("time", "TIMESTAMP", "REQUIRED"),
    column("n", "INTEGER"),
    column("full_name", "STRING"),
    column("age", "INTEGER"),
    column("now", "TIMESTAMP"),
    column("weight", "FLOAT"),
    column("is_magic", "BOOLEAN"),
    column("tea_time", "TIME"),
    column("next_vacation", "DATE"),
    column("favorite_time", "DATETIME"),
    column("favorite_number", "NUMERIC"),
    column("icon", "BYTES"),
    column(
        "nested",
        "RECORD",
        "NULLABLE",
        column("nested_string", "STRING"),
        column("nested_repeated", "INTEGER", "REPEATED"),
        column("nested_record", "RECORD", "NULLABLE", column("nested_nested_string", "STRING")),
    ),
    column(
        "spells",
        "RECORD",
        "REPEATED",
        column("name", "STRING"),
        column("discovered_by", "STRING"),
        column("properties", "RECORD", "REPEATED", column("name", "STRING"), column("power", "FLOAT")),
    ),
    column("payload", "JSON"),
]

PLAIN = {
    one["name"]
    for one in SCHEMA
    if one["type"] in ("STRING", "TIMESTAMP", "INTEGER", "FLOAT", "BOOLEAN", "DATE", "JSON")
}

CASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {"full_name": "Phred Phlyntstone", "age": 32, "now": "2015-11-30T19:24:55.484366Z"},
        {
            "full_name": "Phred Phlyntstone",
            "age": 32,
            "now": datetime(2015, 11, 30, 19, 24, 55, 484366, tzinfo=UTC),
        },
    ),
    ({"full_name": "Bhettye Rhubble", "age": 27, "now": None}, {"full_name": "Bhettye Rhubble", "age": 27}),
    (
        {
            "nested": {
                "nested_string": "another string value",
                "nested_repeated": [0, 1, 2],
                "nested_record": {"nested_nested_string": "some deep insight"},
            }
        },
        {
            "nested": {
                "nested_string": "another string value",
                "nested_repeated": [0, 1, 2],
                "nested_record": {"nested_nested_string": "some deep insight"},
            }
        },
    ),
    (
        {
            "full_name": "Gandalf",
            "age": "1000",
            "weight": 198.6,
            "is_magic": True,
            "tea_time": "15:00:00",
            "next_vacation": "2666-06-06",
            "favorite_time": "2001-12-19T23:59:59",
            "favorite_number": "1.618033989",
            "icon": ICON,
            "spells": [
                {
                    "name": "Skydragon",
                    "discovered_by": "Firebreather",
                    "properties": [{"name": "Flying", "power": 1}, {"name": "Explodey", "power": 11}],
                }
            ],
        },
        {
            "full_name": "Gandalf",
            "age": 1000,
            "weight": 198.6,
            "is_magic": True,
            "tea_time": time(15, 0),
            "next_vacation": date(2666, 6, 6),
            "favorite_time": datetime(2001, 12, 19, 23, 59, 59),  # noqa: DTZ001 - a DATETIME has no zone
            "favorite_number": Decimal("1.618033989"),
            "icon": bytes(range(64)),
            "spells": [
                {
                    "name": "Skydragon",
                    "discovered_by": "Firebreather",
                    "properties": [{"name": "Flying", "power": 1.0}, {"name": "Explodey", "power": 11.0}],
                }
            ],
        },
    ),
    (
        {"full_name": "Bilbo", "spells": [], "favorite_number": "111"},
        {"full_name": "Bilbo", "favorite_number": 111},
    ),
    (
        {"payload": {"a": [1, 2.5, {"b": None}], "é": "x"}},
        {"payload": {"a": [1, 2.5, {"b": None}], "é": "x"}},
    ),
    ({"payload": "text"}, {"payload": "text"}),
    ({"payload": [True, "3"]}, {"payload": [True, "3"]}),
    ({"payload": None}, {}),
]


type Configure = Callable[..., Settings]


@pytest.fixture
def configure(
    embedded: Embedded, bigquery: BigQueryStub, dynamodb: DynamoStub, s3: S3Stub, tmp_path: Path
) -> Configure:
    def settings(method: str, **more: str) -> Settings:
        return settings_of(method, embedded, bigquery, dynamodb, s3, tmp_path, **more)

    return settings


def settings_of(
    method: str,
    embedded: Embedded,
    bigquery: BigQueryStub,
    dynamodb: DynamoStub,
    s3: S3Stub,
    folder: Path,
    **more: str,
) -> Settings:
    schema = folder / "schema.json"
    schema.write_text(json.dumps(SCHEMA))
    changes = {
        "bigquery.method": method,
        "bigquery.api_endpoint": embedded.url,
        "bigquery.storage_endpoint": embedded.storage_url,
        "dynamoDBEndpoint": dynamodb.url,
        "bigquery.row": "fields",
        "bigquery.schema_file": str(schema),
        "bigquery.table_prefix": f"rows_{method}",
        "bigquery.key_digits": "0",
        "bigquery.metadata_columns": "true",
        "chunk.window": "60s",
        **{f"bigquery.{name}": text for name, text in more.items()},
    }
    return bigquery_settings(bigquery, s3, changes)


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """What is left of it in columns that the C library writes."""
    return {name: value for name, value in row.items() if name in PLAIN}


def rows_of(settings: Settings) -> list[dict[str, Any]]:
    client = bigquery.Client(
        project=settings.text("bigquery.project"),
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": settings.text("bigquery.api_endpoint")},
    )
    table = f"{settings.text('bigquery.dataset')}.{settings.text('bigquery.table_prefix')}"
    return [dict(row) for row in client.query_and_wait(f"SELECT * FROM `{table}` ORDER BY n")]


def prepared(settings: Settings) -> None:
    tables = BigQueryTables(settings)
    tables.ensure_dataset()
    for step in tables.table_steps():
        step()


@pytest.mark.parametrize("method", METHODS)
def test_published_rows_come_out_as_they_went_in(
    method: str, configure: Configure, s3: S3Stub, start_shard: StartShard
) -> None:
    settings = configure(method)
    prepared(settings)
    given = [{"player_id": PLAYER, "time": TIME, "n": n, **row} for n, (row, _) in enumerate(CASES)]
    messages = [record(n + 1, json.dumps(row).encode()) for n, row in enumerate(given)]
    kcl = start_shard(settings)
    kcl.initialize()
    kcl.process(messages)
    kcl.end_shard()
    assert s3.dead_letters == []
    empty: dict[str, Any] = {one["name"]: [] if one["mode"] == "REPEATED" else None for one in SCHEMA}
    for n, (row, (_, expected)) in enumerate(zip(rows_of(settings), CASES, strict=True)):
        own = {"player_id": PLAYER, "time": datetime(2023, 11, 14, 22, tzinfo=UTC), "n": n}
        metadata = {
            "_shard": "shardId-000000000001",
            "_sequence_number": str(n + 1),
            "_arrived_at": datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC),
        }
        assert row == {**empty, **own, **expected, **metadata}


@pytest.mark.parametrize("method", METHODS)
def test_they_do_so_in_columns_of_plain_types(
    method: str, configure: Configure, s3: S3Stub, start_shard: StartShard
) -> None:
    settings = configure(method, metadata_columns="false", table_prefix=f"plain_{method}")
    schema = [one for one in SCHEMA if one["name"] in PLAIN]
    settings.path("bigquery.schema_file").write_text(json.dumps(schema))
    prepared(settings)
    given = [{"player_id": PLAYER, "n": n, "time": TIME, **plain(row)} for n, (row, _) in enumerate(CASES)]
    kcl = start_shard(settings)
    kcl.initialize()
    kcl.process([record(n, json.dumps(row).encode()) for n, row in enumerate(given, 1)])
    kcl.end_shard()
    assert s3.dead_letters == []
    empty = dict.fromkeys(PLAIN)
    for n, (row, (_, expected)) in enumerate(zip(rows_of(settings), CASES, strict=True)):
        own = {"player_id": PLAYER, "time": datetime(2023, 11, 14, 22, tzinfo=UTC), "n": n}
        assert row == {**empty, **own, **plain(expected)}


@pytest.mark.parametrize("method", METHODS)
def test_a_row_of_the_wrong_type_or_with_a_field_without_a_column_is_buried_alone(
    method: str, configure: Configure, s3: S3Stub, start_shard: StartShard
) -> None:
    settings = configure(method)
    prepared(settings)
    before = len(rows_of(settings))
    given: list[dict[str, Any]] = [{"age": 1}, {"age": "old"}, {"age": 2}, {"no_such_column": 1}, {"age": 3}]
    messages = [
        record(n, json.dumps({"player_id": PLAYER, "time": TIME, "n": n, **row}).encode())
        for n, row in enumerate(given, 101)
    ]
    kcl = start_shard(settings)
    kcl.initialize()
    kcl.process(messages)
    kcl.end_shard()
    rows = rows_of(settings)[before:]
    assert [row["n"] for row in rows] == [101, 103, 105]
    assert [(one["sequence_number"], one["reason"]) for one in s3.dead_letters] == [
        ("102", "rejected"),
        ("104", "rejected"),
    ]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("unknown", ["ignore", "overflow"])
def test_fields_without_a_column_are_left_out_or_kept_aside(
    method: str, unknown: str, configure: Configure, s3: S3Stub, start_shard: StartShard
) -> None:
    name = f"{unknown}_{method}"
    settings = configure(method, unknown_fields=unknown, table_prefix=name)
    prepared(settings)
    row = {"player_id": PLAYER, "time": TIME, "n": 1, "new": {"a": [1]}, "nested": {"nested_string": "x"}}
    if unknown == "overflow":
        row["spells"] = [{"name": "Skydragon"}, {"name": "Cats", "talk": True}]
    kcl = start_shard(settings)
    kcl.initialize()
    kcl.process([record(1, json.dumps(row).encode())])
    kcl.end_shard()
    assert s3.dead_letters == []
    [found] = rows_of(settings)
    assert found["nested"]["nested_string"] == "x"
    assert "new" not in found
    if unknown == "overflow":
        assert found["overflow"] == {"new": {"a": [1]}, "spells": [{}, {"talk": True}]}
        assert [spell["name"] for spell in found["spells"]] == ["Skydragon", "Cats"]
