"""Setting one member of an object leaves the spelling of the others alone."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.sinks.members import set_member
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
    assert changed == f'{{"n":{kept}{half},"m":"new"}}'.encode()


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
    assert changed.count(b'"m"') == 1


@pytest.mark.parametrize("empty", [b"{}", b" { } ", b"{\n}"])
def test_an_empty_object_gets_its_first_member(empty: bytes) -> None:
    assert set_member(empty, "m", NEW, replace=False) == b'{"m":"new"}'


def test_deep_nesting_is_copied_too() -> None:
    deep = b"[" * 5000 + b"]" * 5000
    for half in (b"", rb'"x":"\ud800",'):
        assert deep in set_member(b'{%s"d":%s}' % (half, deep), "m", NEW, replace=True)
