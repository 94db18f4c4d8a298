"""From records to Arrow rows, and which records make none."""

import json
from array import array
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.records import Record
from consumer.settings.values import Value
from consumer.sinks.bigquery.arrow_rows.log_rows import MAX_ROW_BYTES, LogRows, Rows
from tests.unit.sinks.bigquery.storage_write.builders import log_rules

ARRIVAL_MS = 1_767_322_000_000
KEY = "a" * 32


def maker(**changes: Value) -> LogRows:
    return LogRows(log_rules(**changes))


def records(*payloads: bytes | dict[str, Any]) -> list[Record]:
    return [
        Record(one if isinstance(one, bytes) else json.dumps(one).encode(), "key", str(number), 0, ARRIVAL_MS)
        for number, one in enumerate(payloads)
    ]


def decoded(own: LogRows, rows: Rows) -> list[dict[str, Any]]:
    schema = pa.ipc.read_schema(pa.py_buffer(own.schema))
    message = pa.py_buffer(own.batch(rows).serialize_after(b""))
    batch: list[dict[str, Any]] = pa.ipc.read_record_batch(message, schema).to_pylist()
    return batch


def test_a_row_is_key_time_and_the_record_as_it_came() -> None:
    own = maker()
    payload = '{"player_id":"A1", "time":"2026-01-02T03:04:05.678901Z","name":"Zoë ✨"}'.encode()
    tables, rejections = own.make(records(payload), [0])
    (row,) = decoded(own, tables["player_log_a"])
    assert rejections == []
    assert row["player_id"] == "A1"
    assert row["time"].isoformat() == "2026-01-02T03:04:05.678901+00:00"
    assert row["log"].encode() == payload


def test_a_record_without_a_time_has_that_of_its_arrival() -> None:
    own = maker()
    tables, _ = own.make(records({"player_id": KEY}), [0])
    (row,) = decoded(own, tables["player_log_a"])
    assert row["time"].timestamp() * 1000 == ARRIVAL_MS


def test_rows_go_to_the_tables_of_their_keys_in_order() -> None:
    some = records(*({"player_id": f"{digit}{number}"} for number, digit in enumerate("abab")))
    tables, _ = maker().make(some, range(4))
    assert {name: list(rows.indices) for name, rows in tables.items()} == {
        "player_log_a": [0, 2],
        "player_log_b": [1, 3],
    }


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"not json", "not_json"),
        (b"[1]", "not_an_object"),
        (b'{"time":null}', "no_key"),
        (b'{"player_id":""}', "no_key"),
        (b'{"player_id":"xyz"}', "bad_key"),
        (b'{"player_id":7}', "bad_key"),
        (b'{"player_id":"a\\ud800"}', "not_unicode"),
        (b'{"player_id":"a","time":"1999-01-01T00:00:00Z"}', "time_out_of_range"),
        (b'{"player_id":"a","x":"%b"}' % (b"y" * MAX_ROW_BYTES), "too_large"),
    ],
)
def test_a_record_that_makes_no_row_is_told_by_its_index(payload: bytes, reason: str) -> None:
    good = {"player_id": KEY}
    tables, rejections = maker().make(records(good, payload, good), [0, 1, 2])
    assert [(one.index, one.reason) for one in rejections] == [(1, reason)]
    assert list(tables["player_log_a"].indices) == [0, 2]


KEYS = st.sampled_from(["a1", "A2", "b3", "é", "", "xyz", "a\ud800", None, 7, ["a"], {"a": 1}])
GOOD_TIMES = ("2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05Z", "2026-01-02 03:04:05", "soon", None, 7)
BAD_TIMES = ("2026-02-30T00:00:00Z", "1999-01-01T00:00:00Z", "1999-01-01T00:00:00.000Z")
TIMES = st.sampled_from([*GOOD_TIMES, *BAD_TIMES])
PAYLOADS = st.one_of(
    st.fixed_dictionaries({"player_id": KEYS, "time": TIMES}),
    st.sampled_from([{}, b"not json", b"[1]", b'{"player_id":"a1","time":"2026-01-02T03:04:05.678Z"}']),
)


@given(payloads=st.lists(PAYLOADS, max_size=8), digits=st.integers(0, 1))
def test_records_make_together_what_they_make_one_by_one(
    payloads: list[bytes | dict[str, Any]], digits: int
) -> None:
    own = maker(**{"bigquery.key_digits": digits})
    some = records(*payloads)
    tables, rejections = own.make(some, range(len(some)))
    alone = [own.make(some, [index]) for index in range(len(some))]
    assert sorted(rejections, key=lambda each: each.index) == [one for _, made in alone for one in made]
    expected: dict[str, list[dict[str, Any]]] = {}
    for made, _ in alone:
        for name, rows in made.items():
            expected.setdefault(name, []).extend(decoded(own, rows))
    assert {name: decoded(own, rows) for name, rows in tables.items()} == expected
    assert all(list(rows.indices) == sorted(rows.indices) for rows in tables.values())


def test_many_records_are_judged_in_slices_and_none_is_left_out() -> None:
    some = records(*({"player_id": "ab"[number % 2]} for number in range(1201)), b"not json")
    tables, rejections = maker().make(some, range(1, 1202))
    assert list(tables["player_log_a"].indices) == list(range(2, 1201, 2))
    assert list(tables["player_log_b"].indices) == list(range(1, 1201, 2))
    assert [one.index for one in rejections] == [1201]


def test_without_key_digits_any_key_has_its_place() -> None:
    own = maker(**{"bigquery.key_digits": 0})
    tables, rejections = own.make(
        records({"player_id": 7}, {"player_id": None}, {"player_id": "x"}), range(3)
    )
    assert rejections == []
    assert [row["player_id"] for row in decoded(own, tables["player_log"])] == ["7", None, "x"]


def test_parts_stay_below_the_limit_and_lose_nothing() -> None:
    rows = Rows(array("I", range(5)), (list("abcde"),), array("I", [40, 40, 40, 200, 10]))
    parts = list(rows.parts(100))
    assert [list(part.indices) for part in parts] == [[0, 1], [2], [3], [4]]
    assert [cell for part in parts for cell in part.cells[0]] == list("abcde")
    assert list(rows.part(5, 5).parts(100)) == []
    assert list(rows.without({1, 3}).indices) == [0, 2, 4]
