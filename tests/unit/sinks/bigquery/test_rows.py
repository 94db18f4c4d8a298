"""Rows: their table, their identity (I3), and their JSON."""

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from consumer.domain.records import Record
from consumer.domain.routing import table_names
from consumer.sinks.bigquery.rows.encoder import RowEncoder
from consumer.sinks.bigquery.rows.shapes import RowShape
from consumer.sinks.json.rule import BIGQUERY, judge
from tests.unit.builders import ARRIVAL_MS, chunk_of, record
from tests.unit.sinks.bigquery.builders import encoder, fields_row, log_row
from tests.unit.sinks.json_bytes import is_json, payloads, scalars, spelled, texts, values

ARRIVED = "2023-11-14T22:13:20.123Z"


def encode_one(
    payload: bytes, shape: RowShape | None = None, **options: Any
) -> tuple[str, dict[str, Any]] | str:
    """Table and row, or the reason of the rejection."""
    tables, rejections = encoder(shape, **options).tables([record(payload)], [0])
    if rejections:
        assert tables == {}
        assert rejections[0].index == 0
        return rejections[0].reason
    ((name, table),) = tables.items()
    assert table.indices == [0]
    row: dict[str, Any] = json.loads(table.rows[0])
    assert list(row) == ["insertId", "json"]
    return name, row["json"]


keys = st.from_regex(r"[0-9a-fA-F][0-9a-f]{0,31}", fullmatch=True) | st.from_regex(
    '[0-9a-f]["\\\\\n\u2028é\U0001f600]{1,4}', fullmatch=True
)


@given(st.data(), keys)
def test_a_log_row_holds_key_time_and_the_whole_record(data: st.DataObject, key: str) -> None:
    fields = data.draw(st.dictionaries(texts, values, max_size=4))
    payload = data.draw(spelled(st.just({**fields, "k": key, "t": "2023-11-14T00:00:00Z"})))
    assume(judge(payload, BIGQUERY) is None)
    placed = encode_one(payload)
    assert isinstance(placed, tuple)
    name, row = placed
    assert name == f"logs_{key[0].lower()}"
    assert list(row) == ["k", "t", "log"]
    assert (row["k"], row["t"]) == (key, "2023-11-14T00:00:00Z")
    # a JSON column is written as a text that holds JSON, and it is the record byte for byte
    assert row["log"].encode() == payload


@given(st.data(), keys)
def test_a_fields_row_is_the_record_byte_for_byte(data: st.DataObject, key: str) -> None:
    fields = data.draw(st.dictionaries(texts, values, max_size=4))
    payload = data.draw(spelled(st.just({**fields, "k": key, "t": "2023-11-14T00:00:00Z"})))
    assume(judge(payload, BIGQUERY) is None)
    tables, rejections = encoder(fields_row()).tables([record(payload, sequence="9", sub=1)], [0])
    assert rejections == []
    (table,) = tables.values()
    insert_id = json.loads(table.rows[0])["insertId"]
    assert table.rows[0] == b'{"insertId":"%s","json":%s}' % (insert_id.encode(), payload)


@given(st.data(), keys, st.sampled_from([None, "2023-11-14 00:00", "2023-11-14T01:00:00+01:00"]))
def test_a_fields_row_whose_time_is_filled_or_rewritten_keeps_all_other_fields(
    data: st.DataObject, key: str, time: str | None
) -> None:
    fields = data.draw(st.dictionaries(texts, values, max_size=4))
    record_fields = {**fields, "k": key, "t": time}
    if time is None:
        del record_fields["t"]
    payload = data.draw(spelled(st.just(record_fields)))
    assume(judge(payload, BIGQUERY) is None)
    expected_time = ARRIVED if time is None else "2023-11-14T00:00:00.000Z"
    expected = {**json.loads(payload), "t": expected_time}
    assert encode_one(payload, fields_row()) == (f"logs_{key[0].lower()}", expected)


@given(
    st.lists(
        payloads | spelled(st.dictionaries(st.sampled_from(["k", "t", "x"]), scalars)), min_size=1, max_size=6
    )
)
@pytest.mark.parametrize("digits", [0, 1, 2])
@pytest.mark.parametrize("shape", [log_row(), fields_row(), fields_row(column="other")])
def test_I1_I5_every_record_is_a_row_or_a_rejection_and_no_payload_is_an_exception(
    digits: int, shape: RowShape, batch: list[bytes]
) -> None:
    chunk = chunk_of(batch)
    indices = range(len(batch))
    tables, rejections = encoder(shape, key_digits=digits).tables(chunk.records, indices)
    placed = [index for table in tables.values() for index in table.indices]
    assert sorted([*placed, *(rejection.index for rejection in rejections)]) == list(indices)
    assert set(tables) <= set(table_names("logs", digits))
    for table in tables.values():
        assert table.indices == sorted(table.indices)
        for index, row in zip(table.indices, table.rows, strict=True):
            assert is_json(row)
            assert is_json(batch[index])


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b'{"k":""}', "no_key"),
        (b'{"k":null}', "no_key"),
        (b"{}", "no_key"),
        (b'{"k":"g"}', "bad_key"),
        (b'{"k":" a"}', "bad_key"),
        (b'{"k":5}', "bad_key"),
        (b'{"k":false}', "bad_key"),
        (b'{"k":["a"]}', "bad_key"),
        (b'{"k":' + b"9" * 300 + b"}", "bad_key"),
        (b'{"k":' + b"[" * 400 + b"]" * 400 + b"}", "bad_key"),
        (b'{"k":' + b"[" * 900 + b"]" * 900 + b"}", "too_deep"),
        (b'{"k":"a","x":' + b"9" * 5000 + b"}", "bad_number"),
        (b'{"k":"a","' + b"n" * 70_000 + b'":1}', "long_name"),
        (b'{"k":"a","k":"a"}', "repeated_field"),
        ('{"k":"\u0661"}'.encode(), "bad_key"),
        (rb'{"k":"\ud800"}', "not_unicode"),
        (rb'{"k":"a","x":["\ud800"]}', "not_unicode"),
        (b"[]", "not_an_object"),
        (b"nope", "not_json"),
        (b"", "not_json"),
        (b'{"k":"a","t":"1999-01-01T00:00:00Z"}', "time_out_of_range"),
        (b'{"k":"a","t":"2300-01-01T00:00:00Z"}', "time_out_of_range"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_I5_what_has_no_table_is_rejected_with_its_reason(payload: bytes, reason: str) -> None:
    assert encode_one(payload) == reason


@pytest.mark.parametrize(
    ("payload", "placed"),
    [
        (b'{"k":"a","t":null}', ("logs_a", {"k": "a", "t": ARRIVED})),
        (b'{"k":"a","t":"no time"}', ("logs_a", {"k": "a", "t": ARRIVED})),
        (b'{"k":"a","t":""}', ("logs_a", {"k": "a", "t": ARRIVED})),
        (b'{"t":[1,{"t":2}],"k":"a"}', ("logs_a", {"k": "a", "t": ARRIVED})),
        (b'{"k":"a","t":1700000000}', ("logs_a", {"k": "a", "t": ARRIVED})),
        (b'{"k":"a","x":1,"x":2}', ("logs_a", {"k": "a", "x": 2, "t": ARRIVED})),
        (b'{"k":"a","t":"2023-11-14T00:00:00.120Z"}', ("logs_a", "as it came")),
        (
            b'{"k":"a","t":"2023-11-14T00:00:00,120Z"}',
            ("logs_a", {"k": "a", "t": "2023-11-14T00:00:00.120Z"}),
        ),
    ],
    ids=repr,
)
def test_rows_of_fields(payload: bytes, placed: object) -> None:
    expected = placed
    if isinstance(placed, tuple) and placed[1] == "as it came":
        expected = (placed[0], json.loads(payload))
    assert encode_one(payload, fields_row()) == expected


@pytest.mark.parametrize(
    ("payload", "column"),
    [
        (b'{"k":"a","t":"2023-11-14T00:00:00Z"}', "2023-11-14T00:00:00.000Z"),
        (b'{"k":"a"}', ARRIVED),
        (b'{"k":"a","t":"no time"}', ARRIVED),
        (b'{"k":"a","at":null}', ARRIVED),
        (b'{"k":"a","at":"its own","t":"2023-11-14T00:00:00Z"}', "its own"),
    ],
)
def test_a_partition_column_beside_the_time_field_is_filled_where_it_is_empty(
    payload: bytes, column: str
) -> None:
    placed = encode_one(payload, fields_row(column="at"))
    expected = {**json.loads(payload), "at": column if column != "2023-11-14T00:00:00.000Z" else None}
    assert isinstance(placed, tuple)
    if expected["at"] is None:
        expected["at"] = "2023-11-14T00:00:00Z"
    assert placed[1] == expected


@pytest.mark.parametrize(
    ("payload", "key"),
    [
        (b'{"k":"any text"}', "any text"),
        (b'{"k":""}', ""),
        (b"{}", None),
        (b'{"k":5}', "5"),
        (b'{"k":18446744073709551617}', "18446744073709551617"),
        (b'{"k":true}', "true"),
        (b'{"k":["a",{"b":"\\""}]}', '["a",{"b":"\\""}]'),
        (b'{"k":[ 1.50 ]}', "[ 1.50 ]"),
    ],
)
def test_without_key_digits_every_key_has_its_place_and_is_written_as_text(
    payload: bytes, key: str | None
) -> None:
    placed = encode_one(payload, key_digits=0)
    assert placed == ("logs", {"k": key, "t": ARRIVED, "log": payload.decode()})


@pytest.mark.parametrize("payload", [rb'{"k":"\ud800"}', rb'{"k":["\ud800"]}', rb'{"k":{"\udfff":1}}'])
def test_without_key_digits_a_key_that_is_not_unicode_is_rejected(payload: bytes) -> None:
    assert encode_one(payload, key_digits=0) == "not_unicode"


def insert_ids(records: list[Record], row_encoder: RowEncoder) -> list[str]:
    tables, _ = row_encoder.tables(records, range(len(records)))
    return [json.loads(row)["insertId"] for table in tables.values() for row in table.rows]


def test_I3_an_insert_id_is_made_of_stream_shard_sequence_and_sub_sequence() -> None:
    (insert_id,) = insert_ids([record(b'{"k":"a"}', sequence="4957", sub=12)], encoder())
    digest, rest = insert_id.split("-", 1)
    assert len(digest) == 12
    assert rest == "3-4957-12"


def test_I3_an_insert_id_is_the_same_on_every_replay_whatever_the_chunk() -> None:
    records = [record(b'{"k":"a"}', sequence=str(n), sub=n % 2) for n in range(5)]
    assert insert_ids(records, encoder()) == insert_ids(records, encoder())
    assert insert_ids(records[2:], encoder(fields_row())) == insert_ids(records, encoder())[2:]


positions = st.tuples(
    st.sampled_from(["stream", "stream2", "s-1"]),
    st.integers(0, 120).map(lambda number: f"shardId-{number:012}"),
    st.integers(1, 10**4).map(str),
    st.integers(0, 200),
)


@given(positions, positions)
def test_I3_different_records_have_different_insert_ids(
    one: tuple[str, str, str, int], other: tuple[str, str, str, int]
) -> None:
    ids = [
        insert_ids([record(b'{"k":"a"}', sequence=sequence, sub=sub)], encoder(stream=stream, shard=shard))
        for stream, shard, sequence, sub in (one, other)
    ]
    assert (ids[0] == ids[1]) == (one == other)


def test_an_insert_id_fits_into_128_characters_for_the_longest_names_of_kinesis() -> None:
    longest = encoder(stream="s" * 128, shard="shardId-" + "9" * 12)
    (insert_id,) = insert_ids([record(b'{"k":"a"}', sequence="9" * 56, sub=10**9)], longest)
    assert len(insert_id) <= 128
    assert insert_id.isascii()


def test_only_the_asked_for_records_are_encoded_and_keep_their_indices() -> None:
    chunk = chunk_of([b'{"k":"a"}', b"nope", b'{"k":"a"}', b'{"k":""}', b'{"k":"b"}'])
    tables, rejections = encoder().tables(chunk.records, [1, 2, 3, 4])
    assert {name: table.indices for name, table in tables.items()} == {"logs_a": [2], "logs_b": [4]}
    assert [(each.index, each.reason) for each in rejections] == [(1, "not_json"), (3, "no_key")]


def test_upper_and_lower_case_keys_share_a_table_and_keep_their_case() -> None:
    chunk = chunk_of([b'{"k":"AB"}', b'{"k":"ab"}', b'{"k":"aB"}'])
    tables, _ = encoder(key_digits=2).tables(chunk.records, range(3))
    assert list(tables) == ["logs_ab"]
    assert [json.loads(row)["json"]["k"] for row in tables["logs_ab"].rows] == ["AB", "ab", "aB"]


def test_a_rejected_key_is_shown_only_in_its_beginning() -> None:
    _, (rejection,) = encoder().tables([record(b'{"k":"' + b"z" * 10_000 + b'"}')], [0])
    assert dataclasses.astuple(rejection)[:2] == (0, "bad_key")
    assert len(rejection.detail) < 200
    assert "'zzz" in rejection.detail


def test_a_time_fallback_is_the_arrival_of_the_record_itself() -> None:
    records = [record(b'{"k":"a"}', sequence=str(n), arrival_ms=ARRIVAL_MS + n) for n in range(3)]
    tables, _ = encoder().tables(records, range(3))
    times = [json.loads(row)["json"]["t"] for row in tables["logs_a"].rows]
    assert times == ["2023-11-14T22:13:20.123Z", "2023-11-14T22:13:20.124Z", "2023-11-14T22:13:20.125Z"]


@pytest.mark.parametrize(
    ("payload", "digits", "detail"),
    [
        (b'{"k":123}', 1, "k is no text: 123"),
        (b'{"k":["a"]}', 1, 'k is no text: ["a"]'),
        (b'{"k":"zoe"}', 1, "k does not begin with 1 hex digit: 'zoe'"),
        (b'{"k":"ag"}', 2, "k does not begin with 2 hex digits: 'ag'"),
    ],
)
def test_a_key_without_a_table_is_told_as_what_it_is_and_with_the_cure(
    payload: bytes, digits: int, detail: str
) -> None:
    _, (rejection,) = encoder(key_digits=digits).tables([record(payload)], [0])
    assert (
        rejection.detail == f"{detail}; with bigquery.key_digits = 0 any key will do, and there is one table"
    )
    tables, rejections = encoder(key_digits=0).tables([record(payload)], [0])
    assert (list(tables), rejections) == (["logs"], [])


def test_a_record_without_a_key_is_told_the_setting_that_names_the_field() -> None:
    _, (rejection,) = encoder().tables([record(b"{}")], [0])
    assert rejection.detail == "no value in k (record.key_field)"
