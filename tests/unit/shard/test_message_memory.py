"""What messages of very many small records take in memory, and that it is given back."""

from collections.abc import Callable
from typing import Any

import gevent
import pytest

from consumer.domain.columns import RECORD_BYTES, Records
from consumer.native import library
from consumer.shard.kcl.line_reader import LineReader
from consumer.shard.kcl.message_parser import MessageParser
from tests.unit.shard.pipes import Pipe, write_without_blocking
from tests.unit.shard.touched import touched_bytes

RECORD = (
    b'{"data":"e30=","partitionKey":"k\\"","sequenceNumber":"49590338271490256608559692538361571095921575989136588898",'
    b'"subSequenceNumber":%d,"approximateArrivalTimestamp":1700000000000,"action":"record"}'
)
SMALL = b'{"action":"processRecords","records":[' + RECORD % 7 + b'],"millisBehindLatest":null}\n'
COUNT = 50_000


def python_parser(*arguments: Any, **named: Any) -> MessageParser:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "load", lambda: None)
        return MessageParser(*arguments, **named)


PARSERS = pytest.mark.parametrize("make", [MessageParser, python_parser], ids=["C", "Python"])


def large_message(count: int = COUNT) -> bytes:
    records = b",".join(RECORD % number for number in range(count))
    return b'{"action":"processRecords","records":[' + records + b'],"millisBehindLatest":0}\n'


def touched(parser: MessageParser) -> int:
    return sum(map(touched_bytes, parser._memory._memory.values()))


@PARSERS
def test_a_message_takes_what_its_records_are_said_to_hold(make: Callable[[], MessageParser]) -> None:
    line, parser = large_message(), make()
    with Pipe() as pipe:
        reader = LineReader(pipe.reading)
        writer = gevent.spawn(write_without_blocking, pipe.writing, line)
        found = parser.parse(reader.read_line(parser.look_ahead))
        writer.get()
        assert found is not None
        held = found[0].held_bytes
        assert len(found[0]) == COUNT
        assert found[0][-1].sub_sequence_number == COUNT - 1
        assert held == COUNT * (len("{}\n") + len('k"') + 56 + RECORD_BYTES)
        assert held <= touched(parser) < held + 200_000, "pages are filled to their ends"
        assert touched_bytes(reader._buffer) < 4_000_000


@PARSERS
def test_a_message_of_any_number_of_records_takes_no_more_than_is_taken_early(
    make: Callable[..., MessageParser],
) -> None:
    """However many they are, and however long their keys."""
    early_bytes, count = 1_000_000, 60_000
    numbers: list[int] = []
    parser = make(
        lambda records: numbers.extend(one.sub_sequence_number for one in records), early_bytes=early_bytes
    )
    with Pipe() as pipe:
        reader = LineReader(pipe.reading)
        writer = gevent.spawn(write_without_blocking, pipe.writing, large_message(count))
        found = parser.parse(reader.read_line(parser.look_ahead))
        writer.get()
    assert found is not None
    numbers += [one.sub_sequence_number for one in found[0]]
    assert numbers == list(range(count))
    # one look is at what one read has brought, and at what was left of the one before
    assert touched(parser) < early_bytes + 2_000_000 < count * (RECORD_BYTES + 56)


@PARSERS
@pytest.mark.parametrize("count", [10_000, COUNT])
def test_memory_of_a_large_message_is_given_back_when_a_small_one_follows(
    count: int, make: Callable[[], MessageParser]
) -> None:
    line, parser = large_message(count), make()
    mapped = sum(map(len, parser._memory._memory.values()))
    held: list[Records] = []
    for _ in range(2):
        for each in (line, SMALL):
            found = parser.parse(memoryview(bytearray(each)))
            assert found is not None
            assert found[0][-1].partition_key == 'k"'
            held.append(found[0])
        assert touched(parser) < 100_000
        assert sum(map(len, parser._memory._memory.values())) == mapped


def test_memory_of_messages_of_one_size_is_used_again() -> None:
    line, parser = large_message(), MessageParser()
    parser.parse(memoryview(bytearray(line)))
    before = dict(parser._memory._memory)
    parser.parse(memoryview(bytearray(line)))
    assert parser._memory._memory == before
    assert touched(parser) < COUNT * 110
