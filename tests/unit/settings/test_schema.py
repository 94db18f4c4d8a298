import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from consumer.local.generate import Logs
from consumer.settings import PROJECT_ROOT
from consumer.settings.schema import Column, SchemaError, parse_schema, read_schema


def parse(*columns: object) -> tuple[Column, ...]:
    return parse_schema(json.dumps(columns).encode())


def test_columns_are_read_in_order_with_the_types_that_the_api_answers() -> None:
    columns = parse(
        {"name": "a", "type": "int64"},
        {"name": "b", "type": "STRUCT", "mode": "REPEATED", "fields": [{"name": "c", "type": "BOOL"}]},
        {"name": "d", "type": "JSON", "mode": "REQUIRED", "description": "text", "policyTags": {}},
    )
    assert columns == (
        Column(name="a", type="INTEGER"),
        Column(name="b", type="RECORD", mode="REPEATED", fields=(Column(name="c", type="BOOLEAN"),)),
        Column(name="d", type="JSON", mode="REQUIRED", description="text"),
    )


def test_a_byte_order_mark_is_no_part_of_the_schema() -> None:
    assert parse_schema('[{"name": "a", "type": "STRING"}]'.encode("utf-8-sig")) == (
        Column(name="a", type="STRING"),
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a BigQuery schema"),
        (b"{}", "not a BigQuery schema"),
        (b"[]", "without columns"),
        (b'[{"name": "a"}]', "missing required field `type`"),
        (b'[{"name": "a", "type": "WORDS"}]', '"WORDS" is no type'),
        (b'[{"name": "a", "type": "STRING", "mode": "OPTIONAL"}]', "Invalid enum value 'OPTIONAL'"),
        (b'[{"name": "a", "type": "STRING"}, {"name": "A", "type": "STRING"}]', "stands twice"),
        (b'[{"name": "a", "type": "RECORD"}]', "a RECORD has fields"),
        (
            b'[{"name": "a", "type": "STRING", "fields": [{"name": "b", "type": "STRING"}]}]',
            "a RECORD has fields",
        ),
        (b'["\xff"]', "not a BigQuery schema"),
    ],
)
def test_what_is_no_schema_is_refused_with_the_reason(content: bytes, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        parse_schema(content)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"cannot read .*missing\.json: No such file"):
        read_schema(tmp_path / "missing.json")


PYTHON_TYPES = {
    "STRING": str,
    "TIMESTAMP": str,
    "INTEGER": int,
    "FLOAT": float,
    "BOOLEAN": bool,
    "RECORD": dict,
}


def assert_fits(columns: tuple[Column, ...], value: dict[str, object]) -> None:
    assert {column.name for column in columns} == set(value)
    for column in columns:
        found = value[column.name]
        if found is None:
            assert column.mode == "NULLABLE"
            continue
        for one in found if isinstance(found, list) else [found]:
            assert isinstance(one, PYTHON_TYPES[column.type])
            if isinstance(one, dict):
                assert_fits(column.fields, one)
        assert isinstance(found, list) == (column.mode == "REPEATED")


def test_the_example_schema_fits_the_generated_logs() -> None:
    columns = read_schema(PROJECT_ROOT / "properties" / "player_log.schema.json")
    for line in Logs(count=50, seed=1, base_time=datetime(2026, 1, 1, tzinfo=UTC)).lines():
        assert_fits(columns, json.loads(line))
