"""The table of Athena in the embedded Glue: registered, grown with the schema, registered again."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from consumer.local import stack as stacks
from consumer.local import tethered
from consumer.local.stack import Stack
from consumer.settings import load
from consumer.sinks.s3.build import sink_of
from tests.unit.builders import ARRIVAL_MS, chunk_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]

TEMPLATE = "content_type={content_type|none}/dt=%Y-%m-%d/hour=%H"
SCHEMA: list[dict[str, Any]] = [
    {"name": "player_id", "type": "STRING"},
    {"name": "time", "type": "TIMESTAMP"},
    {"name": "place", "type": "RECORD", "fields": [{"name": "x", "type": "FLOAT"}]},
]
GROWN: list[dict[str, Any]] = [
    {"name": "minute", "type": "INTEGER"},
    {"name": "player_id", "type": "STRING"},
    {"name": "time", "type": "TIMESTAMP"},
    {
        "name": "place",
        "type": "RECORD",
        "fields": [{"name": "y", "type": "FLOAT"}, {"name": "x", "type": "FLOAT"}],
    },
]


class Lake:
    """A stack, and the command on it."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack = stack
        self.folder = folder
        self.glue = stack.client("glue")
        self.schema = folder / "schema.json"
        self.settings = {
            "applicationName": "lake",
            "s3.key_template": TEMPLATE,
            "s3.format": "parquet",
            "s3.schema_file": str(self.schema),
            "s3.unknown_fields": "ignore",
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *(sys.executable, "-P", "-m", "consumer", "athena-ddl", "--local", "--database=lake"),
                *(f"--set={key}={value}" for key, value in self.settings.items()),
                *arguments,
            ],
            env=tethered.environment(self.folder),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def table(self) -> dict[str, Any]:
        found: dict[str, Any] = self.glue.get_table(DatabaseName="lake", Name="player_logs")["Table"]
        return found

    def columns(self) -> dict[str, str]:
        return {one["Name"]: one["Type"] for one in self.table()["StorageDescriptor"]["Columns"]}

    def deliver(self, payloads: list[bytes]) -> list[str]:
        """Keys of the objects of a chunk."""
        chosen = load("s3", overrides={**stacks.overrides(self.stack, "s3"), **self.settings})
        sink = sink_of(chosen, "shardId-000000000000", client=self.stack.client("s3"))
        requests = sink.prepare(chunk_of(payloads, arrival_ms=ARRIVAL_MS)).requests
        for request in requests:
            sink.send(request)
        return [request.key for request in requests]


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    with stacks.running(tmp_path) as running:
        yield Lake(running.stack, tmp_path)


def test_a_table_is_registered_grows_with_the_schema_and_is_registered_again(lake: Lake) -> None:
    lake.schema.write_text(json.dumps(SCHEMA))
    refused = lake.run("--register", "--yes")
    assert refused.returncode == 1
    assert "--create-database makes it" in refused.stderr

    made = lake.run("--register", "--create-database", "--yes", "--why=the lake")
    assert made.returncode == 0, made.stderr
    assert lake.columns() == {"player_id": "string", "time": "timestamp", "place": "struct<x:double>"}
    assert [one["Name"] for one in lake.table()["PartitionKeys"]] == ["content_type", "dt", "hour"]
    first = lake.table()

    again = lake.run("--register", "--create-database", "--yes")
    assert again.returncode == 0, again.stderr
    assert "nothing to change" in again.stderr
    assert lake.table() == first

    lake.schema.write_text(json.dumps(GROWN))
    grown = lake.run("--register", "--yes")
    assert grown.returncode == 0, grown.stderr
    assert lake.columns() == {
        "player_id": "string",
        "time": "timestamp",
        "place": "struct<x:double,y:double>",
        "minute": "bigint",
    }
    assert "nothing to change" in lake.run("--register", "--yes").stderr

    lake.schema.write_text(json.dumps([{"name": "player_id", "type": "INTEGER"}, GROWN[2]]))
    retyped = lake.run("--register", "--yes")
    assert retyped.returncode == 1
    assert "column player_id of lake.player_logs is string in Glue" in retyped.stderr
    assert "minute" in lake.columns()

    audits = lake.stack.client("s3").list_objects_v2(
        Bucket=lake.stack.bucket, Prefix="deadletter/audit/lake/"
    )
    assert audits["KeyCount"] == 2


def test_the_registered_table_leads_to_the_objects_and_their_values(lake: Lake) -> None:
    """By Athena's rule for a template: values of partitions are put into it as they are."""
    lake.schema.write_text(json.dumps(SCHEMA))
    made = lake.run("--register", "--create-database", "--yes", "--values=content_type=Free Kick,goal")
    assert made.returncode == 0, made.stderr
    keys = lake.deliver(
        [
            b'{"content_type":"Free Kick","player_id":"0a","place":{"x":1.5}}',
            b'{"content_type":"goal","player_id":"0b"}',
            b'{"player_id":"0c"}',
        ]
    )
    parameters = lake.table()["Parameters"]
    template = parameters["storage.location.template"]
    s3 = lake.stack.client("s3")
    read = {}
    for kind in parameters["projection.content_type.values"].split(","):
        place = (
            template.replace("${content_type}", kind).replace("${dt}", "2023-11-14").replace("${hour}", "22")
        )
        found = re.fullmatch("s3://([^/]+)/(.+)", place)
        assert found is not None
        for one in s3.list_objects_v2(Bucket=found[1], Prefix=found[2]).get("Contents", []):
            file = lake.folder / "object.parquet"
            s3.download_file(found[1], one["Key"], str(file))
            read[one["Key"]] = kind, duckdb.sql(f"SELECT player_id FROM '{file}'").fetchall()
    assert read.keys() == set(keys)
    assert sorted(read.values()) == [("Free%20Kick", [("0a",)]), ("goal", [("0b",)]), ("none", [("0c",)])]
