"""NDJSON: a record is a line, and stays one."""

import json
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.dead_letters import Rejection
from consumer.native import library
from consumer.sinks.json.judge import Judge
from consumer.sinks.json.lines import Lines, join_lines
from consumer.sinks.json.rule import Limits
from tests.unit.sinks.json_bytes import is_json, payloads, spelled, values


@dataclass
class Lined:
    """Every line without its end, None for a rejected payload; the rejections; and the pieces of the body."""

    lines: list[bytes | None]
    rejections: list[Rejection]
    pieces: list[bytes]


def lines_of(batch: Sequence[bytes], *, validate_json: bool, native: bool = True) -> Lined:
    with pytest.MonkeyPatch.context() as patch:
        if not native:
            patch.setattr(library, "load", lambda: None)
        lines = Lines(Judge(Limits(max_depth=500)), validate_json=validate_json)
    text = bytearray(join_lines(batch))
    lined = Lined([], [], [])
    for piece, rejections in lines.of(text, array("I", map(len, batch))):
        lined.pieces.append(bytes(piece))
        lined.rejections += rejections
    body = b"".join(lined.pieces)
    assert not body or body.endswith(b"\n")
    left = iter(body.split(b"\n")[:-1])
    rejected = {rejection.index for rejection in lined.rejections}
    lined.lines = [None if index in rejected else next(left) for index in range(len(batch))]
    assert next(left, None) is None
    return lined


@given(st.lists(payloads | st.binary(max_size=10), max_size=6), st.booleans())
def test_bodies_are_the_same_both_ways_and_cut_in_the_same_places(batch: list[bytes], validate: bool) -> None:
    with_it, without_it = (lines_of(batch, validate_json=validate, native=each) for each in (True, False))
    assert with_it == without_it


@given(st.lists(spelled(values), min_size=1, max_size=6), st.booleans())
def test_every_line_of_a_body_decodes_to_the_value_of_its_payload(batch: list[bytes], validate: bool) -> None:
    lined = lines_of(batch, validate_json=validate)
    assert lined.rejections == []
    lines = [line for line in lined.lines if line is not None]
    assert [json.loads(line) for line in lines] == [json.loads(each) for each in batch]


@given(st.lists(payloads, min_size=1, max_size=6))
def test_with_validation_what_is_json_is_a_line_and_the_rest_is_rejected(batch: list[bytes]) -> None:
    lined = lines_of(batch, validate_json=True)
    good = [is_json(payload) for payload in batch]
    assert [line is not None for line in lined.lines] == good
    assert sorted(rejection.index for rejection in lined.rejections) == [
        index for index, is_good in enumerate(good) if not is_good
    ]
    assert {rejection.reason for rejection in lined.rejections} <= {"not_json"}


@given(st.lists(payloads | st.binary(max_size=10), min_size=1, max_size=6), st.booleans())
def test_no_line_holds_a_line_end(batch: list[bytes], validate: bool) -> None:
    lines = lines_of(batch, validate_json=validate).lines
    assert len(lines) == len(batch)
    for line in lines:
        assert line is None or not set(line) & set(b"\r\n")


@given(st.lists(st.binary(max_size=12), min_size=1, max_size=6))
def test_without_validation_a_payload_is_a_line_or_has_line_ends_inside(batch: list[bytes]) -> None:
    lined = lines_of(batch, validate_json=False)
    rejected = {rejection.index for rejection in lined.rejections}
    for index, (payload, line) in enumerate(zip(batch, lined.lines, strict=True)):
        body = payload.removesuffix(b"\n").removesuffix(b"\r")
        inside = b"\n" in body or b"\r" in body
        assert (line is None) == (index in rejected)
        if line is None:
            assert inside
        elif not is_json(payload):
            assert line == body
            assert not inside


def test_bytes_without_line_ends_stay_as_they_came() -> None:
    batch = [b' {"a" : 1} ', b"[1,  2]", '"\u2028"'.encode()]
    assert lines_of(batch, validate_json=True).lines == batch


@pytest.mark.parametrize(
    ("payload", "line"),
    [
        (b'{\r\n "a": [\n1,\r2]}\n', b'{ "a": [1,2]}'),
        (b'\n"x"\n', b'"x"'),
        (b"\n1", b"1"),
        (rb'"a\nb"', rb'"a\nb"'),
    ],
)
@pytest.mark.parametrize("validate", [True, False])
def test_line_ends_between_tokens_are_taken_out(payload: bytes, line: bytes, validate: bool) -> None:
    assert lines_of([payload], validate_json=validate).lines == [line]


@pytest.mark.parametrize(
    ("payload", "line"),
    [
        (b"plain text", b"plain text"),
        (b"plain text\n", b"plain text"),
        (b"plain text\r\n", b"plain text"),
        (b"plain text\r", b"plain text"),
        (b"", b""),
        (b"\n", b""),
        (b"\xff\x00", b"\xff\x00"),
        (b"two\nlines", None),
        (b"two\nlines\n", None),
        (b"two\rlines", None),
        (b"line\n\n", None),
        (b"\nline", None),
        (b'"a\nb"', None),
    ],
)
def test_without_validation_any_bytes_pass_that_stay_on_one_line(payload: bytes, line: bytes | None) -> None:
    lined = lines_of([payload], validate_json=False)
    assert lined.lines == [line]
    expected = (
        [] if line is not None else [Rejection(0, "raw_newline", "holds raw line ends and is not JSON")]
    )
    assert list(lined.rejections) == expected


def test_a_bad_payload_leaves_its_neighbours_alone() -> None:
    lined = lines_of([b'{"a":\n1}', b"nope", b"", b"2"], validate_json=True)
    assert lined.lines == [b'{"a":1}', None, None, b"2"]
    assert [(rejection.index, rejection.reason) for rejection in lined.rejections] == [
        (1, "not_json"),
        (2, "not_json"),
    ]
