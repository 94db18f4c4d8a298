"""Formats of objects: the same records are the same bytes (I2), and other tools read them back."""

import gzip
import json
import random
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from consumer.domain.chunks import Chunk
from consumer.domain.columns import Records
from consumer.domain.records import Record
from consumer.native import library
from consumer.settings import load
from consumer.sinks.s3.build import sink_of
from consumer.sinks.s3.sink import S3Sink
from tests.unit.builders import ARRIVAL_MS, chunk_of

SCHEMA = [
    {"name": "player_id", "type": "STRING"},
    {"name": "time", "type": "TIMESTAMP", "mode": "REQUIRED"},
    {"name": "score", "type": "INTEGER"},
    {"name": "ratio", "type": "FLOAT"},
    {"name": "won", "type": "BOOLEAN"},
    {"name": "born", "type": "DATE"},
    {"name": "price", "type": "NUMERIC"},
    {"name": "note", "type": "JSON"},
    {"name": "tags", "type": "STRING", "mode": "REPEATED"},
]
RARE = [*SCHEMA, {"name": "raw", "type": "BYTES"}]
"""With a type that pyarrow makes, and not the C library."""

FORMATS = ("ndjson.gz", "ndjson.zst", "parquet", "parquet fields", "parquet rare")


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("schemas")
    for name, columns in (("fields", SCHEMA), ("rare", RARE)):
        (folder / name).write_text(json.dumps(columns))
    return {name: str(folder / name) for name in ("fields", "rare")}


def sink(name: str, schemas: dict[str, str], **overrides: str) -> S3Sink:
    form, _, columns = name.partition(" ")
    chosen = {"s3.bucket": "bucket", "s3.format": form, "s3.unknown_fields": "ignore"}
    if columns:
        chosen["s3.schema_file"] = schemas[columns]
    named = {key.replace("__", "."): text for key, text in overrides.items()}
    return sink_of(load("s3", overrides=chosen | named), "shardId-000000000003", client=None)


def payload(number: int) -> bytes:
    """Some of them with values that have to be adjusted, or do not fit, or are no JSON."""
    if number % 17 == 5:
        return b"nope"
    values: dict[str, Any] = {"player_id": f"{number:04x}", "time": "2023-11-14T22:13:20Z"}
    values |= {"score": str(number), "ratio": number / 7, "won": number % 2 == 0, "price": number / 8}
    values |= {
        "born": "2001-02-03",
        "note": {"n": number, "s": "é" * (number % 3)},
        "tags": ["a", str(number)],
    }
    if number % 13 == 2:
        values["score"] = "none"
    if number % 11 == 3:
        values = {"player_id": None, "time": 5, "x": number}
    return json.dumps(values, ensure_ascii=number % 2 == 0).encode()


PAYLOADS = [payload(number) for number in range(1200)]


def bodies(sink: S3Sink, chunk: Chunk) -> dict[str, bytes]:
    return {request.key: bytes(request.body) for request in sink.prepare(chunk).requests}


def in_batches(records: Sequence[Record], sizes: Sequence[int]) -> Chunk:
    """A chunk that came in batches of these sizes, and then the rest."""
    grown = Records()
    begin = 0
    for size in (*sizes, len(records)):
        grown.extend(Records.of(records[begin : begin + size]))
        begin += size
    return Chunk(grown)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("template", ["won={won|none}/%Y", "{won|none}/{score|x}"])
def test_I2_the_same_chunk_is_the_same_bytes_however_it_came(
    name: str, template: str, schemas: dict[str, str]
) -> None:
    records = list(chunk_of(PAYLOADS).records)
    options = {"s3__key_template": template, "s3__max_routes": "3"}
    used = sink(name, schemas, **options)
    first = bodies(used, in_batches(records, []))
    assert 1 < len(first) <= 4
    chance = random.Random(1)
    for _ in range(3):
        sizes = [chance.randint(1, 400) for _ in range(chance.randint(1, 20))]
        assert bodies(used, in_batches(records, sizes)) == first
        assert bodies(sink(name, schemas, **options), in_batches(records, sizes)) == first


@pytest.mark.parametrize("name", FORMATS)
def test_I2_the_c_library_writes_what_python_writes(name: str, schemas: dict[str, str]) -> None:
    found = []
    for without in (patch.object(library, "load", lambda: None), nullcontext()):
        with without:
            prepared = sink(name, schemas, s3__row_group_records="1000").prepare(chunk_of(PAYLOADS))
        found.append(
            (
                {each.key: bytes(each.body) for each in prepared.requests},
                [(each.index, each.reason) for each in prepared.rejections],
            )
        )
    assert found[0] == found[1]


@given(sizes=st.lists(st.integers(1, 60), max_size=6), start=st.integers(0, 1000))
def test_I2_the_bytes_of_parquet_do_not_depend_on_batches(sizes: list[int], start: int) -> None:
    made = sink("parquet", {})
    records = list(chunk_of(PAYLOADS[start : start + 80], first=start + 1).records)
    assert bodies(made, in_batches(records, sizes)) == bodies(made, in_batches(records, []))


def only_body(sink: S3Sink, payloads: Sequence[bytes], extension: str) -> bytes:
    ((key, body),) = bodies(sink, chunk_of(payloads)).items()
    assert key.endswith(f"-1-{len(payloads)}.{extension}")
    return body


def test_zstandard_holds_the_lines_of_gzip(schemas: dict[str, str]) -> None:
    packed = only_body(sink("ndjson.zst", schemas), PAYLOADS, "ndjson.zst")
    plain = gzip.decompress(only_body(sink("ndjson.gz", schemas), PAYLOADS, "ndjson.gz"))
    assert pa.input_stream(pa.py_buffer(packed), compression="zstd").read() == plain
    assert packed[4] & 4, "the frame ends with a checksum"


def test_duckdb_reads_the_columns_of_the_schema(schemas: dict[str, str], tmp_path: Path) -> None:
    prepared = sink("parquet fields", schemas).prepare(chunk_of(PAYLOADS[:12]))
    assert [(each.index, each.reason) for each in prepared.rejections] == [(2, "rejected"), (5, "not_json")]
    (request,) = prepared.requests
    file = tmp_path / "object.parquet"
    file.write_bytes(request.body)
    rows = duckdb.sql(f"SELECT * EXCLUDE (time), epoch_ms(time) FROM '{file}'")
    assert dict(zip(rows.columns, map(str, rows.types), strict=True)) == {
        "player_id": "VARCHAR",
        "score": "BIGINT",
        "ratio": "DOUBLE",
        "won": "BOOLEAN",
        "born": "DATE",
        "price": "DECIMAL(38,9)",
        "note": "VARCHAR",
        "tags": "VARCHAR[]",
        'epoch_ms("time")': "BIGINT",
    }
    found = rows.fetchall()
    assert len(found) == request.records == 10
    player, score, ratio, won, _, price, note, tags, time_ms = found[1]
    assert (player, score, ratio, won, float(price)) == ("0001", 1, 1 / 7, False, 0.125)
    assert (json.loads(note), tags, time_ms) == ({"n": 1, "s": "é"}, ["a", "1"], 1_700_000_000_000)
    assert found[2] == (None, None, None, None, None, None, None, [], ARRIVAL_MS)


def test_without_a_schema_any_object_is_a_row_of_key_time_and_log(schemas: dict[str, str]) -> None:
    payloads = [b'{"player_id":17,"time":"2020-02-03T04:05:06Z","x":{"y":[1]}}', b'{"n":1}']
    table = parquet.read_table(pa.py_buffer(only_body(sink("parquet", schemas), payloads, "parquet")))
    assert table.column_names == ["player_id", "time", "log"]
    assert table["player_id"].to_pylist() == ["17", None]
    assert table["log"].to_pylist() == [each.decode() for each in payloads]
    assert [round(each.timestamp() * 1000) for each in table["time"].to_pylist()] == [
        1_580_702_706_000,
        ARRIVAL_MS,
    ]


def test_fields_without_a_column_are_dead_letters_left_out_or_in_the_overflow(
    schemas: dict[str, str],
) -> None:
    chunk = chunk_of([b'{"player_id":"a","more":[1]}'])
    (rejection,) = sink("parquet fields", schemas, s3__unknown_fields="reject").prepare(chunk).rejections
    assert rejection.reason == "rejected"
    made = sink("parquet fields", schemas, s3__unknown_fields="overflow", s3__overflow_column="rest")
    ((_, body),) = bodies(made, chunk).items()
    assert parquet.read_table(pa.py_buffer(body))["rest"].to_pylist() == ['{"more":[1]}']


def test_rows_are_cut_into_groups_and_compressed_as_the_settings_say(schemas: dict[str, str]) -> None:
    made = sink("parquet", schemas, s3__row_group_records="1000", s3__compression_level="19")
    payloads = [b'{"player_id":"%d"}' % number for number in range(2500)]
    found = parquet.ParquetFile(pa.py_buffer(only_body(made, payloads, "parquet"))).metadata
    groups = [found.row_group(number) for number in range(found.num_row_groups)]
    assert [group.num_rows for group in groups] == [1000, 1000, 500]
    assert {group.column(0).compression for group in groups} == {"ZSTD"}


def test_a_chunk_whose_records_are_no_rows_makes_no_object(schemas: dict[str, str]) -> None:
    prepared = sink("parquet fields", schemas).prepare(chunk_of([b"nope", b"[]"]))
    assert prepared.requests == []
    assert [each.reason for each in prepared.rejections] == ["not_json", "not_an_object"]


def test_times_that_hold_none_are_told_by_rows_too(schemas: dict[str, str]) -> None:
    prepared = sink("parquet", schemas).prepare(chunk_of([b'{"time":"soon"}', b"{}"]))
    assert prepared.unread is not None
    assert prepared.unread.count == 1
