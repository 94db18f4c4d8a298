"""Tables of Athena: the statement and what Glue is told say the same, whatever the names are."""

import json
import string
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import exp

from consumer.operate.catalogue.table import Table, table_of
from consumer.operate.errors import Refused
from consumer.settings import Settings, load
from consumer.settings.schema import Column

SINCE = datetime(2025, 1, 1, tzinfo=UTC)
COMMON = {"s3.bucket": "bucket", "streamName": "logs", "applicationName": "a", "regionName": "eu-west-1"}
HIVE = {"TEXT": "string", "BIGINT": "bigint", "DOUBLE": "double", "BOOLEAN": "boolean"} | {
    "TIMESTAMP": "timestamp",
    "DATE": "date",
    "BINARY": "binary",
    "INT": "int",
}
"""By sqlglot's names of types."""


def settings(**changes: str) -> Settings:
    named = {key.replace("__", "."): text for key, text in changes.items()}
    return load("s3", overrides=COMMON | named)


def table(
    *, schema: Sequence[Column] = (), values: dict[str, list[str]] | None = None, **changes: str
) -> Table:
    return over(settings(**changes), schema, values)


def over(
    chosen: Settings, schema: Sequence[Column] = (), values: dict[str, list[str]] | None = None
) -> Table:
    return table_of(chosen, database="lake", name="logs", since=SINCE, values=values or {}, schema=schema)


def hive_type(kind: exp.DataType) -> str:
    """Of what sqlglot has read."""
    if kind.this is exp.DataType.Type.ARRAY:
        return f"array<{hive_type(kind.expressions[0])}>"
    if kind.this is exp.DataType.Type.STRUCT:
        return f"struct<{','.join(f'{one.name}:{hive_type(one.args["kind"])}' for one in kind.expressions)}>"
    if kind.this is exp.DataType.Type.DECIMAL:
        return f"decimal({','.join(one.name for one in kind.expressions)})"
    return HIVE[kind.this.value]


def read(statement: str) -> dict[str, Any]:
    """TableInput, of the statement."""
    tree = sqlglot.parse_one(statement, read="athena")
    assert isinstance(tree, exp.Create)
    found: dict[str, Any] = {"PartitionKeys": []}
    parameters: dict[str, str] = {}
    storage: dict[str, Any] = {"Columns": listed(tree.this.expressions)}
    serde: dict[str, str] = {"serialization.format": "1"}
    for one in tree.args["properties"].expressions:
        match one:
            case exp.ExternalProperty():
                found["TableType"], parameters["EXTERNAL"] = "EXTERNAL_TABLE", "TRUE"
            case exp.PartitionedByProperty():
                found["PartitionKeys"] = listed(one.this.expressions)
            case exp.RowFormatSerdeProperty():
                storage["SerdeInfo"] = {"SerializationLibrary": one.name, "Parameters": serde}
                if one.args["serde_properties"]:
                    serde |= {
                        each.name: each.args["value"].name
                        for each in one.args["serde_properties"].expressions
                    }
            case exp.FileFormatProperty():
                storage["InputFormat"] = one.this.args["input_format"].name
                storage["OutputFormat"] = one.this.args["output_format"].name
            case exp.LocationProperty():
                storage["Location"] = one.name
            case _:
                parameters[one.name] = one.args["value"].name
    assert tree.this.this.db == "lake"
    return found | {"Name": tree.this.this.name, "Parameters": parameters, "StorageDescriptor": storage}


def listed(columns: Sequence[exp.ColumnDef]) -> list[dict[str, str]]:
    return [{"Name": column.name, "Type": hive_type(column.args["kind"])} for column in columns]


TYPES = ["STRING", "JSON", "INTEGER", "FLOAT", "BOOLEAN", "NUMERIC", "TIMESTAMP", "DATE", "DATETIME", "BYTES"]
RESERVED = ["date", "select", "timestamp", "array", "struct", "table", "interval", "1st", "_id", "Order"]
PLAIN = st.one_of(st.sampled_from(RESERVED), st.text(f"{string.ascii_letters}{string.digits}_", min_size=1))
HOSTILE = st.one_of(
    PLAIN, st.text(min_size=1, max_size=300), st.sampled_from(["a-b", "a`b", "it's", "\\", "\n"])
)


def schemas(names: st.SearchStrategy[str], types: list[str]) -> st.SearchStrategy[list[Column]]:
    def columns(of: st.SearchStrategy[Column]) -> st.SearchStrategy[list[Column]]:
        return st.lists(of, min_size=1, max_size=5, unique_by=lambda column: column.name.lower())

    modes = st.sampled_from(["NULLABLE", "REPEATED"])
    leaf = st.builds(Column, name=names, type=st.sampled_from(types), mode=modes)
    record = st.builds(
        Column, name=names, type=st.just("RECORD"), mode=modes, fields=columns(leaf).map(tuple)
    )
    return columns(st.one_of(leaf, record))


@given(schema=schemas(PLAIN, TYPES))
def test_a_table_over_parquet_is_the_same_as_a_statement_and_in_glue(
    schema: list[Column], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Columns keep their names: Parquet is read by name."""
    file = tmp_path_factory.getbasetemp() / "schema.json"
    kept = [column for column in schema if column.name.lower() != "time"]
    file.write_text(
        json.dumps([written(column) for column in [*kept, Column(name="time", type="TIMESTAMP")]])
    )
    made = table(s3__format="parquet", s3__schema_file=str(file))
    assert read(made.statement()) == made.glue_input()
    assert [column.name for column in made.columns] == [column.name.lower() for column in kept] + ["time"]


def written(column: Column) -> dict[str, Any]:
    return {
        "name": column.name,
        "type": column.type,
        "mode": column.mode,
        **({"fields": [written(field) for field in column.fields]} if column.fields else {}),
    }


@given(
    schema=schemas(HOSTILE, [*TYPES, "TIME", "BIGNUMERIC"]),
    prefix=st.sampled_from(["logs/", "it's!(x)/", ""]),
)
def test_a_table_over_lines_is_the_same_as_a_statement_and_in_glue(schema: list[Column], prefix: str) -> None:
    """Whatever the fields are called, each has a column of a plain name, and is read from its own key."""
    made = table(schema=schema, s3__prefix=prefix)
    assert read(made.statement()) == made.glue_input()
    names = [column.name for column in made.columns]
    assert len(set(names)) == len(names)
    assert all(name.isascii() and name.replace("_", "a").isalnum() and len(name) <= 255 for name in names)
    keys = {
        key.removeprefix("mapping."): value
        for key, value in made.format.serde_properties.items()
        if key.startswith("mapping.")
    }
    assert [keys.get(name, name) for name in names] == [column.name.lower() for column in schema]


@given(schema=schemas(HOSTILE, TYPES))
def test_one_name_is_one_field_on_all_levels(schema: list[Column]) -> None:
    """The mapping of the SerDe knows no levels."""
    made = table(schema=schema)
    keys = made.format.serde_properties
    found: dict[str, str] = {}
    for column, asked in zip(made.columns, schema, strict=True):
        inner = column.type.item or column.type
        pairs = [(column.name, asked.name)]
        pairs += [(one.name, other.name) for one, other in zip(inner.fields, asked.fields, strict=True)]
        for name, field in pairs:
            assert found.setdefault(name, field.lower()) == field.lower()
            assert keys.get(f"mapping.{name}", name) == field.lower()


def test_records_without_a_schema_are_lines_or_key_time_and_log() -> None:
    lines = table()
    assert [(column.name, column.type.text()) for column in lines.columns] == [("log", "string")]
    assert lines.format.serde.endswith(".RegexSerDe")
    rows = table(s3__format="parquet")
    assert [(column.name, column.type.text()) for column in rows.columns] == [
        ("player_id", "string"),
        ("time", "timestamp"),
        ("log", "string"),
    ]


@pytest.mark.parametrize(
    ("kind", "parquet", "lines"),
    [
        ("NUMERIC", "decimal(38,9)", "decimal(38,9)"),
        ("TIMESTAMP", "timestamp", "string"),
        ("JSON", "string", "string"),
        ("BYTES", "binary", "string"),
        ("INT64", "bigint", "bigint"),
    ],
)
def test_types_are_those_of_what_stands_in_the_objects(
    kind: str, parquet: str, lines: str, tmp_path: Path
) -> None:
    file = tmp_path / "schema.json"
    file.write_text(json.dumps([{"name": "x", "type": kind}, {"name": "time", "type": "TIMESTAMP"}]))
    made = table(s3__format="parquet", s3__schema_file=str(file))
    assert made.columns[0].type.text() == parquet
    canonical = "INTEGER" if kind == "INT64" else kind
    assert table(schema=[Column(name="x", type=canonical)]).columns[0].type.text() == lines


def test_an_overflow_column_is_one_of_the_table(tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    file.write_text(json.dumps([{"name": "time", "type": "TIMESTAMP"}]))
    made = table(s3__format="parquet", s3__schema_file=str(file), s3__unknown_fields="overflow")
    assert [column.name for column in made.columns] == ["time", "overflow"]


def test_the_location_is_the_last_folder_that_all_paths_share() -> None:
    assert table(s3__key_template="raw/%Y/x").location == "s3://bucket/player-log/raw/"
    assert table(s3__prefix="logs", s3__key_template="dt=%Y-%m-%d").location == "s3://bucket/"
    plain = table(s3__partition="all")
    assert (plain.location, plain.template) == ("s3://bucket/player-log/all/", "")
    assert "PARTITIONED" not in plain.statement()
    assert plain.parameters() == {"classification": "json"}


@pytest.mark.parametrize(
    ("column", "changes", "said"),
    [
        ({"name": "t", "type": "TIME"}, {}, "s3.schema_file: column t: .*no type for a time of day"),
        ({"name": "n", "type": "BIGNUMERIC"}, {}, "s3.schema_file: column n: .*38 digits"),
        ({"name": "a-b", "type": "STRING"}, {}, "s3.schema_file: column 'a-b': Athena takes letters"),
        ({"name": "", "type": "STRING"}, {}, "s3.schema_file: column '': Athena takes letters"),
        (
            {"name": "r", "type": "RECORD", "fields": [{"name": "x`", "type": "STRING"}]},
            {},
            "s3.schema_file: column 'r.x`'",
        ),
        ({}, {"s3.bucket": "arn:aws:s3:eu-west-1:1:accesspoint/a"}, "s3.bucket: .*access point"),
        ({}, {"s3.storage_class": "GLACIER"}, "s3.storage_class: Athena reads no objects of GLACIER"),
        ({}, {"s3.prefix": "a*b/"}, "s3.prefix"),
        ({}, {"s3.prefix": "a//b/"}, "s3.prefix"),
    ],
)
def test_what_athena_cannot_read_is_refused_by_the_setting(
    column: dict[str, Any], changes: dict[str, str], said: str, tmp_path: Path
) -> None:
    file = tmp_path / "schema.json"
    columns = [{"name": "time", "type": "TIMESTAMP"}, *([column] if column else [])]
    file.write_text(json.dumps(columns))
    chosen = {"s3.format": "parquet", "s3.schema_file": str(file)} | changes
    with pytest.raises(Refused, match=said):
        over(settings(**chosen))


def test_values_of_a_field_that_no_path_has_are_refused() -> None:
    with pytest.raises(Refused, match=r"--values: s3.partition = dt=.* has no \{content_type\}"):
        table(values={"content_type": ["a"]})
