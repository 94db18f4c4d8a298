"""What counts as JSON: the rule, the C library's copy of it, and the look that spares most payloads the rule."""

import json
import threading
from array import array
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from consumer.native import library
from consumer.sinks.json.judge import Judge
from consumer.sinks.json.rule import (
    BIGQUERY,
    BIGQUERY_DEPTH,
    NO_LIMIT,
    Fault,
    Limits,
    has_half_surrogate,
    is_beyond_doubles,
    judge,
)
from tests.examples import examples
from tests.unit.native.mutations import mutated as with_faults
from tests.unit.sinks.json_bytes import is_json, payloads, spelled, values

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
    b'{"a":' * 500 + b"1" + b"}" * 500,
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
]


ANY = Limits(max_depth=500)
DEEPER = Limits(max_depth=20_000)


def without_library(limits: Limits) -> Judge:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "load", lambda: None)
        return Judge(limits)


def verdict(payload: bytes, limits: Limits) -> Fault | None:
    """Of the rule, with which the C library and the quick look have to agree."""
    fault = judge(payload, limits)
    assert Judge(limits).fault(payload) == fault
    assert without_library(limits).fault(payload) == fault
    return fault


def reason(payload: bytes, limits: Limits = ANY) -> str | None:
    fault = verdict(payload, limits)
    return None if fault is None else fault.reason


@pytest.mark.parametrize("payload", VALID, ids=lambda payload: repr(payload[:20]))
def test_json_is_taken(payload: bytes) -> None:
    assert verdict(payload, ANY) is None


@pytest.mark.parametrize("payload", INVALID, ids=lambda payload: repr(payload[:20]))
def test_what_is_not_json_is_found_with_a_reason(payload: bytes) -> None:
    fault = verdict(payload, ANY)
    assert fault is not None
    assert fault.reason == "not_json"
    assert 0 <= fault.offset <= len(payload)
    assert fault.detail(payload, ANY)


odd_json = payloads | with_faults(spelled(values)) | st.binary(max_size=30)
some_limits = st.sampled_from([ANY, BIGQUERY, DEEPER])


@examples(300)
@given(odd_json, some_limits)
@example(b'{"a":"\xc3', ANY)
@example(b"1.", ANY)
@example(b"-", ANY)
@example(b"[1 ,", ANY)
@example(rb'{"\ud800":1e999}', BIGQUERY)
@example(rb'{"a":1e999,"\ud800":1}', BIGQUERY)
@example(rb'["\ud83d\ude00\ude00"]', BIGQUERY)
@example(rb'["\\ud800"]', BIGQUERY)
@example(rb'["\ud800\u0041"]', BIGQUERY)
@example(rb'["\ud800\u004"]', BIGQUERY)
def test_c_and_python_find_the_same_fault_at_the_same_byte(payload: bytes, limits: Limits) -> None:
    fault = verdict(payload, limits)
    if limits is ANY:
        assert (fault is None) == is_json(payload)


small_limits = st.builds(
    Limits,
    max_depth=st.integers(0, 3),
    max_name_bytes=st.sampled_from([0, 2, 5, NO_LIMIT]),
    unicode_only=st.booleans(),
    doubles_only=st.booleans(),
)


@examples(300)
@given(odd_json, small_limits)
def test_c_and_python_keep_to_the_same_limits(payload: bytes, limits: Limits) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("consumer.sinks.json.judge.LEAST_DEPTH", 0)
        patch.setattr("consumer.sinks.json.judge.LEAST_NAME_BYTES", 0)
        verdict(payload, limits)


LEVELS = {
    "arrays": (b"[", b"", b"]"),
    "objects": (b'{"a":', b"1", b"}"),
    "objects with line ends": (b'{\n"a":\r', b"1", b"\t}"),
    "both": (b'[{"a":', b"1", b"}]"),
}


@pytest.mark.parametrize("kind", LEVELS)
@pytest.mark.parametrize("depth", [64, 65, 498, 499, 500, 501, 502, 9_989, 100_000, 1_000_000])
@pytest.mark.parametrize("closed", [True, False])
def test_the_limit_of_depth_is_the_same_everywhere(kind: str, depth: int, closed: bool) -> None:
    head, middle, tail = LEVELS[kind]
    each = 2 if kind == "both" else 1
    payload = head * (depth // each) + middle + (tail * (depth // each) if closed else b"")
    levels = depth // each * each
    expected = "too_deep" if levels > BIGQUERY_DEPTH else None if closed else "not_json"
    assert reason(payload) == reason(payload, BIGQUERY) == expected
    deeper = "too_deep" if levels > DEEPER.max_depth else None if closed else "not_json"
    assert reason(payload, DEEPER) == deeper


@pytest.mark.parametrize("wide", [b'{"a":0},', b"[],", b'"]]]",', rb'"\\\"[[[",', b'{"[[[[":"}"},'])
def test_many_brackets_side_by_side_are_not_deep(wide: bytes) -> None:
    assert reason(b"[" + wide * 10_000 + b"1]", BIGQUERY) is None
    assert reason(b"[" + wide * 10_000 + b"1", BIGQUERY) == "not_json"


@pytest.mark.parametrize("before", [b"", b'"', b'"a\\\\"', b'\\\\" ', b'"[[[', b"]]]"])
def test_brackets_behind_what_is_no_json_hide_no_depth(before: bytes) -> None:
    reason(before + b"[" * 600 + b"]" * 600)
    reason(b"[" * 600 + before + b"]" * 600)


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 1_000_000])
@pytest.mark.parametrize("unit", [b"n", rb"\"", b"\xc3\xa9"])
def test_names_have_a_limit_in_bytes(size: int, unit: bytes) -> None:
    name = (unit * size)[:size] if len(unit) == 1 else unit * (size // 2)
    payload = b'{"a":{"%b":1}}' % name
    assert reason(payload, BIGQUERY) == ("long_name" if len(name) > 65_536 else None)
    assert reason(payload) is None
    assert reason(b'["%b"]' % name, BIGQUERY) is None


HALVES = [
    rb'"\ud800"',
    rb'"\uDfFf"',
    rb'"\ude00\ud83d"',
    rb'"\ud83d\ud83d"',
    rb'"\ud83d\ud83d\ude00"',
    rb'"\ud83d\u0041"',
    rb'"\ud83d\\ude00"',
    rb'"\\\ud83d"',
    rb'{"\udc00":1}',
    rb'[[{"a":["\ud800"]}]]',
]
PAIRS = [
    rb'"\ud83d\ude00"',
    rb'"\uDBFF\uDFFF"',
    rb'"\\ud800"',
    rb'"\uD7FF\uE000"',
    rb'"\\\\ud800\\"',
    rb'"ud800"',
]


@pytest.mark.parametrize("payload", HALVES)
def test_half_of_a_surrogate_pair_is_json_but_no_text_of_a_column(payload: bytes) -> None:
    assert reason(payload) is None
    assert reason(payload, BIGQUERY) == "not_unicode"
    assert has_half_surrogate(payload)


@pytest.mark.parametrize("payload", PAIRS)
def test_whole_characters_are_taken(payload: bytes) -> None:
    assert reason(payload, BIGQUERY) is None
    assert not has_half_surrogate(payload)


BEYOND = [
    b"1e309",
    b"1e999",
    b"-1e999",
    b"1.8e308",
    b"17976931348623159e292",
    b"0.00001e999",
    b"1" * 310,
    b"1" * 100_000,
    b"1e" + b"9" * 100_000,
    b"0." + b"0" * 1000 + b"1e5000",
    b"1E+0000000000000000000309",
]
WITHIN = [
    b"1.7976931348623157e308",
    b"1.79769313486231570e+308",
    b"0e999999",
    b"-0.0E99999999999999999999",
    b"1e-999",
    b"0.1e309",
    b"1e308",
    b"1" * 309,
    b"0." + b"0" * 100_000 + b"1",
    b"1" * 200 + b"e-100000",
    b"1e-" + b"9" * 100_000,
    b"0." + b"0" * 1000 + b"1e1000",
    b"0" + b".0" + b"1" * 100_000,
]


@pytest.mark.parametrize("number", BEYOND, ids=lambda number: repr(number[:20]))
def test_numbers_beyond_double_precision_are_json_but_no_number_of_a_column(number: bytes) -> None:
    assert float(number) in (float("inf"), float("-inf"))
    for payload in (number, b'{"a":%b}' % number, b"[1,%b ]" % number):
        assert reason(payload) is None
        assert reason(payload, BIGQUERY) == "bad_number"


@pytest.mark.parametrize("number", WITHIN, ids=lambda number: repr(number[:20]))
def test_numbers_within_it_are_taken(number: bytes) -> None:
    assert abs(float(number)) != float("inf")
    for payload in (number, b'{"a":%b}' % number, b"[1,%b ]" % number):
        assert reason(payload, BIGQUERY) is None


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,4})?", fullmatch=True))
def test_what_is_within_is_what_python_reads_as_finite(number: str) -> None:
    beyond = is_beyond_doubles(number.encode())
    if not beyond:
        assert abs(float(number)) != float("inf")
    elif abs(float(number)) != float("inf"):
        assert "179769313486231580" in number.replace(".", "")
    assert (reason(number.encode(), BIGQUERY) == "bad_number") == beyond


def lines_that_are_unsure(batch: Sequence[bytes], judge: Judge) -> list[int]:
    text = bytearray(b"".join(payload + b"\n" for payload in batch))
    begins = [sum(len(each) + 1 for each in batch[:index]) for index in range(len(batch))]
    found = list(judge.unsure(text, array("I", map(len, batch))))
    assert [begins[index] for index, _ in found] == [begin for _, begin in found]
    return [index for index, _ in found]


@given(st.lists(odd_json, max_size=8))
def test_what_is_not_looked_at_alone_is_a_line_as_it_is(batch: list[bytes]) -> None:
    unsure = lines_that_are_unsure(batch, Judge(BIGQUERY))
    for index, payload in enumerate(batch):
        if index not in unsure:
            assert judge(payload, BIGQUERY) is None
            assert not set(payload) & set(b"\r\n")
    assert lines_that_are_unsure(batch, without_library(BIGQUERY)) == list(range(len(batch)))


@pytest.mark.parametrize("limits", [Limits(max_depth=63), Limits(max_depth=500, max_name_bytes=65_535)])
def test_limits_that_the_first_look_does_not_keep_to_are_refused(limits: Limits) -> None:
    with pytest.raises(ValueError, match="limits"):
        Judge(limits)


@pytest.mark.parametrize(
    ("payload", "detail"),
    [
        (b"", "empty payload"),
        (b'{"a":nul}', "not JSON at byte 5, near 'nul}'"),
        (b'{"a":1', "not JSON at byte 6, where it ends"),
        (b'"\xff"', "not JSON at byte 0, near '\"\ufffd\"'"),
        (b"[" * 501, "nested more than 500 levels deep at byte 500"),
        (rb'["\ud800"]', "half of a surrogate pair in the text at byte 1, near '\"\\\\ud800\"]'"),
        (b"[1e999]", "a number beyond double precision at byte 1, near '1e999]'"),
        (
            b'{"' + b"n" * 70_000 + b'":1}',
            "a name of more than 65536 bytes at byte 1, near '\"nnnnnnnnnnnnnnnnnnnnnnn'",
        ),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_the_detail_says_what_is_wrong_and_where(payload: bytes, detail: str) -> None:
    fault = judge(payload, BIGQUERY)
    assert fault is not None
    assert fault.detail(payload, BIGQUERY) == detail
    rejection = Judge(BIGQUERY).rejection(payload, 7)
    assert rejection is not None
    assert (rejection.index, rejection.reason, rejection.detail) == (7, fault.reason, detail)


@given(spelled(values))
def test_python_reads_what_is_taken(payload: bytes) -> None:
    assert reason(payload) is None
    json.loads(payload)


def called_deeply(levels: int, what: Callable[[], object]) -> object:
    return what() if levels == 0 else called_deeply(levels - 1, what)


def in_a_small_stack(what: Callable[[], object]) -> object:
    """In a thread of 256 KiB, in which decoders without a limit of their own end the process."""
    found: list[object] = []
    before = threading.stack_size(256 * 1024)
    try:
        thread = threading.Thread(target=lambda: found.append(what()))
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    return found[0]


@pytest.mark.parametrize("kind", LEVELS)
@pytest.mark.parametrize("depth", [498, 500, 502, 9_988, 9_990, 100_000])
def test_a_verdict_hangs_on_no_stack(kind: str, depth: int) -> None:
    head, middle, tail = LEVELS[kind]
    payload = head * depth + middle + tail * depth
    judges = [Judge(BIGQUERY), without_library(BIGQUERY)]

    def verdicts() -> object:
        return [judge(payload, BIGQUERY), *(each.fault(payload) for each in judges)]

    usual = verdicts()
    assert called_deeply(900, verdicts) == usual
    assert in_a_small_stack(verdicts) == usual
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(verdicts).result() == usual
