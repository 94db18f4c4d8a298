"""Objects of every format are looked at as lines."""

import json
from pathlib import Path

import pytest

from consumer.local.objects import lines_of_object
from consumer.settings import load
from consumer.sinks.s3.build import sink_of
from tests.unit.builders import chunk_of

LINES = [b'{"player_id":"a","n":1}', '{"player_id":"é","n":[2]}'.encode()]


def delivered(**overrides: str) -> bytes:
    named = {key.replace("__", "."): text for key, text in overrides.items()}
    sink = sink_of(
        load("s3", overrides={"s3.bucket": "bucket", **named}), "shardId-000000000000", client=None
    )
    (request,) = sink.prepare(chunk_of(LINES)).requests
    return bytes(request.body)


@pytest.mark.parametrize("form", ["ndjson.gz", "ndjson.zst", "parquet"])
def test_lines_are_the_records(form: str) -> None:
    assert lines_of_object(delivered(s3__format=form)).splitlines() == LINES


def test_rows_of_other_columns_are_json(tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    columns = {"player_id": "STRING", "time": "TIMESTAMP", "n": "JSON"}
    schema.write_text(json.dumps([{"name": name, "type": kind} for name, kind in columns.items()]))
    body = delivered(s3__format="parquet", s3__schema_file=str(schema))
    rows = [json.loads(line) for line in lines_of_object(body).splitlines()]
    assert [(row["player_id"], row["n"]) for row in rows] == [("a", "1"), ("é", "[2]")]


def test_anything_else_is_left_as_it_is() -> None:
    assert lines_of_object(b"plain\n") == b"plain\n"
    assert lines_of_object(b"") == b""
