"""Messages as columns: the C library says what msgspec says, or nothing."""

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from consumer.domain.columns import Records
from consumer.domain.records import Record
from consumer.native.library import NUMBER_COLUMNS
from consumer.shard import message_parser
from consumer.shard.message_parser import MessageParser
from consumer.shard.protocol import _Message
from tests.unit.native.messages import LINE, RECORD, as_line, as_message, kcl_lines, kcl_records, odd_lines
from tests.unit.native.mutations import mutated

pytestmark = pytest.mark.usefixtures("native")

_decode = msgspec.json.Decoder(_Message).decode

type Found = tuple[Records, int | None]


def parse(line: bytes, parser: MessageParser | None = None) -> Found | None:
    return (parser or MessageParser()).parse(memoryview(bytearray(line)))


def expected(line: bytes) -> Found | None:
    """None where it is not a message with records."""
    try:
        message = _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    if message.action != "processRecords":
        return None
    return Records.of(message.records), message.millis_behind_latest


def columns(records: Records) -> list[Any]:
    """All parts of each column as one."""
    parts = records.parts
    labels = b"".join(part.labels for part in parts)
    numbers = [[number for part in parts for number in getattr(part, name)] for name in NUMBER_COLUMNS]
    return [b"".join(part.text for part in parts), labels, *numbers]


def assert_same(found: Found | None, line: bytes) -> None:
    wanted = expected(line)
    assert found is not None
    assert wanted is not None
    assert columns(found[0]) == columns(wanted[0])
    assert found[0] == wanted[0]
    assert found[1] == wanted[1]


@given(kcl_lines)
@example(as_line(as_message([], None)))
@example(as_line(as_message([], 0)))
def test_messages_as_the_kcl_writes_them_are_always_parsed(line: bytes) -> None:
    assert_same(parse(line), line)


def test_every_size_of_a_payload_comes_out_as_it_was() -> None:
    payloads = [bytes((7 * size + place) % 256 for place in range(size)) for size in range(200)]
    made = [Record(payload, "pk", str(number), 0, 1) for number, payload in enumerate(payloads)]
    records = [
        {
            "data": base64.b64encode(one.data).decode(),
            "partitionKey": one.partition_key,
            "sequenceNumber": one.sequence_number,
            "subSequenceNumber": one.sub_sequence_number,
            "approximateArrivalTimestamp": one.arrival_ms,
        }
        for one in made
    ]
    found = parse(as_line(as_message(records, 5)))
    assert found is not None
    assert list(found[0]) == made


@given(
    odd_lines()
    | mutated(kcl_lines)
    | mutated(odd_lines())
    | mutated(kcl_lines).map(lambda line: line + b"\n")
)
def test_what_is_parsed_is_what_msgspec_finds(line: bytes) -> None:
    found = parse(line)
    if found is not None:
        assert_same(found, line)


@given(st.data(), kcl_records())
def test_any_byte_in_base64_counts_for_what_msgspec_takes_it_for(
    data: st.DataObject, record: dict[str, Any]
) -> None:
    line = bytearray(as_line(as_message([record], 1)))
    begin = line.index(b'"data":"') + len(b'"data":"')
    end = line.index(b'"', begin)
    place = data.draw(st.integers(begin, end))
    line[place] = data.draw(st.integers(0, 255))
    found = parse(bytes(line))
    if found is not None:
        assert_same(found, bytes(line))


def with_data(text: bytes) -> bytes:
    return LINE.replace(b"bWVvdw==", text)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"{\n",
        b"{}\n",
        b"[]\n",
        LINE[:-1],
        LINE[:-2] + b"\n",
        LINE[:-1] + b"\r\n",
        LINE[:-1] + b"}\n",
        LINE + b"\n",
        b" " + LINE,
        b"\xef\xbb\xbf" + LINE,
        LINE.replace(b'"action":"processRecords",', b""),
        LINE.replace(b"processRecords", b"shardEnded"),
        LINE.replace(b"processRecords", rb"process\u0052ecords"),
        LINE.replace(b'"records"', b'"others"'),
        LINE.replace(b'"records"', rb'"record\u0073"'),
        LINE.replace(b"[" + RECORD + b"]", b"null"),
        LINE.replace(RECORD, b"null"),
        LINE.replace(RECORD, b"[]"),
        LINE.replace(RECORD, b"{}"),
        LINE.replace(RECORD, RECORD + b","),
        LINE.replace(b'"millisBehindLatest":3', b'"millisBehindLatest":3,"millisBehindLatest":4'),
        LINE.replace(b'"millisBehindLatest":3', b'"millisBehindLatest":3,"action":"processRecords"'),
        LINE.replace(b'"millisBehindLatest":3', b'"millisBehindLatest":3,"records":[]'),
        *(
            LINE.replace(b'Latest":3', b'Latest":' + number)
            for number in (
                b"-3",
                b"03",
                b"3.0",
                b"3e0",
                b"+3",
                b"1" * 19,
                b"nul",
                b"nulls",
                b'"3"',
                b"true",
                b"",
            )
        ),
        *(
            LINE.replace(b'SequenceNumber":2', b'SequenceNumber":' + number)
            for number in (b"-2", b"02", b"2.0", b"2e0", b"-0", b"1" * 19, b"null", b'"2"', b"")
        ),
        LINE.replace(b"1476889707000", b"null"),
        LINE.replace(b'"subSequenceNumber":2,', b""),
        LINE.replace(b'"subSequenceNumber":2', b'"subSequenceNumber":2,"subSequenceNumber":3'),
        LINE.replace(b'"partitionKey":"cat"', b'"partitionKey":"cat","partitionKey":"dog"'),
        LINE.replace(b'"data":', b'"data":"AAAA","data":'),
        LINE.replace(b'"cat"', b'"c\xc3t"'),
        LINE.replace(b'"cat"', b'"c\xed\xa0\x80t"'),
        LINE.replace(b'"cat"', b'"c\xc0\x80t"'),
        LINE.replace(b'"cat"', b'"c\tt"'),
        LINE.replace(b'"cat"', rb'"c\u0061t"'),
        LINE.replace(b'"cat"', b"null"),
        LINE.replace(b'"456"', b"456"),
        LINE.replace(b'"action":"record"', b'"other":[1,}'),
        LINE.replace(b'"action":"record"', b'"other":"\xff"'),
        with_data(b"bWVvdw="),
        with_data(b"bWVvdw"),
        with_data(b"bWVvdw==="),
        with_data(b"bWVv===="),
        with_data(b"===="),
        with_data(b"="),
        with_data(b"bWVvd==="),
        with_data(b"bWVvdw=A"),
        with_data(b"bW==dw=="),
        with_data(b"bWVv\\u0064w=="),
        with_data(rb"bWV\/dw=="),
        with_data(b"bWVv dw=="),
        with_data(b"bWV-dw=="),
        with_data(b"bWV_dw=="),
        with_data(b"A" * 31 + b"=" + b"bWVvdw=="),
        with_data(b"A" * 32 + b"\xc3\xa9AA"),
    ],
    ids=lambda line: repr(line)[2:60],
)
def test_what_the_kcl_never_writes_is_left_to_msgspec(line: bytes) -> None:
    assert parse(line) is None


@pytest.mark.parametrize("data", [b"QR==", b"QUJ=", b"////////", b"++++", b""])
def test_unusual_base64_is_what_msgspec_takes_it_for(data: bytes) -> None:
    """Bits behind the last byte count for nothing."""
    assert_same(parse(with_data(data)), with_data(data))


def test_more_records_than_there_was_room_for() -> None:
    count = 40_000
    record = as_line(as_message([{**json.loads(RECORD), "data": ""}], 0)).split(b"[")[1].split(b"]")[0]
    line = LINE.replace(RECORD, b",".join([record] * count))
    parser = MessageParser()
    found = parse(line, parser)
    assert found is not None
    assert len(found[0]) == count
    assert_same(found, line)
    assert_same(parse(LINE, parser), LINE)


@given(st.lists(kcl_lines | mutated(kcl_lines), max_size=5))
@example([LINE, LINE.replace(RECORD, b",".join([RECORD] * 3000)), LINE, b"{}\n", LINE])
def test_a_message_is_the_same_whatever_was_parsed_before_it(lines: list[bytes]) -> None:
    parser = MessageParser()
    for line in lines:
        found = parse(line, parser)
        alone = parse(line)
        assert (found is None) == (alone is None)
        if found is not None:
            assert_same(found, line)


@given(kcl_lines | odd_lines() | mutated(kcl_lines), st.lists(st.integers(0, 10_000), max_size=5))
@example(LINE, [1])
@example(LINE.replace(RECORD, b",".join([RECORD] * 3000)), [70_000, 200_000])
def test_a_message_is_the_same_wherever_its_pieces_end(line: bytes, cuts: list[int]) -> None:
    parser = eager_parser()
    for cut in sorted(cuts):
        parser.look_ahead(memoryview(bytearray(line[: min(cut, len(line) - 1)] + b"\n")))
    found = parser.parse(memoryview(bytearray(line)))
    assert (found is None) == (parse(line) is None)
    if found is not None:
        assert_same(found, line)
    assert_same(parse(LINE, parser), LINE)


def test_a_message_in_pieces_that_end_anywhere() -> None:
    parser = eager_parser()
    for line in (
        LINE,
        as_line(as_message([json.loads(RECORD)], 12345)),
        as_line(as_message([json.loads(RECORD)] * 2, None)),
    ):
        for end in range(len(line)):
            parser.look_ahead(memoryview(bytearray(line[:end] + b"\n")))
            assert_same(parser.parse(memoryview(bytearray(line))), line)
        for end in range(len(line)):
            parser.look_ahead(memoryview(bytearray(line[:end] + b"\n")))
        assert_same(parser.parse(memoryview(bytearray(line))), line)


def test_pieces_of_a_message_that_has_no_room_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_parser, "_USUAL_BYTES", 1000)
    line = LINE.replace(RECORD, b",".join([RECORD] * 40_000))
    parser = MessageParser()
    before = parser.parse(memoryview(bytearray(LINE)))
    assert before is not None
    for end in range(100_000, len(line), 1_000_000):
        parser.look_ahead(memoryview(bytearray(line[:end] + b"\n")))
    assert parser._columns.count > 30_000, "most of it was parsed ahead"
    assert_same(parser.parse(memoryview(bytearray(line))), line)


def test_a_short_message_is_not_looked_at_before_it_is_whole() -> None:
    parser = MessageParser()
    parser.look_ahead(memoryview(bytearray(LINE[:-10] + b"\n")))
    assert parser._progress.offset == 0


def eager_parser() -> MessageParser:
    """It looks at the shortest pieces."""
    parser = MessageParser()
    parser.look_ahead = parser._go_on  # type: ignore[assignment, method-assign]
    return parser


def test_a_message_cut_anywhere_is_none() -> None:
    for end in range(len(LINE) - 1):
        assert parse(LINE[:end]) is None
        assert parse(LINE[:end] + b"\n") is None
