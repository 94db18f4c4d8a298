"""MultiLang messages over real pipes."""

import io
import json
import os
from dataclasses import dataclass, field
from typing import Any

import gevent
import pytest

from consumer.domain.columns import Records
from consumer.domain.errors import ProtocolError
from consumer.shard.kcl.line_reader import LineReader
from consumer.shard.kcl.message_parser import EARLY_BYTES
from consumer.shard.kcl.protocol import InputClosed, RecordsMessage, ShardProcess, write_all
from tests.unit.shard.pipes import Pipe, write_without_blocking

INITIALIZE = b'{"action":"initialize","shardId":"s","sequenceNumber":"1","subSequenceNumber":0}\n'
RECORD = {
    "action": "record",
    "data": "bWVvdw==",
    "partitionKey": "cat",
    "sequenceNumber": "456",
    "subSequenceNumber": 2,
    "approximateArrivalTimestamp": 1476889707000,
}
RECORDS = (
    json.dumps({"action": "processRecords", "records": [RECORD], "millisBehindLatest": 0}).encode() + b"\n"
)


# The process


@dataclass
class Recorder:
    """A processor that notes its callbacks, and checkpoints in processRecords when it is told to."""

    version = 3
    seen: list[Any] = field(default_factory=list)
    checkpoint_at: str | None = None
    failure: Exception | None = None

    def initialize(self, initialize_input: Any) -> None:
        if self.failure is not None:
            raise self.failure
        self.seen.append(("initialize", initialize_input.shard_id))

    def take_early(self, records: Records) -> None:
        self.seen.append(("early", [one.partition_key for one in records]))

    def process_records(self, process_records_input: RecordsMessage) -> None:
        self.seen.append(process_records_input)
        if self.checkpoint_at is not None:
            process_records_input.checkpointer.checkpoint(self.checkpoint_at, None)

    def lease_lost(self, lease_lost_input: Any) -> None:
        self.seen.append("leaseLost")

    def shard_ended(self, shard_ended_input: Any) -> None:
        self.seen.append("shardEnded")

    def shutdown_requested(self, shutdown_requested_input: Any) -> None:
        self.seen.append("shutdownRequested")


def run(processor: Recorder, incoming: bytes) -> bytes:
    """What the process writes when it is given these bytes and then the end of input."""
    written: list[bytes] = []
    with Pipe() as pipe:
        reader = LineReader(pipe.reading)  # it widens the pipe: all of this goes in
        os.write(pipe.writing, incoming)
        pipe.close(pipe.writing)
        process = ShardProcess(processor, reader=reader, write=written.append, error_file=io.StringIO())
        try:
            process.run()
        finally:
            processor.seen.append(b"".join(written))
    return b"".join(written)


def status(action: str) -> bytes:
    return f'\n{{"action": "status", "responseFor": "{action}"}}\n'.encode()


def test_every_callback_is_answered_with_its_name() -> None:
    actions = ["leaseLost", "shardEnded", "shutdownRequested"]
    incoming = INITIALIZE + RECORDS + b"".join(f'{{"action":"{action}"}}\n'.encode() for action in actions)
    processor = Recorder()
    assert run(processor, incoming) == b"".join(map(status, ["initialize", "processRecords", *actions]))
    assert processor.seen[0] == ("initialize", "s")
    assert processor.seen[2:5] == actions


def test_records_arrive_decoded_with_their_place_and_time() -> None:
    processor = Recorder()
    run(processor, RECORDS)
    message = processor.seen[0]
    [one] = message.records
    assert (one.data, one.partition_key, one.arrival_ms) == (b"meow", "cat", 1476889707000)
    assert str(one.position) == "456.2"
    assert message.millis_behind_latest == 0


def test_a_message_too_long_to_be_held_is_taken_early_and_answered_once() -> None:
    key = "cat" * 80
    one, last = {**RECORD, "partitionKey": key}, {**RECORD, "partitionKey": "last"}
    count = EARLY_BYTES // len(key)
    line = json.dumps(
        {"action": "processRecords", "records": [one] * count + [last], "millisBehindLatest": 5}
    )
    processor, written = Recorder(checkpoint_at="456"), bytearray()
    answer = b'{"action":"checkpoint","sequenceNumber":"456","subSequenceNumber":0}\n'
    with Pipe() as pipe:
        reader = LineReader(pipe.reading)
        incoming = INITIALIZE + line.encode() + b"\n" + answer
        writer = gevent.spawn(write_without_blocking, pipe.writing, incoming)
        writer.link(lambda _: pipe.close(pipe.writing))
        process = ShardProcess(processor, reader=reader, write=written.extend, error_file=io.StringIO())
        process.run()
        writer.get()
    _, (word, early), message = processor.seen
    rest = [each.partition_key for each in message.records]
    assert word == "early"
    assert early + rest == [key] * count + ["last"]
    assert message.millis_behind_latest == 5
    asked = b'\n{"action": "checkpoint", "sequenceNumber": "456", "subSequenceNumber": null}\n'
    assert written == status("initialize") + asked + status("processRecords")


def test_an_empty_message_and_an_unknown_lag_are_fine() -> None:
    processor = Recorder()
    run(processor, b'{"action":"processRecords","records":[],"millisBehindLatest":null}\n')
    assert (processor.seen[0].records, processor.seen[0].millis_behind_latest) == ([], None)


@pytest.mark.parametrize(
    "line",
    [
        *(b"\n", b"{\n", b"\xff\n", b"[]\n", b'{"action":"processRecords","records":[{"data":"?"}]}\n'),
        *(b'{"action":"dance"}\n', b'{"action":[]}\n', b'{"action":"record"}\n', b'{"shardId":"s"}\n'),
        *(
            b'{"action":"initialize"}\n',
            b'{"action":"initialize"\n',
            b'{"action":"shutdown","reason":"ZOMBIE"}\n',
        ),
        b'{"action":"shardEnded","action":"processRecords","records":[],"millisBehindLatest":0}\n',
        b'{"action":"shardEnded","other":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n",
        b'{"action":"shardEnded","other":' + b"1" * 5000 + b"}\n",
        b'{"action":"' + b"dance" * 100_000 + b'"}\n',
    ],
    ids=lambda line: repr(line)[2:60],
)
def test_a_malformed_message_ends_the_process_without_an_answer(line: bytes) -> None:
    processor = Recorder()
    with pytest.raises(ProtocolError, match="not a MultiLang message") as refused:
        run(processor, line)
    assert processor.seen == [b""]
    assert len(str(refused.value)) < 1500


def test_an_answer_to_no_checkpoint_ends_the_process_without_an_answer() -> None:
    processor = Recorder()
    with pytest.raises(ProtocolError, match="not asked for"):
        run(processor, b'{"action":"checkpoint","sequenceNumber":"1","subSequenceNumber":0}\n')
    assert processor.seen == [b""]


def test_what_other_messages_hold_beside_the_expected_is_passed_over() -> None:
    line = INITIALIZE.replace(b"}", b',"more":{"a":[{}]},"sequenceNumber":"2"}')
    assert run(Recorder(), line) == status("initialize")


def test_an_exception_of_a_callback_ends_the_process_without_an_answer() -> None:
    """amazon_kclpy's own loop would print it and answer OK: a later checkpoint would pass the lost records."""
    processor = Recorder(failure=ValueError("no such bucket"))
    with pytest.raises(ValueError, match="no such bucket"):
        run(processor, INITIALIZE)
    assert processor.seen == [b""]


@pytest.mark.parametrize("rest", [b"", b'{"action":"checkp'])
def test_the_end_of_input_during_a_checkpoint_ends_the_process_quietly(rest: bytes) -> None:
    with pytest.raises(InputClosed) as end:
        run(Recorder(checkpoint_at="456"), RECORDS + rest)
    assert end.value.code == 0


@pytest.mark.parametrize("line", [INITIALIZE, RECORDS])
def test_the_end_of_input_in_the_middle_of_a_message_ends_the_process_quietly(line: bytes) -> None:
    for end in range(1, len(line) - 1):
        processor = Recorder()
        with pytest.raises(InputClosed):
            run(processor, line[:end])
        assert processor.seen == [b""]


def test_the_end_of_input_behind_what_was_looked_at_ends_the_process_quietly() -> None:
    """What comes next are the records that are read already."""
    message = json.dumps({"action": "processRecords", "records": [RECORD] * 3000, "millisBehindLatest": 0})
    processor = Recorder()
    with Pipe() as pipe:
        process = ShardProcess(
            processor, reader=LineReader(pipe.reading), write=lambda data: None, error_file=io.StringIO()
        )
        gevent.spawn(_write_and_close, pipe, message.encode()[:-100])
        with pytest.raises(InputClosed):
            process.run()
    assert processor.seen == []


def _write_and_close(pipe: Pipe, data: bytes) -> None:
    write_all(pipe.writing, data)
    gevent.idle()
    pipe.close(pipe.writing)


def test_a_last_message_needs_no_line_end() -> None:
    assert run(Recorder(), RECORDS.rstrip()) == status("processRecords")


def test_a_kcl_that_does_not_listen_any_more_ends_the_process_quietly() -> None:
    with Pipe() as pipe, Pipe() as answers:
        answers.close(answers.reading)
        os.write(pipe.writing, RECORDS)
        process = ShardProcess(
            Recorder(),
            reader=LineReader(pipe.reading),
            write=lambda data: write_all(answers.writing, data),
            error_file=io.StringIO(),
        )
        with pytest.raises(InputClosed):
            process.run()
