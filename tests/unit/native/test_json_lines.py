"""JSON on one line: where the C library is sure, Python has nothing to say against it."""

import ctypes
import json
from array import array
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from consumer.native import library
from consumer.sinks.json.rule import BIGQUERY, judge
from tests.unit.native.mutations import mutated
from tests.unit.sinks.json_bytes import payloads, spelled, values

DEEPEST = 63
LONGEST_NAME = 65_536


def sure(native: Any, some: Sequence[bytes]) -> int:
    """How many of them, from the first on, surely are lines; their text ends where its buffer does."""
    text = bytearray(b"".join(payload + b"\n" for payload in some))
    sizes = array("I", map(len, some))
    found: int = native.json_lines(library.address(text), len(text), library.address(sizes), len(some))
    return found


def is_line(payload: bytes) -> bool:
    """On one line, and fine by any limits that there are."""
    return judge(payload, BIGQUERY) is None and not set(payload) & set(b"\r\n")


plain_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(-1e99, 1e99).filter(lambda number: number == 0 or abs(number) > 1e-99)
    | st.text(max_size=40)
    | st.text('"\\/\b\f\n\r\t\x00\x1f\x7fé\u2028\U0001f600', max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def usual(draw: st.DrawFn) -> bytes:
    """As producers write it: without halves of surrogate pairs, and in ASCII without characters past 16 bits, which
    are two halves there."""
    value: Any = draw(plain_values)
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 20, 50]))):
        value = draw(st.sampled_from([[value], {"a": value}]))
    separators = draw(st.sampled_from([None, (",", ":")]))
    text = json.dumps(value, separators=separators)
    if r"\ud" in text or draw(st.booleans()):
        text = json.dumps(value, separators=separators, ensure_ascii=False)
    return text.encode()


@given(st.lists(usual(), max_size=5))
def test_what_producers_write_is_always_sure(native: Any, some: list[bytes]) -> None:
    assert sure(native, some) == len(some)


any_payload = payloads | usual() | mutated(usual()) | mutated(spelled(values)) | st.binary(max_size=20)


@given(st.lists(any_payload, min_size=1, max_size=6))
def test_what_is_sure_is_json_on_one_line(native: Any, some: list[bytes]) -> None:
    count = sure(native, some)
    for payload in some[:count]:
        assert is_line(payload)
    if count < len(some):
        assert sure(native, [some[count]]) == 0


@given(st.lists(usual() | mutated(usual()), min_size=1, max_size=8))
def test_the_first_unsure_one_is_found_whatever_stands_beside_it(native: Any, some: list[bytes]) -> None:
    alone = [sure(native, [payload]) for payload in some]
    assert sure(native, some) == [*alone, 0].index(0)


@given(st.binary(max_size=60), st.integers(0, 40), st.booleans())
@example(b'"', 16, False)
@example(b"\x1f", 31, False)
@example(b"\x80", 7, True)
def test_any_bytes_anywhere_in_a_text(native: Any, some: bytes, before: int, is_name: bool) -> None:
    text = b'"' + b"a" * before + some + b'"'
    payload = b"{" + text + b":1}" if is_name else text
    assert not sure(native, [payload]) or is_line(payload)


SURE = [
    rb'"\ud83d\ude00"',
    rb'"\uDBFF\uDFFF\uD800\uDc00"',
    b"{}",
    b"[]",
    b"{ }",
    b"[\t]",
    b"0",
    b"-0",
    b"1E+5",
    b"0.0e-0",
    b"1e99",
    b"-" + b"9" * 199,
    b"9" * 200,
    b'""',
    b"null",
    b" \t1 \t",
    b'{"' + b"n" * (LONGEST_NAME - 12) + b'":1}',
    rb'"\u00e9\/\b"',
    rb'"\uD7fF\uE000\ue000"',
    b'{"a":1,"a":2}',
    '{"é":"\U0001f600\u2028"}'.encode(),
    b'"\x7f"',
    b"[" * DEEPEST + b"]" * DEEPEST,
    b'{"a":' * DEEPEST + b"1" + b"}" * DEEPEST,
    b'[{"a":' * (DEEPEST // 2) + b"1" + b"}]" * (DEEPEST // 2),
]

UNSURE = [
    b"1e100",
    b"1E-100",
    b"9" * 201,
    b"1." + b"0" * 200,
    b'{"a":' + b"9" * 201 + b"}",
    b'{"' + b"n" * (LONGEST_NAME + 1) + b'":1}',
    b"",
    b" ",
    b"\n",
    b"1\n",
    b"\n1",
    b"[1,\n2]",
    b"[1,\r2]",
    b"1\r",
    b"1\n2",
    b"\x00",
    b"1\x00",
    b'"\x00"',
    b'"a\nb"',
    b"\xef\xbb\xbf{}",
    b'"\xff"',
    b'"\xed\xa0\x80"',
    b'"\xc0\x80"',
    b'"\xe0\x9f\xbf"',
    b'"\xf0\x8f\xbf\xbf"',
    b'"\xf4\x90\x80\x80"',
    b'"\xc3"',
    b'"\xe2\x82"',
    b'"\xf0\x9f\x98"',
    rb'"\ud800"',
    rb'"\uDfFf"',
    rb'"\ude00\ud83d"',
    rb'"\ud83d\ud83d"',
    rb'"\ud83d\u0041"',
    rb'"\ud83d ude00"',
    rb'"\ud83d\nde00"',
    rb'"\ud83d\ude0"',
    rb'"\ud83d\u',
    b'"\\ud83d\\',
    rb'"\ud83d',
    rb'"\u12"',
    rb'"\u12g4"',
    rb'"\x41"',
    b'"\\"',
    b'"a',
    b"NaN",
    b"-Infinity",
    b"nul",
    b"nulll",
    b"truex",
    b"01",
    b"-",
    b"-a",
    b"+1",
    b".5",
    b"1.",
    b"1.e1",
    b"1e",
    b"1e+",
    b"0x1",
    b"1 2",
    b"{}{}",
    b"[1,]",
    b"[,1]",
    b"[1 2]",
    b'{"a":1,}',
    b'{,"a":1}',
    b'{"a"}',
    b'{"a":}',
    b'{"a" 1}',
    b"{1:2}",
    b"[1}",
    b'{"a":1]',
    b"[",
    b"]",
    b"[" * DEEPEST + b"1}" + b"]" * (DEEPEST - 1),
    b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1),
    b'{"a":' * 500 + b"1" + b"}" * 500,
    b"[" * 100_000,
]


@pytest.mark.parametrize("payload", SURE, ids=lambda payload: repr(payload[:20]))
@pytest.mark.parametrize("others", [0, 3])
def test_these_are_sure(native: Any, payload: bytes, others: int) -> None:
    assert is_line(payload)
    assert sure(native, [payload] * (1 + others)) == 1 + others


@pytest.mark.parametrize("payload", UNSURE, ids=lambda payload: repr(payload[:20]))
@pytest.mark.parametrize("before", [0, 2])
def test_these_are_not(native: Any, payload: bytes, before: int) -> None:
    assert sure(native, [*[b"{}"] * before, payload, b"{}"]) == before


def test_no_payloads(native: Any) -> None:
    assert sure(native, []) == 0
    assert native.json_lines(0, 0, 0, 0) == 0


def test_nothing_behind_the_end_counts(native: Any) -> None:
    """A text that goes on behind the buffer's end looks as if it were whole."""
    text = bytearray(b'"' + b"a" * 40 + b'\n"')
    sizes = array("I", [42])
    assert native.json_lines(library.address(text), len(text) - 1, library.address(sizes), 1) == 0


@pytest.mark.parametrize("fitting", [0, 1, 3])
def test_sizes_beyond_the_text_are_not_followed(native: Any, fitting: int) -> None:
    """Not even to a text that has no address."""
    text = bytearray(b"{}\n" * fitting)
    sizes = array("I", [2] * fitting + [2, 2_000_000_000])
    address = library.address(text) if text else 0
    assert native.json_lines(address, len(text), library.address(sizes), len(sizes)) == fitting


def test_addresses_are_those_of_the_bytes() -> None:
    text = bytearray(b"0123456789")
    assert ctypes.string_at(library.address(memoryview(text)[3:]), 2) == b"34"
    numbers = array("I", range(5))
    assert library.address(memoryview(numbers)[2:]) == numbers.buffer_info()[0] + 2 * numbers.itemsize
