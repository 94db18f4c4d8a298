"""What counts as JSON, and what the routing fields hold."""

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from consumer.domain.dead_letters import Rejection
from consumer.sinks.payloads import NotJson, RoutingReader, find_invalid_json, strict_json
from tests.unit.sinks.json_bytes import is_json, payloads, scalars, spelled, texts, values

DEEP = 100_000
HUGE = b"9" * 5000

VALID = [
    b"{}",
    b"[]",
    b"0",
    b"-0",
    b"1E+5",
    b"0.0e-0",
    b"1e999",
    HUGE,
    b"-" + HUGE,
    b'""',
    b"null",
    b" \r\n\t1 \n",
    rb'"\ud800"',
    rb'"\ud800\ud800"',
    rb'"\udc00\ud800"',
    rb'"\u00e9\/\b"',
    b'{"a":1,"a":2}',
    '{"é":"\U0001f600\u2028"}'.encode(),
    b'"\x7f"',
    b"[" * 500 + b"]" * 500,
]

INVALID = [
    b"",
    b" ",
    b"\n",
    b"\xef\xbb\xbf{}",
    b"\xff",
    b'"\xff"',
    b'"\xed\xa0\x80"',  # a surrogate in bytes
    b'"\xc0\x80"',  # an overlong NUL
    b'"\xc3',
    b'{"a":"\xe2\x82"}',
    b'"a\nb"',
    b'"a\tb"',
    b'"\x00"',
    rb'"\x41"',
    rb'"\u12"',
    b'"a',
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b'{"a":NaN}',
    b"nul",
    b"truex",
    b"01",
    b"-",
    b"+1",
    b".5",
    b"1.",
    b"1e",
    b"0x1",
    b"1 2",
    b"{}{}",
    b"[1,]",
    b'{"a":1,}',
    b'{"a"}',
    b"{1:2}",
    b"{a:1}",
    b"'a'",
    b"[",
    b"]",
    b"[1}",
    b"\x0c1",
    b"\xc2\xa01",
    b"// 1",
    "{}".encode("utf-16"),
    b"[" * DEEP,
    b"[" * DEEP + b"]" * DEEP,
    b'{"a":' * DEEP + b"1" + b"}" * DEEP,
]


@pytest.mark.parametrize("payload", VALID, ids=lambda payload: repr(payload[:20]))
def test_json_is_taken(payload: bytes) -> None:
    assert find_invalid_json([payload], b"\n".join([payload])) == []
    strict_json(payload)


@pytest.mark.parametrize("payload", INVALID, ids=lambda payload: repr(payload[:20]))
def test_what_is_not_json_is_found_with_a_reason(payload: bytes) -> None:
    (rejection,) = find_invalid_json([payload], b"\n".join([payload]))
    assert (rejection.index, rejection.reason) == (0, "not_json")
    assert rejection.detail
    with pytest.raises(NotJson):
        strict_json(payload)


@settings(max_examples=150)
@given(payloads)
def test_one_payload_is_judged_as_the_definition_says(payload: bytes) -> None:
    assert (find_invalid_json([payload], b"\n".join([payload])) == []) == is_json(payload)


@given(st.lists(payloads, max_size=6))
@example([b'"\xc3', b'\xa9"'])  # valid UTF-8 only if the two ran together
@example([b"{}", b"[" * DEEP, b"1", b'"\xff"'])
def test_a_batch_is_judged_like_its_payloads_one_by_one(batch: list[bytes]) -> None:
    expected = [
        Rejection(index, alone[0].reason, alone[0].detail)
        for index, payload in enumerate(batch)
        if (alone := find_invalid_json([payload], b"\n".join([payload])))
    ]
    assert find_invalid_json(batch, b"\n".join(batch)) == expected


@given(spelled(values))
def test_strict_json_gives_the_value(payload: bytes) -> None:
    assert strict_json(payload) == json.loads(payload)


def reader(key_field: str = "k", time_field: str = "t") -> RoutingReader:
    return RoutingReader(key_field=key_field, time_field=time_field)


def read_one(payload: bytes) -> tuple[object, object] | str:
    """Key and time, or the reason of the rejection."""
    (found,), rejections = reader().read([payload])
    if found is None:
        return rejections[0].reason
    assert rejections == []
    return found.key, found.time


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b'{"k":"a","t":"b"}', ("a", "b")),
        (b'{"t":1.5,"x":[{"k":"no"}],"k":2}', (2, 1.5)),
        (b"{}", (None, None)),
        (b'{"k":null}', (None, None)),
        (b'{"K":"a"}', (None, None)),
        (b'{"k":"a","k":"b"}', ("b", None)),
        (b'{"k":"a","k":null}', (None, None)),
        (rb'{"\u006b":"a"}', ("a", None)),
        (rb'{"k":"a\ud800"}', ("a\ud800", None)),
        (rb'{"k":"a","x":"\ud800"}', ("a", None)),
        (rb'{"k":"a","\ud800":1}', ("a", None)),
        (b'{"t":1e999}', (None, float("inf"))),
        (b'{"t":' + HUGE + b"}", (None, float("inf"))),
        (b'{"t":18446744073709551616}', (None, 2**64)),
        (b'{"k":"a","x":' + HUGE + b"}", ("a", None)),
        (b' {"k" : "a" }\n', ("a", None)),
        (b"[]", "not_an_object"),
        (b"[1]", "not_an_object"),
        (b'"k"', "not_an_object"),
        (b"5", "not_an_object"),
        (b"true", "not_an_object"),
        (b"null", "not_an_object"),
        (rb'"\ud800"', "not_an_object"),
        (b"", "not_json"),
        (b'\xef\xbb\xbf{"k":"a"}', "not_json"),
        (b'{"k":"\xff"}', "not_json"),
        (b'{"x":"\xff"}', "not_json"),
        (b'{"\xff":1}', "not_json"),
        (b'{"x":"\n"}', "not_json"),
        (b'{"x":01}', "not_json"),
        (b'{"k":NaN}', "not_json"),
        (b'{"x":Infinity}', "not_json"),
        (b'{"k":"a"}x', "not_json"),
        (b'{"k":"a"', "not_json"),
        (b'{"k":' + b"[" * DEEP + b"]" * DEEP + b"}", "not_json"),
        (b'{"x":' + b"[" * DEEP + b"]" * DEEP + b"}", "not_json"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_the_routing_fields_of_one_payload(payload: bytes, expected: tuple[object, object] | str) -> None:
    assert read_one(payload) == expected


def test_a_payload_that_is_no_object_says_what_it_is() -> None:
    _, rejections = reader().read([b"[]", b"5", b"null"])
    assert [rejection.detail for rejection in rejections] == [
        "a JSON array, not an object",
        "a JSON number, not an object",
        "a JSON null, not an object",
    ]


objects = st.dictionaries(st.sampled_from(["k", "t", "x"]) | texts, scalars | values, max_size=5)


def fields_of(found: list[Any]) -> list[tuple[object, object] | None]:
    return [None if each is None else (each.key, each.time) for each in found]


@given(st.lists(spelled(objects) | payloads, max_size=6))
@example([b'{"k":"\xc3', b'\xa9"}'])
def test_a_batch_is_read_like_its_payloads_one_by_one(batch: list[bytes]) -> None:
    found, rejections = reader().read(batch)
    alone, alone_rejections = reader()._read_one_by_one(batch)
    assert fields_of(found) == fields_of(alone)
    assert rejections == alone_rejections
    assert [index for index, each in enumerate(found) if each is None] == [each.index for each in rejections]


@given(spelled(objects) | payloads)
def test_fields_are_those_that_a_json_parser_finds(payload: bytes) -> None:
    found = read_one(payload)
    if not is_json(payload):
        assert found == "not_json"
    elif not isinstance(value := json.loads(payload), dict):
        assert found == "not_an_object"
    else:
        assert found == (value.get("k"), value.get("t"))


@pytest.mark.parametrize("name", ["a.b", "a b", "é", "$", "player-id", "'", "key", "time"])
def test_field_names_are_taken_as_they_are(name: str) -> None:
    payload = json.dumps({name: "here", "a": {"b": "not here"}})
    for spelling in (payload.encode(), json.dumps(json.loads(payload), ensure_ascii=False).encode()):
        (found,), _ = reader(key_field=name).read([spelling])
        assert found.key == "here"


@pytest.mark.parametrize("name", ['"', "\\", "\n"])
def test_field_names_that_would_need_escapes_are_refused_at_once(name: str) -> None:
    with pytest.raises(ValueError, match="field names"):
        reader(key_field=name)
