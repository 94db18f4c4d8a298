"""Logical sizes by BigQuery's documentation, the same for a row as JSON and as Arrow."""

import datetime
import decimal
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.local.bill.sizes import Field, arrow_bytes, columns, json_row_bytes


def json_bytes(value: Any, field: Field) -> int:
    row = msgspec.json.decode(msgspec.json.encode({field.name: value}), type=dict[str, msgspec.Raw])
    return json_row_bytes(row, columns([field]))


@pytest.mark.parametrize(
    ("kind", "value", "size"),
    [
        ("STRING", "Grüße", 2 + 7),
        ("STRING", 'quo"ted\n', 2 + 8),
        ("JSON", '{"a":1}', 7),
        ("JSON", {"a": 1}, 7),
        ("TIMESTAMP", "2026-01-01T00:00:00Z", 8),
        ("INTEGER", 12, 8),
        ("FLOAT", "NaN", 8),
        ("NUMERIC", "1.50", 16),
        ("BIGNUMERIC", "1.50", 32),
        ("BOOLEAN", True, 1),
        ("DATE", "2026-01-01", 8),
        ("BYTES", "AAEC", 2 + 3),
        ("STRING", None, 0),
        ("JSON", None, 0),
    ],
)
def test_a_value_is_as_large_as_its_type(kind: str, value: Any, size: int) -> None:
    assert json_bytes(value, Field("a", kind)) == size


def test_arrays_and_records_are_as_large_as_what_they_hold() -> None:
    record = Field("a", "RECORD", fields=[Field("n", "INTEGER"), Field("t", "STRING")])
    assert json_bytes({"n": 1, "t": "ab"}, record) == 8 + 4
    assert json_bytes([1, 2, 3], Field("a", "INTEGER", "REPEATED")) == 24
    repeated = msgspec.structs.replace(record, mode="REPEATED")
    assert json_bytes([{"n": 1}, {"t": "ab"}], repeated) == 8 + 4
    assert json_bytes([], repeated) == 0


def test_a_column_that_is_not_known_is_taken_for_text_whatever_the_case() -> None:
    row = msgspec.json.decode(b'{"A":"ab","time":"2026-01-01"}', type=dict[str, msgspec.Raw])
    assert json_row_bytes(row, {}) == 4 + 12
    assert json_row_bytes(row, columns([Field("Time", "TIMESTAMP")])) == 4 + 8


@given(st.lists(st.tuples(st.text(max_size=20), st.none() | st.integers(-(2**63), 2**63 - 1)), max_size=10))
def test_arrow_is_as_large_as_json(rows: list[tuple[str, int | None]]) -> None:
    known = columns([Field("log", "JSON"), Field("name", "STRING"), Field("n", "INTEGER")])
    texts, numbers = [text for text, _ in rows], [number for _, number in rows]
    arrays = [
        pa.array(texts, pa.string()),
        pa.array(texts, pa.large_string()),
        pa.array(numbers, pa.int64()),
    ]
    batch = pa.RecordBatch.from_arrays(arrays, names=["log", "name", "n"])
    as_json = [
        msgspec.json.decode(
            msgspec.json.encode({"log": text, "name": text, "n": number}), type=dict[str, msgspec.Raw]
        )
        for text, number in rows
    ]
    assert arrow_bytes(batch, known) == sum(json_row_bytes(row, known) for row in as_json)


def test_types_of_arrow_have_the_sizes_of_their_columns() -> None:
    moment = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    arrays = {
        "time": pa.array([moment, None], pa.timestamp("us", "UTC")),
        "flag": pa.array([True, None]),
        "price": pa.array([decimal.Decimal("1.5"), None], pa.decimal128(38, 9)),
        "text_price": pa.array(["1.5", None]),
        "list": pa.array([[1, 2], []], pa.list_(pa.int64())),
        "record": pa.array([{"t": "ab"}, None], pa.struct([("t", pa.string())])),
    }
    known = columns(
        [Field("text_price", "NUMERIC"), Field("record", "RECORD", fields=[Field("t", "STRING")])]
    )
    batch = pa.RecordBatch.from_arrays(list(arrays.values()), names=list(arrays))
    assert arrow_bytes(batch, known) == 8 + 1 + 16 + 16 + 16 + 4
