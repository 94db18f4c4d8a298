"""Events of football matches, by a shard process, under keys of their kind: the table that bin/athena-ddl names leads
readers to them, and they read back what was sent, record for record."""

import gzip
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote

import duckdb
import pytest
from sqlglot import exp

from consumer.local.stack import Stack
from consumer.settings import PROJECT_ROOT
from tests.recipes import lake, pages
from tests.recipes.readers import run_reader

pytestmark = pytest.mark.timeout(600)

EVENTS = PROJECT_ROOT.parent / "shared" / "data" / "wyscout_epl2017_first40.ndjson.gz"
"""https://figshare.com/collections/Soccer_match_event_dataset/4415000"""
RECORDS = 64_846
TEMPLATE = "content_type={content_type|none}/dt=%Y-%m-%d"
FORMATS = (pytest.param("ndjson.gz", marks=pytest.mark.long), "parquet")

_BEFORE_MIDNIGHT = datetime(2026, 11, 1, 23, 50, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Event:
    kind: str
    data: bytes
    arrived: datetime


@pytest.fixture(scope="module")
def events() -> Sequence[Event]:
    """With the kind of each at the top level, where a producer has to put it; they arrive around midnight."""
    if not EVENTS.exists():
        pytest.skip(f"{EVENTS} is not there")
    found = []
    with gzip.open(EVENTS) as lines:
        for place, line in enumerate(lines):
            kind = json.loads(line)["event"]["eventName"]
            data = b'{"content_type":%b,%b' % (json.dumps(kind).encode(), line.strip()[1:])
            found.append(Event(kind, data, _BEFORE_MIDNIGHT + timedelta(milliseconds=18 * place)))
    assert len(found) == RECORDS
    return found


@pytest.fixture(scope="module", params=FORMATS)
def form(
    request: pytest.FixtureRequest,
    events: Sequence[Event],
    stack: Stack,
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """Delivered, and registered in Glue as the table of its name."""
    settings = lake.settings_of(stack, "s3", _changes(request.param))
    lake.deliver(settings, lake.messages(events), tmp_path_factory.mktemp("shard"))
    assert lake.dead_letters(stack) == []
    register = ("--register", "--create-database", "--yes")
    assert athena_ddl(request.param, *register) == ""
    return str(request.param)


def _changes(form: str) -> dict[str, str]:
    return {
        "s3.prefix": f"matches-{_table(form)}/",
        "s3.format": form,
        "s3.key_template": TEMPLATE,
        "chunk.max_bytes": "4MiB",
    }


def _table(form: str) -> str:
    return form.replace(".", "_")


def athena_ddl(form: str, *options: str) -> str:
    command = (
        sys.executable,
        "-P",
        "-m",
        "consumer",
        "athena-ddl",
        "--local",
        "--database=lake",
        "--from=2026-11-01",
    )
    settings = [f"--set={key}={value}" for key, value in _changes(form).items()]
    done = subprocess.run(
        [*command, f"--table={_table(form)}", *settings, *options],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_statement_is_one_of_athena_and_has_the_columns_of_glue(form: str, stack: Stack) -> None:
    found = pages.parsed(athena_ddl(form), "athena")
    assert isinstance(found, exp.Create)
    assert found.kind == "TABLE"
    assert found.args["properties"].find(exp.ExternalProperty)
    assert isinstance(found.this, exp.Schema)
    partitions = found.find(exp.PartitionedByProperty)
    assert partitions is not None
    table = stack.client("glue").get_table(DatabaseName="lake", Name=_table(form))["Table"]
    columns = [each["Name"] for each in table["StorageDescriptor"]["Columns"]]
    assert [each.name for each in found.this.expressions] == columns
    keys = [each["Name"] for each in table["PartitionKeys"]]
    assert [each.name for each in partitions.find_all(exp.ColumnDef)] == keys == ["content_type", "dt"]


def test_every_partition_has_as_many_records_as_the_input(
    form: str, events: Sequence[Event], stack: Stack, tmp_path: Path
) -> None:
    told = Counter((each.kind, f"{each.arrived:%Y-%m-%d}") for each in events)
    assert len({day for _, day in told}) == 2
    folder = objects(form, stack, tmp_path)
    counted = duckdb.sql(
        f"SELECT content_type, dt, COUNT(*) FROM {_read(form, folder)} GROUP BY ALL"
    ).fetchall()
    assert {(kind, day): count for kind, day, count in counted} == told
    template = stack.client("glue").get_table(DatabaseName="lake", Name=_table(form))["Table"]["Parameters"][
        "storage.location.template"
    ]
    pattern = re.escape(template).replace(r"\$\{content_type\}", "([^/]+)").replace(r"\$\{dt\}", "([^/]+)")
    found = [
        re.match(pattern, f"s3://{stack.bucket}/{key}")
        for key in lake.keys(stack, _changes(form)["s3.prefix"])
    ]
    assert {(unquote(each[1]), each[2]) for each in found if each is not None} == set(told)
    assert None not in found


def test_duckdb_reads_every_record_as_it_was_sent(
    form: str, events: Sequence[Event], stack: Stack, tmp_path: Path
) -> None:
    column = "log" if form == "parquet" else "CAST(json AS VARCHAR)"
    read = _read(form, objects(form, stack, tmp_path))
    rows = duckdb.sql(f"SELECT content_type, dt, {column} FROM {read}").fetchall()
    told = Counter((each.kind, f"{each.arrived:%Y-%m-%d}", each.data.decode()) for each in events)
    assert Counter(rows) == told


WRANGLED = """
import json, sys
from urllib.parse import unquote

import awswrangler as wr

table, form = sys.argv[1:]
if form == "parquet":
    frame = wr.s3.read_parquet_table(database="lake", table=table)
    records = zip(frame["content_type"], frame["dt"], map(json.loads, frame["log"]))
else:
    place = wr.catalog.get_table_location(database="lake", table=table)
    frame = wr.s3.read_json(place, dataset=True, lines=True, dtype=False, convert_dates=False, precise_float=True)
    names = ["player_id", "match_utc", "event"]
    kinds = frame["content_type"]
    records = (
        (kind, day, {"content_type": unquote(kind)} | dict(zip(names, row)))
        for kind, day, *row in zip(kinds, frame["dt"], *(frame[name] for name in names))
    )
for record in records:
    print(json.dumps(record))
"""


def test_aws_sdk_for_pandas_reads_every_record_by_the_table_in_glue(
    form: str, events: Sequence[Event]
) -> None:
    out = run_reader(WRANGLED, _table(form), form)
    told = Counter(
        (each.kind, f"{each.arrived:%Y-%m-%d}", _canonical(json.loads(each.data))) for each in events
    )
    found: Counter[tuple[str, str, str]] = Counter()
    for line in out.splitlines():
        kind, day, record = json.loads(line)
        found[unquote(kind), day, _canonical(record)] += 1
    assert found == told


def _canonical(record: object) -> str:
    return json.dumps(record, sort_keys=True)


def objects(form: str, stack: Stack, folder: Path) -> Path:
    prefix = _changes(form)["s3.prefix"]
    lake.download(stack, prefix, folder)
    return folder / prefix


def _read(form: str, folder: Path) -> str:
    options = f"'{folder}/**/*.{form}', hive_partitioning = true, hive_types_autocast = false"
    return f"read_parquet({options})" if form == "parquet" else f"read_ndjson_objects({options})"
