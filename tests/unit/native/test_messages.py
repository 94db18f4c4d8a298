"""Messages as columns: the C library and Python read them alike, wherever they are cut."""

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from consumer.domain.columns import NUMBER_CODES, Columns, Records
from consumer.domain.errors import ProtocolError
from consumer.domain.records import Record
from consumer.native import library
from consumer.shard.kcl import record_memory
from consumer.shard.kcl.message_parser import MessageParser
from tests.unit.native.messages import (
    LAST_ARRIVAL_MS,
    LINE,
    RECORD,
    as_line,
    as_message,
    kcl_lines,
    kcl_records,
    odd_lines,
)
from tests.unit.native.mutations import mutated

pytestmark = pytest.mark.usefixtures("native")

type Found = tuple[Records, int | None]

OTHER = "another action"
REFUSED = "no message"


def python_parser() -> MessageParser:
    """As it is without the library."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "load", lambda: None)
        return MessageParser()


PARSERS = pytest.mark.parametrize("make", [MessageParser, python_parser], ids=["C", "Python"])
type Make = Callable[[], MessageParser]


def viewed(line: bytes) -> memoryview:
    return memoryview(bytearray(line))


def parse(line: bytes, parser: MessageParser | None = None) -> Found | None:
    return (parser or MessageParser()).parse(viewed(line))


def outcome(line: bytes, parser: MessageParser) -> Any:
    """Columns and time behind, OTHER, or REFUSED."""
    try:
        found = parse(line, parser)
    except ProtocolError:
        return REFUSED
    return OTHER if found is None else (columns(found[0]), found[1])


def columns(records: Records) -> list[Any]:
    """All parts of each column as one."""
    parts = records.parts
    labels = b"".join(part.labels for part in parts)
    numbers = [[number for part in parts for number in getattr(part, name)] for name in NUMBER_CODES]
    return [b"".join(part.text for part in parts), labels, *numbers]


# The same by plainer means


def expected(line: bytes) -> Any:
    """What `outcome` has to be, of a line that is read as a whole."""
    try:
        text = str(line, "utf-8", "surrogatepass")
        message = json.loads(text, object_pairs_hook=Members, parse_int=number)
    except ValueError:
        return REFUSED
    if not isinstance(message, Members):
        return REFUSED
    if is_other(message.pairs):
        return OTHER
    names, members = [name for name, _ in message.pairs], message.last
    if members.get("action") != "processRecords" or not isinstance(members.get("records"), list):
        return REFUSED
    if any(names.count(name) > 1 for name in ("action", "records", "millisBehindLatest")):
        return REFUSED
    millis, records = members.get("millisBehindLatest"), map(expected_record, members["records"])
    if not is_millis(millis):
        return REFUSED
    made = list(records)
    return REFUSED if None in made else (columns(Records.of(filter(None, made))), millis)


def number(digits: str) -> int | float:
    """Python makes no integers of thousands of digits."""
    return int(digits) if len(digits) < 100 else float(digits)


def is_other(members: Sequence[tuple[str, Any]]) -> bool:
    """Whether the action is another one. What stands behind it is nobody's business here."""
    for place, (name, value) in enumerate(members):
        if name == "action":
            return isinstance(value, str) and value != "processRecords"
        if name == "records" or (
            name == "millisBehindLatest" and (not is_millis(value) or members[:place].count(name))
        ):
            return False
    return False


NAMES = ("data", "partitionKey", "sequenceNumber", "subSequenceNumber", "approximateArrivalTimestamp")


class Members:
    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs
        self.last = dict(pairs)


def expected_record(value: Any) -> Record | None:
    if not isinstance(value, Members):
        return None
    members: dict[str, Any] = {"subSequenceNumber": 0, **value.last}
    values: list[Any] = [members.get(name) for name in NAMES]
    data, key, sequence, sub_sequence, arrival_ms = values
    if not all(isinstance(text, str) for text in (data, key, sequence)):
        return None
    if not is_integer(arrival_ms, LAST_ARRIVAL_MS) or not is_integer(sub_sequence, 2**63 - 1):
        return None
    try:
        return Record(base64.b64decode(data, validate=True), key, sequence, sub_sequence, arrival_ms)
    except ValueError:
        return None


def is_millis(value: Any) -> bool:
    return value is None or is_integer(value, 2**63 - 1)


def is_integer(value: Any, most: int) -> bool:
    return type(value) is int and 0 <= value <= most


def assert_same(found: Any, line: bytes) -> None:
    wanted = expected(line)
    # what is behind another action is not read here
    assert found == wanted or (found == OTHER and wanted == REFUSED)


# Whole messages


@given(kcl_lines)
@example(as_line(as_message([], None)))
@example(as_line(as_message([], 0)))
def test_of_what_the_kcl_writes_c_is_always_sure(line: bytes) -> None:
    parser = MessageParser()
    parser._text.read = lambda line: pytest.fail("left to Python")  # type: ignore[method-assign]
    assert outcome(line, parser) == expected(line)


@given(kcl_lines)
def test_what_the_kcl_writes_is_read_without_the_library(line: bytes) -> None:
    assert outcome(line, python_parser()) == expected(line)


@PARSERS
def test_every_size_of_a_payload_comes_out_as_it_was(make: Make) -> None:
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
    found = parse(as_line(as_message(records, 5)), make())
    assert found is not None
    assert list(found[0]) == made


def on_one_line(line: bytes) -> bytes:
    return line.replace(b"\n", b"") + b"\n"


any_lines = st.one_of(
    odd_lines(),
    mutated(kcl_lines),
    mutated(odd_lines()),
    mutated(st.just(LINE)),
).map(on_one_line)


@given(any_lines)
def test_whatever_a_line_holds_c_and_python_find_the_same(line: bytes) -> None:
    found = outcome(line, MessageParser())
    assert_same(found, line)
    assert outcome(line, python_parser()) == found


@given(st.data(), kcl_records())
def test_any_byte_in_base64_counts_for_what_python_takes_it_for(
    data: st.DataObject, record: dict[str, Any]
) -> None:
    line = bytearray(as_line(as_message([record], 1)))
    begin = line.index(b'"data":"') + len(b'"data":"')
    end = line.index(b'"', begin)
    place = data.draw(st.integers(begin, end))
    line[place] = data.draw(st.integers(0, 255).filter(lambda byte: byte != ord("\n")))
    assert outcome(bytes(line), MessageParser()) == expected(bytes(line))
    assert outcome(bytes(line), python_parser()) == expected(bytes(line))


def with_data(text: bytes) -> bytes:
    return LINE.replace(b"bWVvdw==", text)


def with_key(text: bytes) -> bytes:
    return LINE.replace(b'"cat"', text)


def with_member(text: bytes) -> bytes:
    """In the record, and with a neighbour at either side."""
    odd = RECORD.replace(b'"action":"record"', text)
    return LINE.replace(RECORD, b",".join([RECORD, odd, RECORD]))


NUMBERS = (
    *(b"-2", b"02", b"2.0", b"2e0", b"-0", b"+2", b"1" * 18, b"1" * 19, b"9" * 19, b"1" * 20, b"1" * 5000),
    *(b"9223372036854775807", b"9223372036854775808", b"7258118399999", b"7258118400000"),
    *(b"null", b"nul", b"nulls", b'"2"', b"true", b"NaN", b"[]", b"{}", b""),
)


@PARSERS
@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"{\n",
        b"{}\n",
        b"[]\n",
        b"0\n",
        b"nonsense, and more of it\n",
        LINE[:-2] + b"\n",
        LINE[:-1] + b"\r\n",
        LINE[:-1] + b" \t\n",
        LINE[:-1] + b"}\n",
        LINE[:-1] + LINE,
        b" " + LINE,
        b"\xef\xbb\xbf" + LINE,
        b"\xff\xfe" + LINE,
        b"\x00" + LINE,
        LINE.replace(b'"action":"processRecords",', b""),
        LINE.replace(b"processRecords", b"shardEnded"),
        LINE.replace(b'"processRecords"', b"null"),
        LINE.replace(b"processRecords", rb"process\u0052ecords"),
        LINE.replace(b'"records"', b'"others"'),
        LINE.replace(b'"records"', rb'"record\u0073"'),
        LINE.replace(b'"records":', b'"records" : '),
        LINE.replace(b"[" + RECORD + b"]", b"null"),
        LINE.replace(b"[" + RECORD + b"]", b"{}"),
        LINE.replace(b"[" + RECORD + b"]", b"[ ]"),
        LINE.replace(RECORD, b"null"),
        LINE.replace(RECORD, b"[]"),
        LINE.replace(RECORD, b"{}"),
        LINE.replace(RECORD, RECORD + b","),
        LINE.replace(RECORD, RECORD + b" , " + RECORD + b" "),
        LINE.replace(RECORD, RECORD + b",,"),
        LINE.replace(RECORD, b"," + RECORD),
        LINE.replace(RECORD, RECORD + RECORD),
        LINE.replace(RECORD, RECORD + b"x"),
        LINE.replace(b'"millisBehindLatest":3,', b""),
        LINE.replace(b'"millisBehindLatest":3', b'"millisBehindLatest":3,"millisBehindLatest":4'),
        LINE.replace(b'"millisBehindLatest":3', b'"millisBehindLatest":null,"millisBehindLatest":null'),
        LINE.replace(b'"millisBehindLatest":3', b'"millisBehindLatest":3,"action":"processRecords"'),
        LINE.replace(b'"millisBehindLatest":3', b'"millisBehindLatest":3,"action":"shardEnded"'),
        LINE.replace(b'"millisBehindLatest":3', b'"millisBehindLatest":3,"records":[]'),
        LINE[:-2] + b',"action":"shardEnded"}\n',
        *(LINE.replace(b'Latest":3', b'Latest":' + number) for number in NUMBERS),
        *(LINE.replace(b'SequenceNumber":2', b'SequenceNumber":' + number) for number in NUMBERS),
        *(LINE.replace(b'Timestamp":1476889707000', b'Timestamp":' + number) for number in NUMBERS),
        LINE.replace(b'"subSequenceNumber":2,', b""),
        LINE.replace(b',"approximateArrivalTimestamp":1476889707000', b""),
        LINE.replace(b'"partitionKey":"cat",', b""),
        LINE.replace(b'"subSequenceNumber":2', b'"subSequenceNumber":2,"subSequenceNumber":3'),
        LINE.replace(b'"subSequenceNumber":2', b'"subSequenceNumber":-2,"subSequenceNumber":3'),
        LINE.replace(b'"partitionKey":"cat"', b'"partitionKey":"cat","partitionKey":"dog"'),
        LINE.replace(b'"partitionKey"', rb'"partition\u004bey"'),
        LINE.replace(b'"data":', b'"data":"AAAA","data":'),
        LINE.replace(b'"456"', b"456"),
        LINE.replace(b'"456"', b'""'),
        LINE.replace(b'"456"', b"null"),
        LINE.replace(b'"456"', b'"' + b"9" * 100_000 + b'"'),
        LINE.replace(b'"456"', rb'"4\u00356"'),
        *(
            with_key(key)
            for key in (
                *(b'""', b"null", b"[]", b'"c\xc3t"', b'"c\xc0\x80t"', b'"c\xff"', b'"c\tt"', b'"c\x00t"'),
                *(
                    b'"c\xed\xa0\x80t"',
                    b'"\xed\xa0\xbd\xed\xb8\x80"',
                    b'"\xf4\x90\x80\x80"',
                    b'"\xf0\x8f\xbf\xbf"',
                ),
                *(b'"\xe0\x9f\xbf\\n"', b'"\xe0\xa0\x80\\n"', b'"\xed\x9f\xbf\\n"', b'"\xed\xa0\x80\\n"'),
                *(
                    b'"\xf0\x9f\x98\x80\\n"',
                    b'"\xf4\x8f\xbf\xbf\\n"',
                    b'"\xf4\x90\x80\x80\\n"',
                    b'"\xe2\x82\\n"',
                ),
                *(rb'"c\u0061t"', rb'"\"\\\/\b\f\n\r\t"', rb'"\x"', rb'"\u12"', rb'"\u12g4"', rb'"\U0041"'),
                *(rb'"\u00e9\u20AC\u0000\uFFFF"', rb'"\uD83D\uDE00"', rb'"\ud83d\ude00"', rb'"\ude00\ud83d"'),
                *(rb'"\ud83d"', rb'"\ud83dx"', rb'"\ud83d\n"', rb'"\ud83d\u0041"', rb'"\ud83d\ud83d\ude00"'),
                *(rb'"\ud83d\uzzzz"', rb'"\ud83d\u"', b'"\\"', b'"\\\\"', b'"\\\\\\"', rb'"\\\\\""', rb'"\"'),
                *(b'"' + b"k" * 100_000 + b'"', b'"' + rb"\"" * 100_000 + b'"', rb'"{\"[\\,]}"'),
            )
        ),
        *(
            with_member(member)
            for member in (
                b'"other":[1,}',
                b'"other":"\xff"',
                b'"other":"\x00"',
                rb'"other":"\ud800"',
                rb'"\ud800":1',
                b'"\xed\xa0\x80":{"\xed\xa0\x80":1}',
                b'"other":' + b"[" * 64 + b"]" * 64,
                b'"other":' + b"[" * 65 + b"]" * 65,
                b'"other":' + b"[" * 500 + b"]" * 500,
                b'"other":' + b'{"a":' * 100 + b'"}"' + b"}" * 100,
                b'"other":[[]',
                b'"other":1e999',
                b'"other":NaN',
                b'"other":' + b"1" * 5000,
                b'"other":' + b"1" * 5000 + rb',"more":"\ud800"',
                b'"other":01',
                b'"other":"],}"',
                rb'"o\"ther":"\\"',
                b'"other"',
                b'other:"a"',
                b'"other":"a',
            )
        ),
        LINE[:-2] + b',"other":' + b"[" * 65 + b"]" * 65 + b"}\n",
        LINE[:-2] + b',"other":"\\ud800"}\n',
        LINE[:-2] + b',"other":[1,}\n',
        LINE[:-2] + b',"other":nul}\n',
        LINE[:-2] + b',"o\\\\\\"ther":{}}\n',
        LINE[:-2] + b',"o\\qther":{}}\n',
        LINE[:-2] + b",other:{}}\n",
        LINE[:-2] + b",}\n",
        *map(
            with_data,
            (
                *(b"bWVvdw=", b"bWVvdw", b"bWVvdw===", b"bWVv====", b"====", b"=", b"bWVvd===", b"bWVvdw=A"),
                *(b"bW==dw==", rb"bWVv\u0064w==", rb"bWV\/dw==", b"bWVv dw==", b"bWV-dw==", b"bWV_dw=="),
                *(b"A" * 31 + b"=" + b"bWVvdw==", b"A" * 32 + b"\xc3\xa9AA", b"QR==", b"QUJ=", b"//++", b""),
            ),
        ),
    ],
    ids=lambda line: repr(line)[2:60] if isinstance(line, bytes) else None,
)
def test_what_the_kcl_never_writes_is_read_alike_or_refused(line: bytes, make: Make) -> None:
    assert_same(outcome(line, make()), line)


@PARSERS
@pytest.mark.parametrize("depth", [513, 100_000])
def test_brackets_without_end_are_refused_and_not_counted_on_the_stack(depth: int, make: Make) -> None:
    other = b'"other":' + b"[" * depth + b"]" * depth
    for line in (with_member(other), LINE[:-2] + b"," + other + b"}\n"):
        with pytest.raises(ProtocolError, match="more than 512 brackets within one another"):
            parse(line, make())


@PARSERS
def test_an_excerpt_is_short_however_long_the_record_is(make: Make) -> None:
    with pytest.raises(ProtocolError) as refused:
        parse(with_data(b"?" * 5_000_000), make())
    assert len(str(refused.value)) < 500


@PARSERS
def test_an_excerpt_is_of_the_record_that_is_refused(make: Make) -> None:
    line = with_member(b'"partitionKey":null')
    with pytest.raises(ProtocolError, match=r"\$\.partitionKey.*\): b'\{\"data\".*\"partitionKey\":null\}'"):
        parse(line, make())


# What one record costs its neighbours


def spied(parser: MessageParser) -> list[bytes]:
    """What is left to Python, by its first bytes."""
    left: list[bytes] = []
    read = parser._text.read

    def spy(line: memoryview) -> int:
        left.append(bytes(line[parser._progress.offset :][:100]))
        return read(line)

    parser._text.read = spy  # type: ignore[method-assign]
    return left


odd_records = st.sampled_from(
    [
        RECORD.replace(b'"cat"', rb'"c\u0061t"').replace(b'"456"', rb'"\u0034"'),
        RECORD.replace(b'"cat"', b'"\xed\xa0\x80"'),
        RECORD.replace(b":2,", b": 2 ,"),
        RECORD.replace(b'"subSequenceNumber":2,', b""),
        RECORD.replace(b'"action":"record"', rb'"a\\\"":"]}"'),
        RECORD.replace(b'"action":"record"', b'"other":' + b"[" * 70 + b'"]}"' + b"]" * 70),
    ]
)
sure_records = st.sampled_from(
    [RECORD, RECORD.replace(b'"cat"', b'"\xc3\xa9"'), RECORD.replace(b'"cat"', rb'"\"\ud83d\ude00\ud83d"')]
)


@given(st.lists(odd_records.map(lambda record: (record, 1)) | sure_records.map(lambda record: (record, 0))))
def test_python_reads_those_records_alone_that_c_is_not_sure_of(records: list[tuple[bytes, int]]) -> None:
    line = LINE.replace(RECORD, b",".join(record for record, _ in records))
    parser = MessageParser()
    left = spied(parser)
    assert outcome(line, parser) == expected(line)
    assert len(left) == sum(is_odd for _, is_odd in records)


@PARSERS
def test_records_are_never_objects_all_at_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    add = record_memory.RecordMemory.add

    def spy(self: record_memory.RecordMemory, group: Columns) -> None:
        sizes.append(len(group))
        add(self, group)

    monkeypatch.setattr(record_memory.RecordMemory, "add", spy)
    odd = RECORD.replace(b'"456"', rb'"4\u00356"')
    for record in (RECORD, odd):
        line = LINE.replace(RECORD, b",".join([record] * 20_000))
        assert outcome(line, make()) == expected(line)
    assert max(sizes) <= 5000


# Room


@PARSERS
def test_more_records_than_there_was_room_for(make: Make) -> None:
    count = 40_000
    record = as_line(as_message([{**json.loads(RECORD), "data": ""}], 0)).split(b"[")[1].split(b"]")[0]
    line = LINE.replace(RECORD, b",".join([record] * count))
    parser = make()
    assert outcome(line, parser) == expected(line)
    assert outcome(LINE, parser) == expected(LINE)


@PARSERS
def test_there_is_room_for_texts_that_are_all_key_or_all_payload(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_memory, "_USUAL_BYTES", 1000)
    parser = make()
    for line in (
        LINE,
        with_key(b'"' + b"k" * 9000 + b'"'),
        with_data(b"AAAA" * 5000),
        with_key(b'"' + rb"\"" * 99_999 + b'"'),
    ):
        assert outcome(line, parser) == expected(line)


@PARSERS
@given(lines=st.lists(kcl_lines | any_lines, max_size=5))
@example(lines=[LINE, LINE.replace(RECORD, b",".join([RECORD] * 3000)), LINE, b"{}\n", LINE])
def test_a_message_is_the_same_whatever_was_parsed_before_it(make: Make, lines: list[bytes]) -> None:
    parser = make()
    for line in lines:
        assert_same(outcome(line, parser), line)


# In pieces


def in_pieces(line: bytes, cuts: Sequence[int], parser: MessageParser) -> Any:
    """As `outcome`, of a line of which ever more is shown: as much as each cut says."""
    done = 0
    try:
        for cut in sorted(cuts):
            parser._wanted = 0  # the shortest pieces
            shown = line[done : max(done, min(cut, len(line) - 1))]
            count = parser.look_ahead(viewed(shown + b"\n"))
            assert count <= len(shown)
            done += count
    except ProtocolError:
        return REFUSED
    return outcome(line[done:], parser)


mixed_lines = st.lists(odd_records | sure_records, max_size=6).map(
    lambda records: LINE.replace(RECORD, b",".join(records))
)


@PARSERS
@given(line=kcl_lines | mixed_lines | any_lines, cuts=st.lists(st.integers(0, 3000), max_size=6))
@example(line=LINE, cuts=[1])
@example(line=LINE.replace(RECORD, b",".join([RECORD] * 3000)), cuts=[70_000, 200_000])
def test_a_message_is_the_same_wherever_its_pieces_end(make: Make, line: bytes, cuts: list[int]) -> None:
    assert in_pieces(line, cuts, make()) == outcome(line, make())


ODD_LINE = LINE.replace(
    RECORD,
    b" , ".join(
        [
            RECORD,
            RECORD.replace(b'"cat"', rb'"\"\ud83d\ude00\\\u00e9"'),
            RECORD.replace(b'"456"', rb'"4\u00356"').replace(b":2,", b" : 2 ,"),
        ]
    ),
).replace(b'"millisBehindLatest":3', rb'"other" : {"a":["\"]}"]} , "millis\u0042ehindLatest" : 3')


@PARSERS
@pytest.mark.parametrize("line", [LINE, ODD_LINE], ids=["usual", "odd"])
def test_a_message_in_pieces_that_end_anywhere(line: bytes, make: Make) -> None:
    wanted = expected(line)
    assert wanted != REFUSED
    parser = make()
    for end in range(len(line)):
        assert in_pieces(line, [end], parser) == wanted
    assert in_pieces(line, range(len(line)), parser) == wanted


@PARSERS
@pytest.mark.parametrize("line", [LINE, ODD_LINE], ids=["usual", "odd"])
def test_a_message_cut_anywhere_is_none(line: bytes, make: Make) -> None:
    parser = make()
    for end in range(len(line) - 1):
        for rest in (b"", b"\n"):
            assert outcome(line[:end] + rest, parser) == REFUSED
            assert in_pieces(line[:end] + rest, [end // 2, end], parser) == REFUSED
    assert outcome(line[:-1], parser) == expected(line), "the end of input is one of the line"


@PARSERS
def test_pieces_of_a_message_that_has_no_room_yet(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_memory, "_USUAL_BYTES", 1000)
    small = LINE.replace(RECORD, b",".join([RECORD] * 40_000))
    large = LINE.replace(RECORD, b",".join([RECORD.replace(b"bWVvdw==", b"bWVv" * 500)] * 2000))
    parser = make()
    before = parse(LINE, parser)
    assert before is not None, "held, so that its memory cannot grow"
    for line in (small, large):
        assert in_pieces(line, range(100_000, len(line), 100_000), parser) == expected(line)
        assert len(parser._memory._memory["text"]) > len(expected(line)[0][0])


@PARSERS
def test_what_was_looked_at_is_done_with_but_for_the_unfinished_record(make: Make) -> None:
    line = LINE.replace(RECORD, b",".join([RECORD] * 1000))
    parser = make()
    place = line.index(b"[") + 1 + 800 * (len(RECORD) + 1)
    assert parser.look_ahead(viewed(line[: place + 50] + b"\n")) == place
    assert parser._memory.columns.count == 800


@PARSERS
def test_nothing_is_done_with_of_a_message_that_somebody_else_reads(make: Make) -> None:
    long = b'"shardId":"' + b"s" * 90_000 + b'","other":"' + b"s" * 90_000 + b'"'
    parser = make()
    for line in (b'{"action":"initialize",' + long + b"}\n", b"{" + long + b',"action":"initialize"}\n'):
        for end in range(70_000, len(line), 10_000):
            assert parser.look_ahead(viewed(line[:end] + b"\n")) == 0
        assert outcome(line, parser) == OTHER
        assert outcome(LINE, parser) == expected(LINE)


def test_a_short_message_is_not_looked_at_before_it_is_whole() -> None:
    parser = MessageParser()
    assert parser.look_ahead(viewed(LINE[:-10] + b"\n")) == 0
    assert parser._progress.stage == library.AT_BEGIN


def read_bytes(parser: MessageParser) -> list[int]:
    """How much is read each time, whether something comes of it or not."""
    sizes: list[int] = []
    read = parser._read

    def spy(line: memoryview) -> int:
        sizes.append(len(line) - parser._progress.offset)
        return read(line)

    parser._read = spy  # type: ignore[method-assign]
    return sizes


@PARSERS
@pytest.mark.parametrize(
    "line",
    [
        with_data(b"AAAA" * 1_000_000),
        with_key(b'"' + b"k" * 4_000_000 + b'"'),
        with_key(b'"' + rb"\u0001" * 600_000 + b'"'),
        with_member(b'"other":"' + b"o" * 4_000_000 + b'"'),
        b'{"other":"' + b"o" * 4_000_000 + b'",' + LINE[1:],
        LINE.replace(RECORD, b",".join([RECORD] * 20_000)),
    ],
    ids=["data", "key", "escapes", "other", "message", "records"],
)
def test_a_line_that_comes_slowly_is_read_a_few_times_over_at_most(line: bytes, make: Make) -> None:
    parser = make()
    sizes = read_bytes(parser)
    done = 0
    for end in range(8192, len(line), 8192):
        done += parser.look_ahead(viewed(line[done:end] + b"\n"))
    assert outcome(line[done:], parser) == expected(line)
    assert sum(sizes) < 6 * len(line)
