"""JSON columns as texts, and fields without a column, at every depth."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.settings.schema import Column
from consumer.sinks.bigquery.rows.reshape import Reshaper
from consumer.sinks.json.rule import BIGQUERY, judge
from tests.unit.sinks.json_bytes import payloads, texts, values

COLUMNS = (
    Column("a", "STRING"),
    Column("j", "JSON"),
    Column("js", "JSON", "REPEATED"),
    Column("r", "RECORD", fields=(Column("x", "INTEGER"), Column("j", "JSON"))),
    Column("rs", "RECORD", "REPEATED", fields=(Column("x", "INTEGER"), Column("j", "JSON"))),
)
PLAIN = (
    Column("a", "STRING"),
    Column("tags", "STRING", "REPEATED"),
    Column("r", "RECORD", fields=(Column("x", "INTEGER"),)),
    Column("rs", "RECORD", "REPEATED", fields=(Column("x", "INTEGER"),)),
)


def reshaped(
    payload: bytes, columns: tuple[Column, ...] = COLUMNS, *, text: bool = True, overflow: str | None = None
) -> Any:
    return json.loads(Reshaper(columns, json_as_text=text, overflow=overflow)(payload))


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b'{"j":{"b": [1,2.50]}}', {"j": '{"b": [1,2.50]}'}),
        (b'{"j":"text"}', {"j": '"text"'}),
        (b'{"j":null,"js":null,"r":null,"rs":null}', {"j": None, "js": None, "r": None, "rs": None}),
        (b'{"J":1}', {"J": "1"}),
        (b'{"js":[{"b":1},2,"c",null]}', {"js": ['{"b":1}', "2", '"c"', "null"]}),
        (b'{"r":{"x":1,"j":{"b":1}}}', {"r": {"x": 1, "j": '{"b":1}'}}),
        (b'{"rs":[{"j":[]},{"x":2}]}', {"rs": [{"j": "[]"}, {"x": 2}]}),
        # not what the column is made for: left for BigQuery to refuse
        (b'{"js":5,"r":[1],"rs":{"x":1}}', {"js": 5, "r": [1], "rs": {"x": 1}}),
        (b'{"a":"x","other":{"j":1}}', {"a": "x", "other": {"j": 1}}),
        (b"{}", {}),
    ],
)
def test_a_json_column_becomes_a_text_that_holds_its_value(payload: bytes, expected: object) -> None:
    assert reshaped(payload) == expected


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b'{"a":"x","new":1.50,"other":null}', {"a": "x", "o": {"new": 1.5, "other": None}}),
        (b'{"r":{"x":1,"y":2}}', {"r": {"x": 1}, "o": {"r": {"y": 2}}}),
        (
            b'{"rs":[{"x":1},{"y":2},{"y":3}]}',
            {"rs": [{"x": 1}, {}, {}], "o": {"rs": [{}, {"y": 2}, {"y": 3}]}},
        ),
        (b'{"A":"x"}', {"A": "x"}),
        (b'{"o":7}', {"o": {"o": 7}}),
        (
            b'{"a":"x","r":{"x":1},"rs":null,"tags":["t"]}',
            {"a": "x", "r": {"x": 1}, "rs": None, "tags": ["t"]},
        ),
    ],
)
def test_fields_without_a_column_go_into_the_overflow(payload: bytes, expected: object) -> None:
    assert reshaped(payload, PLAIN, text=False, overflow="o") == expected


def test_the_overflow_is_a_json_column_itself() -> None:
    assert reshaped(b'{"new":{"b": 1}}', PLAIN, overflow="o") == {"o": '{"new":{"b": 1}}'}


@given(
    st.fixed_dictionaries({}, optional={"a": st.text(), "tags": st.lists(st.text()), "r": st.just({"x": 1})})
)
def test_a_record_that_fits_keeps_its_bytes(record: dict[str, Any]) -> None:
    payload = json.dumps(record).encode()
    assert Reshaper(PLAIN, json_as_text=True, overflow="o")(payload) is payload


def test_nothing_is_needed_without_json_columns_and_overflow() -> None:
    assert not Reshaper(PLAIN, json_as_text=True, overflow=None).is_needed
    assert not Reshaper(COLUMNS, json_as_text=False, overflow=None).is_needed
    assert Reshaper(COLUMNS, json_as_text=True, overflow=None).is_needed


@given(st.dictionaries(st.sampled_from([*"ajr", "js", "rs", "new"]) | texts, values, max_size=6))
def test_no_value_is_lost(record: dict[str, Any]) -> None:
    """What was taken out is in the overflow, what was rewritten holds what it held."""
    before = json.dumps(record).encode()
    if judge(before, BIGQUERY) is not None:
        return  # half of a surrogate pair
    result = reshaped(before, overflow="o")
    rest = json.loads(result.pop("o", "{}"))
    # as it was read: two halves of a surrogate pair side by side are one character in JSON
    assert set(result) | set(rest) == set(json.loads(before))
    if record.get("j") is not None:
        assert json.loads(result["j"]) == json.loads(before)["j"]


@given(payloads)
def test_no_object_that_was_judged_is_an_exception(payload: bytes) -> None:
    if judge(payload, BIGQUERY) is None and payload.lstrip().startswith(b"{"):
        Reshaper(COLUMNS, json_as_text=True, overflow="o")(payload)
