"""Setting one member of an object leaves the spelling of the others alone."""

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.sinks.json.members import (
    count_values,
    items,
    json_text,
    members,
    name_of,
    set_member,
    with_members,
)
from tests.unit.sinks.json_bytes import spelled, texts, values

NEW = b'"new"'


@given(st.data(), st.dictionaries(texts | st.just("m"), values, max_size=5), st.booleans())
def test_all_other_members_keep_their_values(
    data: st.DataObject, members: dict[str, object], replace: bool
) -> None:
    payload = data.draw(spelled(st.just(members)))
    before = json.loads(payload)  # not `members`: two halves of a surrogate pair become one character
    is_set = replace or before.get("m") is None
    changed = json.loads(set_member(payload, "m", NEW, replace=replace))
    assert changed == {**before, "m": "new" if is_set else before["m"]}


@pytest.mark.parametrize("half", ["", r',"x":"\ud800"', r',"\udfff":1'])
@pytest.mark.parametrize(
    ("number", "kept"),
    [("1.0", "1.0"), ("1e999", "1e999"), ("1E+2", "1E+2"), ("9" * 5000, "9" * 5000), ("[ 1 ]", "[ 1 ]")],
)
def test_values_are_copied_as_they_are_spelled(half: str, number: str, kept: str) -> None:
    payload = f'{{ "n" :{number} {half}}}'.encode()
    changed = set_member(payload, "m", NEW, replace=True)
    assert changed == f'{{ "n" :{kept} {half},"m":"new"}}'.encode().replace(b' ,"m', b',"m')


@pytest.mark.parametrize("half", [b"", rb',"x":"\ud800"'])
@pytest.mark.parametrize(
    ("member", "replace", "expected"),
    [
        (b'"m":null', False, "new"),
        (b'"m": null ', False, "new"),
        (b'"n":1', False, "new"),
        (b'"m":""', False, ""),
        (b'"m":0', False, 0),
        (b'"m":0', True, "new"),
        (rb'"\u006d":0', True, "new"),
        (rb'"\u006d":0', False, 0),
        (b'"m":1,"m":null', False, "new"),
        (b'"m":null,"m":1', False, 1),
    ],
)
def test_a_member_that_is_there_is_kept_unless_it_is_to_be_replaced(
    half: bytes, member: bytes, replace: bool, expected: object
) -> None:
    changed = set_member(b"{%s%s}" % (member, half), "m", NEW, replace=replace)
    assert json.loads(changed)["m"] == expected
    assert [name_of(each.raw_name) for each in members(changed)].count("m") == 1


@pytest.mark.parametrize("empty", [b"{}", b" { } ", b"{\n}"])
def test_an_empty_object_gets_its_first_member(empty: bytes) -> None:
    assert json.loads(set_member(empty, "m", NEW, replace=False)) == {"m": "new"}


def test_deep_nesting_is_copied_too() -> None:
    deep = b"[" * 5000 + b"]" * 5000
    for half in (b"", rb'"x":"\ud800",'):
        assert deep in set_member(b'{%s"d":%s}' % (half, deep), "m", NEW, replace=True)


objects = st.dictionaries(texts | st.just("m"), values, max_size=6)


@given(spelled(objects))
def test_members_stand_where_they_say(payload: bytes) -> None:
    pairs = json.loads(payload, object_pairs_hook=list)
    found = list(members(payload))
    assert [name_of(each.raw_name) for each in found] == [name for name, _ in pairs]
    for each, (_, value) in zip(found, pairs, strict=True):
        assert json.loads(payload[each.value : each.end], object_pairs_hook=list) == value
        named = b"{%b}" % payload[each.begin : each.end]
        assert json.loads(named, object_pairs_hook=list) == [(name_of(each.raw_name), value)]


@given(spelled(objects), st.data())
def test_the_members_that_are_kept_keep_their_bytes(payload: bytes, data: st.DataObject) -> None:
    kept = [each for each in members(payload) if data.draw(st.booleans())]
    left = with_members(payload, lambda each: each in kept)
    assert left == b"{%b}" % b",".join(payload[each.begin : each.end] for each in kept)


@given(spelled(st.lists(values, max_size=6)))
def test_items_are_the_values_of_an_array(payload: bytes) -> None:
    assert [json.loads(each) for each in items(payload)] == json.loads(payload)


def count_of(value: object) -> int:
    if isinstance(value, dict):
        return sum(map(count_of, value.values())) or 1
    return sum(map(count_of, value)) or 1 if isinstance(value, list) else 1


@given(spelled(values))
def test_values_are_counted_without_reading_them(payload: bytes) -> None:
    """Those that are there, and no more than the brackets around them beside."""
    count = count_of(json.loads(payload))
    brackets = payload.count(b"[") + payload.count(b"{")
    assert count <= count_values(payload, len(payload)) <= 1 + payload.count(b",") + brackets
    assert count_values(payload, 0) == 1
    assert count_values(payload, 1) == min(count_values(payload, len(payload)), 2)


@given(spelled(values))
def test_a_value_as_a_text_holds_its_spelling(payload: bytes) -> None:
    assert json.loads(bytes(json_text(payload))).encode() == payload


def test_a_name_that_is_there_very_often_takes_no_memory() -> None:
    payload = b"{" + b'"m":1,' * 20_000 + b'"m":2}'
    tracemalloc.start()
    try:
        changed = set_member(payload, "m", NEW, replace=True)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert changed == b'{"m":"new"}'
    assert peak < 4 * len(payload)
