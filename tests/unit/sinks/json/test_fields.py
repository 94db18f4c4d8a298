"""What the members say that decide where a record goes."""

import json
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from consumer.native import library
from consumer.sinks.json.fields import FieldReader
from consumer.sinks.json.rule import BIGQUERY, LEAST_DEPTH, Limits, judge
from tests.unit.native.mutations import mutated as with_faults
from tests.unit.sinks.json_bytes import payloads, scalars, spelled, texts, values

HUGE = b"9" * 5000
ANY = Limits(max_depth=500)


def reader(
    key_field: str | None = "k", time_field: str = "t", *, limits: Limits = BIGQUERY, native: bool = True
) -> FieldReader:
    with pytest.MonkeyPatch.context() as patch:
        if not native:
            patch.setattr(library, "load", lambda: None)
        return FieldReader(key_field=key_field, time_field=time_field, limits=limits)


def plain(value: object) -> object:
    """A value that is neither text nor number as the bytes of its spelling."""
    return bytes(value) if isinstance(value, msgspec.Raw) else value


def read(batch: list[bytes], **options: Any) -> list[tuple[object, object] | str]:
    """Key and time of each, or the reason of its rejection: the same in C and in Python."""
    found, rejections = reader(**options).read(batch)
    again, same_rejections = reader(native=False, **options).read(batch)
    assert rejections == same_rejections
    reasons = {each.index: each.reason for each in rejections}
    results: list[tuple[object, object] | str] = []
    for index, (one, other) in enumerate(zip(found, again, strict=True)):
        assert (one is None) == (other is None) == (index in reasons)
        if one is None:
            results.append(reasons[index])
            continue
        both = (plain(one.key), plain(one.time))
        assert both == (plain(other.key), plain(other.time))
        results.append(both)
    return results


def read_one(payload: bytes, **options: Any) -> tuple[object, object] | str:
    (found,) = read([payload], **options)
    return found


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b'{"k":"a","t":"b"}', ("a", "b")),
        (b'{"t":1.5,"x":[{"k":"no"}],"k":2}', (b"2", 1.5)),
        (b'{"k":[ {"a" :1}],"t":{"b":[]}}', (b'[ {"a" :1}]', b'{"b":[]}')),
        (b'{"k":true,"t":false}', (b"true", b"false")),
        (b"{}", (None, None)),
        (b'{"k":null}', (None, None)),
        (b'{"K":"a"}', (None, None)),
        (b'{"k":"a","k":"b"}', "repeated_field"),
        (b'{"k":"a","k":null}', "repeated_field"),
        (rb'{"k":"a","x":1,"\u006b":"a"}', "repeated_field"),
        (b'{"t":null,"t":null}', "repeated_field"),
        (b'{"x":{"k":1,"k":2},"y":[{"t":1,"t":2}]}', (None, None)),
        (rb'{"\u006b":"a"}', ("a", None)),
        (rb'{"\u006B":"a\u00e9\/","\u0074" : "\ud83d\ude00"}', ("aé/", "\U0001f600")),
        (rb'{"k":"a\ud800"}', "not_unicode"),
        (rb'{"k":"a","x":"\ud800"}', "not_unicode"),
        (rb'{"k":"a","\ud800":1}', "not_unicode"),
        (b'{"t":1e999}', "bad_number"),
        (b'{"t":' + HUGE + b"}", "bad_number"),
        (b'{"t":0.' + b"0" * 500 + b"}", (None, b"0." + b"0" * 500)),
        (b'{"t":-12}', (None, -12)),
        (b'{"t":18446744073709551616}', (None, 2**64)),
        (b'{"k":"a","x":' + HUGE + b"}", "bad_number"),
        (b' {"k" : "a" }\n', ("a", None)),
        (b"[]", "not_an_object"),
        (b"[1]", "not_an_object"),
        (b'"k"', "not_an_object"),
        (b"5", "not_an_object"),
        (b"true", "not_an_object"),
        (b"null", "not_an_object"),
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
        (b'{"k":' + b"[" * 499 + b"]" * 499 + b"}", (b"[" * 499 + b"]" * 499, None)),
        (b'{"k":' + b"[" * 500 + b"]" * 500 + b"}", "too_deep"),
        (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too_deep"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_the_routing_fields_of_one_payload(payload: bytes, expected: tuple[object, object] | str) -> None:
    assert read_one(payload) == expected


@pytest.mark.parametrize("field", [b"k", b"t", b"x"])
@pytest.mark.parametrize(("head", "tail"), [(b"[", b"]"), (b'{"a":', b"}")])
@pytest.mark.parametrize("levels", range(LEAST_DEPTH - 2, LEAST_DEPTH + 3))
def test_the_least_limit_of_depth_counts_the_object_around_a_member(
    field: bytes, head: bytes, tail: bytes, levels: int
) -> None:
    inside = levels - 1
    payload = b'{"%b":%b1%b}' % (field, head * inside, tail * inside)
    found = read_one(payload, limits=Limits(max_depth=LEAST_DEPTH))
    assert (found == "too_deep") == (levels > LEAST_DEPTH)


def test_a_payload_that_is_no_object_says_what_it_is() -> None:
    _, rejections = reader().read([b"[]", b" 5", b"null"])
    assert [rejection.detail for rejection in rejections] == [
        "a JSON array, not an object",
        "a JSON number, not an object",
        "a JSON null, not an object",
    ]


def test_what_is_there_twice_is_told_with_its_place() -> None:
    _, rejections = reader("player_id", "time").read([b'{"time":1,"player_id":"a","time":2}'])
    assert [each.detail for each in rejections] == ["player_id or time is there a second time at byte 26"]


objects = st.dictionaries(st.sampled_from(["k", "t", "x"]) | texts, scalars | values, max_size=5)
odd = spelled(objects) | payloads | with_faults(spelled(objects))


@given(st.lists(odd, max_size=6), st.sampled_from([BIGQUERY, ANY]))
@example([b'{"k":"\xc3', b'\xa9"}'], BIGQUERY)
@example([rb'{"\ud800k":1,"k":2}', rb'{"k\ud800":1}'], ANY)
def test_a_batch_is_read_like_its_payloads_one_by_one(batch: list[bytes], limits: Limits) -> None:
    together = read(batch, limits=limits)
    assert together == [read_one(payload, limits=limits) for payload in batch]


@given(odd)
def test_fields_are_those_that_a_json_parser_finds(payload: bytes) -> None:
    found = read_one(payload, limits=ANY)
    if judge(payload, ANY) is not None:
        assert found == "not_json"
        return
    pairs: Any = json.loads(payload, object_pairs_hook=list)
    if not payload.lstrip().startswith(b"{"):
        assert found == "not_an_object"
    elif any([name for name, _ in pairs].count(field) > 1 for field in "kt"):
        assert found == "repeated_field"
    else:
        value = json.loads(payload)
        for got, expected in zip(found, (value.get("k"), value.get("t")), strict=True):
            if isinstance(got, bytes):
                assert not isinstance(expected, str)
                assert json.loads(got) == expected
            else:
                assert got == expected


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("field", [b"k", b"t"])
def test_no_value_is_built_of_what_is_neither_text_nor_number(native: bool, field: bytes) -> None:
    payload = b'{"%b":[' % field + b"{}," * 30_000 + b"{}]}"
    reading = reader(native=native)
    tracemalloc.start()
    try:
        (fields,), _ = reading.read([payload])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(fields.key if field == b"k" else fields.time, msgspec.Raw)
    assert peak < 8 * len(payload)


@pytest.mark.parametrize(
    "name", ["a.b", "a b", "é", "$", "player-id", "'", "key", "time", '"', "\\", "\n", "\U0001f600"]
)
def test_field_names_are_taken_as_they_are(name: str) -> None:
    payload = json.dumps({name: "here", "a": {"b": "not here"}})
    for spelling in (payload.encode(), json.dumps(json.loads(payload), ensure_ascii=False).encode()):
        assert read_one(spelling, key_field=name) == ("here", None)


@given(odd)
@example(rb'{"\"":1,"\"":2,"t":3}')
def test_without_a_key_field_no_member_is_the_key(payload: bytes) -> None:
    found = read_one(payload, key_field=None, limits=ANY)
    assert isinstance(found, str) or found[0] is None
