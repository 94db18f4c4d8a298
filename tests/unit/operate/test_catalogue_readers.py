"""What a reader of Hive-style keys gets is what the table says: DuckDB reads objects that the sink has made."""

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.operate.catalogue.table import Table, table_of
from consumer.settings import Settings, load
from consumer.sinks.s3.build import sink_of
from tests.unit.builders import ARRIVAL_MS, chunk_of

COMMON = {"s3.bucket": "bucket", "streamName": "logs", "applicationName": "a", "regionName": "eu-west-1"}
SINCE = datetime(2020, 1, 1, tzinfo=UTC)
TYPES = {
    "VARCHAR": "string",
    "BIGINT": "bigint",
    "DOUBLE": "double",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "DECIMAL(38,9)": "decimal(38,9)",
    "TIMESTAMP WITH TIME ZONE": "timestamp",
    "BLOB": "binary",
}
"""Of DuckDB, and as the table has them."""
SCHEMA = [
    {"name": "player_id", "type": "STRING"},
    {"name": "time", "type": "TIMESTAMP", "mode": "REQUIRED"},
    {"name": "score", "type": "INTEGER"},
    {"name": "ratio", "type": "FLOAT"},
    {"name": "won", "type": "BOOLEAN"},
    {"name": "born", "type": "DATE"},
    {"name": "price", "type": "NUMERIC"},
    {"name": "note", "type": "JSON"},
    {"name": "raw", "type": "BYTES"},
    {"name": "tags", "type": "STRING", "mode": "REPEATED"},
    {
        "name": "Home",
        "type": "RECORD",
        "fields": [
            {"name": "city", "type": "STRING"},
            {"name": "Zip", "type": "INTEGER", "mode": "REPEATED"},
        ],
    },
]


def settings(**changes: str) -> Settings:
    named = {key.replace("__", "."): text for key, text in changes.items()}
    return load("s3", overrides=COMMON | named)


def table(chosen: Settings) -> Table:
    return table_of(chosen, database="lake", name="logs", since=SINCE, values={})


def put(chosen: Settings, folder: Path, payloads: Sequence[bytes]) -> list[str]:
    """Writes the objects of one chunk, and returns their keys."""
    sink = sink_of(chosen, "shardId-000000000003", client=None)
    keys = []
    for request in sink.prepare(chunk_of(payloads, arrival_ms=ARRIVAL_MS)).requests:
        (folder / request.key).parent.mkdir(parents=True, exist_ok=True)
        (folder / request.key).write_bytes(request.body)
        keys.append(request.key)
    return keys


def projected(made: Table, key: str) -> dict[str, str]:
    """The values of the partition under which Athena finds an object."""
    pattern = re.sub(r"\\\$\\\{(\w+)\\\}", r"(?P<\1>[^/]*)", re.escape(made.template))
    found = re.match(pattern, f"s3://bucket/{key}")
    assert found is not None, (made.template, key)
    return found.groupdict()


@pytest.mark.parametrize("form", ["ndjson.gz", "ndjson.zst", "parquet"])
@given(kinds=st.lists(st.one_of(st.text(max_size=20), st.none(), st.integers()), min_size=1, max_size=6))
def test_duckdb_reads_the_partitions_that_the_table_names(
    form: str, kinds: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Values of fields as they were, which are those of the table without their escapes."""
    folder = tmp_path_factory.mktemp("lake")
    chosen = settings(
        s3__format=form, s3__key_template="kind={kind|none}/dt=%Y-%m-%d/year=%Y/hour=%H/{shard}"
    )
    made = table(chosen)
    assert [column.name for column in made.partitions] == ["kind", "dt", "year", "hour"]
    payloads = [json.dumps({"kind": kind, "n": n}).encode() for n, kind in enumerate(kinds)]
    keys = put(chosen, folder, payloads)
    reader = "read_parquet" if form == "parquet" else "read_ndjson_objects"
    rows = duckdb.sql(
        f"SELECT DISTINCT filename, kind, dt, year, hour FROM {reader}('{folder}/**/*.{form}', filename = true,"
        " hive_types = {'kind': VARCHAR, 'dt': VARCHAR, 'year': BIGINT, 'hour': BIGINT})"
    ).fetchall()
    assert {Path(row[0]).relative_to(folder).as_posix() for row in rows} == set(keys)
    for filename, kind, dt, year, hour in rows:
        values = projected(made, Path(filename).relative_to(folder).as_posix())
        assert (kind, dt) == (unquote(values["kind"]), values["dt"])
        assert (year, hour) == (int(values["year"]), int(values["hour"]))


def test_columns_and_types_are_those_that_a_reader_of_parquet_finds(tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(SCHEMA))
    chosen = settings(s3__format="parquet", s3__schema_file=str(file), s3__unknown_fields="overflow")
    record = {
        "player_id": "0a",
        "time": "2023-11-14T22:13:20Z",
        "tags": ["a"],
        "home": {"city": "b", "zip": [1]},
    }
    [key] = put(chosen, tmp_path, [json.dumps(record).encode()])
    told = duckdb.sql(f"DESCRIBE SELECT * FROM read_parquet('{tmp_path}/{key}', hive_partitioning = false)")
    found = {name.lower(): duckdb_type(kind) for name, kind, *_ in told.fetchall()}
    assert {column.name: column.type.text() for column in table(chosen).columns} == found


def test_a_field_that_is_called_as_a_part_of_the_path_keeps_its_name_in_the_table(tmp_path: Path) -> None:
    """And gives way to the part in DuckDB, as docs/catalogue.md says."""
    file = tmp_path / "schema.json"
    file.write_text(json.dumps([SCHEMA[1], {"name": "Kind", "type": "STRING"}]))
    chosen = settings(
        s3__format="parquet", s3__schema_file=str(file), s3__key_template="kind={Kind|none}/dt=%Y-%m-%d"
    )
    long = "é" * 100
    [key] = put(chosen, tmp_path, [json.dumps({"Kind": long}).encode()])
    made = table(chosen)
    assert [column.name for column in made.columns] == ["time", "kind"]
    assert [column.name for column in made.partitions] == ["kind_partition", "dt"]
    assert unquote(projected(made, key)["kind_partition"]) == long[:21]
    for hive, value in ((False, long), (True, long[:21])):
        read = f"read_parquet('{tmp_path}/**/*.parquet', hive_partitioning = {hive})"
        assert duckdb.sql(f"SELECT kind FROM {read}").fetchall() == [(value,)]


def test_key_time_and_log_are_those_that_a_reader_of_parquet_finds(tmp_path: Path) -> None:
    chosen = settings(s3__format="parquet")
    [key] = put(chosen, tmp_path, [b'{"player_id":"0a"}'])
    told = duckdb.sql(f"DESCRIBE SELECT * FROM read_parquet('{tmp_path}/{key}', hive_partitioning = false)")
    found = {name: duckdb_type(kind) for name, kind, *_ in told.fetchall()}
    assert {column.name: column.type.text() for column in table(chosen).columns} == found


def duckdb_type(kind: str) -> str:
    """As Hive names it."""
    if kind.endswith("[]"):
        return f"array<{duckdb_type(kind.removesuffix('[]'))}>"
    if kind.startswith("STRUCT("):
        fields = kind.removeprefix("STRUCT(").removesuffix(")").split(", ")
        pairs = [field.replace('"', "").split(" ", 1) for field in fields]
        return f"struct<{','.join(f'{name.lower()}:{duckdb_type(inner)}' for name, inner in pairs)}>"
    return TYPES[kind]


def test_the_column_of_whole_lines_is_every_line_whatever_it_holds(tmp_path: Path) -> None:
    """The expression is Java's too, in which a dot is no line separator of Unicode unless it is told."""
    chosen = settings()
    expression = table(chosen).format.serde_properties["input.regex"]
    payloads = ['{"a":"\u2028 \u0085 \u2029"}'.encode(), b'{"b":\r\n1}', b"5"]
    [key] = put(chosen, tmp_path, payloads)
    rows = duckdb.sql(f"SELECT json::VARCHAR FROM read_ndjson_objects('{tmp_path}/{key}')").fetchall()
    assert len(rows) == 3
    for (line,) in rows:
        found = re.fullmatch(expression, line)
        assert found is not None
        assert found[1] == line
    assert expression.startswith("(?s)")
