"""A look at objects of every format tells the same."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pytest
from pyarrow import parquet

from consumer.operate.dead_letters.merged_object import Addition
from consumer.operate.dead_letters.merged_rows import MergedRows
from consumer.operate.reconcile.report import lines
from consumer.settings import load
from consumer.sinks.s3.build import format_of
from tests.unit.operate.test_reconcile_look import (
    BY_TIME,
    COMMON,
    IDENTIFIED,
    World,
    deliver_three_chunks,
    faults,
)

COLUMNS = [
    {"name": "time", "type": "TIMESTAMP"},
    {"name": "player_id", "type": "STRING"},
    {"name": "n", "type": "INTEGER"},
    {"name": "event", "type": "STRING"},
]
FORMS = ["ndjson.gz", "ndjson.zst", "parquet", "parquet with a schema"]


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(params=[BY_TIME, IDENTIFIED], ids=["by time", "identified"])
def world(request: pytest.FixtureRequest, form: str, tmp_path: Path) -> World:
    name, _, schema = form.partition(" ")
    given = {**COMMON, "applicationName": "to-s3", "s3.bucket": "bucket", "s3.format": name}
    if schema:
        file = tmp_path / "schema.json"
        file.write_text(json.dumps(COLUMNS))
        given["s3.schema_file"] = str(file)
    world = World(request.param, load("s3", overrides=given))
    deliver_three_chunks(world)
    return world


def test_what_both_hold_is_clean_and_counted(world: World) -> None:
    result = world.look()
    assert result.clean, list(lines(result, "hour", 20))
    assert result.held == {"s3": 39, "bigquery": 39}


def test_a_deleted_object_is_missing_record_by_record(world: World) -> None:
    del world.s3.objects[world.keys()[1]]
    assert faults(world.look()) == {("s3", "missing"): 12}


def test_an_object_that_is_there_twice_is_doubled_record_by_record(world: World, form: str) -> None:
    key = world.keys()[1]
    world.s3.objects[key.replace("-13.", "-14.")] = world.s3.objects[key]
    result = world.look()
    assert faults(result) == {("s3", "doubled"): 12}
    kind = "row" if form.startswith("parquet") else "line"
    assert any(f"-2000-14.{form.split()[0]} {kind} 1" in line for line in lines(result, "hour", 20))


def test_a_deleted_row_is_missing(world: World) -> None:
    row = world.rows.pop(3)
    result = world.look()
    assert faults(result) == {("bigquery", "missing"): 1}
    [named] = result.named
    assert (named.difference.copy.key, named.difference.copy.time_us) == (row.key, row.time_us)


def test_what_cannot_be_read_is_told(world: World) -> None:
    key = world.keys()[0]
    world.s3.put_object(Bucket="bucket", Key=key, Body=b"nothing of the kind")
    result = world.look()
    assert [problem.split(" cannot")[0] for problem in result.problems] == [f"s3://bucket/{key}"]


@pytest.mark.parametrize("form", FORMS[2:], indirect=True)
def test_rows_that_a_redrive_has_appended_are_left_out(world: World) -> None:
    """The dead letter stands for its record."""
    key = world.keys()[0]
    made = format_of(world.to_s3, "")
    body = world.s3.body(key)
    one = io.BytesIO()
    parquet.write_table(parquet.read_table(io.BytesIO(body)).slice(0, 1), one)
    merged = MergedRows.read(made, body).with_lines([Addition("a/1", one.getvalue(), None, False)])
    world.s3.put_object(Bucket="bucket", Key=key, Body=merged.body())
    assert parquet.read_table(io.BytesIO(world.s3.body(key))).num_rows == 13
    assert world.look().clean


@pytest.mark.parametrize("form", FORMS[:3], indirect=True)
def test_an_object_of_a_former_format_is_read_beside_the_others(world: World) -> None:
    key = world.keys()[0]
    world.s3.objects.pop(key)
    payloads = [record.data for record in world.chunks[0].records]
    content = b"".join(payload + b"\n" for payload in payloads if payload != b"not json")
    other = f"{key.rpartition('-13.')[0]}-13.ndjson.gz"
    world.s3.put_object(Bucket="bucket", Key=other, Body=gzip.compress(content))
    assert world.look().clean
