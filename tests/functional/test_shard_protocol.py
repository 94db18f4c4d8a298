"""The conversation with the KCL, over real pipes with the real process."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from consumer.settings import Settings
from tests.functional.conftest import StartShard
from tests.functional.harness.event_log import EventLog
from tests.functional.harness.kcl import (
    PROJECT,
    SAFETY_SECONDS,
    Ended,
    Message,
    as_line,
    child_environment,
    never,
    payload,
    record,
    records,
    refuse,
    refuse_first,
)
from tests.functional.harness.s3_stub import S3Stub, held_until, holds_record, when
from tests.functional.harness.shard_settings import ONE_RECORD_A_CHUNK, s3_settings

TRANSCRIPT = PROJECT.parent / "shared" / "conformance" / "multilang_transcript.json"
CRASHED = 70


@pytest.fixture
def transcript() -> dict[str, Any]:
    if not TRANSCRIPT.exists():
        pytest.skip("the folder `shared` with the MultiLang transcript is not beside the project")
    content: dict[str, Any] = json.loads(TRANSCRIPT.read_bytes())
    return content


@pytest.fixture
def one_by_one(s3: S3Stub) -> Settings:
    """Every record is a chunk, and a callback waits until it is delivered."""
    changes = {"chunk.max_records": "1", "delivery.max_in_flight_chunks": "1", "s3.validate_json": "false"}
    return s3_settings(s3, changes)


def test_the_published_transcript_byte_for_byte(
    transcript: dict[str, Any], one_by_one: Settings, start_shard: StartShard, s3: S3Stub
) -> None:
    kcl = start_shard(one_by_one)
    kcl.write(b"".join(as_line(message) for message in transcript["input"]))
    assert kcl.finish() == 0
    assert bytes(kcl.output) == b"".join(b"\n" + as_line(message) for message in transcript["output"])
    assert s3.lines == [b"meow"]


def test_the_published_error_cases(
    transcript: dict[str, Any], one_by_one: Settings, start_shard: StartShard
) -> None:
    """A reply with an error is repeated; a reply that is another action, and an unknown action, end the process."""
    replies = [case["reply"] for case in transcript["error_cases"] if "reply" in case]
    refused, out_of_turn = replies
    [unknown] = [case["line"] for case in transcript["error_cases"] if "line" in case]

    kcl = start_shard(one_by_one)
    kcl.initialize()
    kcl.give(records([1]))
    first = kcl.next_request()
    kcl.send(refused)
    assert kcl.next_request() == first
    kcl.send(out_of_turn)
    with pytest.raises(Ended, match="InvalidStateException"):
        kcl.next()
    assert kcl.wait() == CRASHED

    other = start_shard(one_by_one)
    other.initialize()
    other.send(unknown)
    with pytest.raises(Ended, match="couldn't be understood"):
        other.next()
    assert other.wait() == CRASHED


def test_a_processor_that_fails_in_initialize_ends_the_process_without_a_status_line(
    one_by_one: Settings, start_shard: StartShard
) -> None:
    kcl = start_shard(one_by_one, environment={"AWS_PROFILE": "no-such-profile"})
    with pytest.raises(Ended, match="no-such-profile"):
        kcl.initialize()
    assert kcl.wait() == CRASHED
    assert not kcl.output


def test_a_refused_checkpoint_is_repeated_at_once_and_the_next_one_passes_it(
    one_by_one: Settings, start_shard: StartShard
) -> None:
    kcl = start_shard(one_by_one)
    kcl.initialize()
    kcl.answer = refuse_first("SomethingUnheardOf")
    kcl.process(records([1]))
    assert kcl.asked == [("1", None)] * 2
    assert kcl.confirmed == [("1", None)]


def test_a_throttled_checkpoint_is_left_for_later(one_by_one: Settings, start_shard: StartShard) -> None:
    kcl = start_shard(one_by_one)
    kcl.initialize()
    kcl.answer = refuse_first("ThrottlingException")
    kcl.process(records([1]))
    assert kcl.asked == [("1", None)]
    kcl.shut_down()
    assert kcl.confirmed == [("1", None)]
    assert kcl.finish() == 0


def test_a_shards_end_that_is_throttled_is_asked_for_until_it_holds(
    one_by_one: Settings, start_shard: StartShard
) -> None:
    kcl = start_shard(one_by_one)
    kcl.initialize()
    kcl.process(records([1]))
    kcl.answer = refuse_first("ThrottlingException", times=2)
    kcl.end_shard()
    assert kcl.asked == [("1", None), (None, None), (None, None), (None, None)]
    assert kcl.confirmed == [("1", None), (None, None)]


def test_after_shutdown_exception_nothing_is_checkpointed_and_every_callback_is_answered(
    one_by_one: Settings, start_shard: StartShard
) -> None:
    kcl = start_shard(one_by_one)
    kcl.initialize()
    kcl.answer = refuse("ShutdownException")
    kcl.process(records([1, 2, 3]))
    kcl.process(records([4]))
    kcl.lose_lease()
    assert kcl.asked == [("1", None)]
    assert kcl.finish() == 0


def test_a_lost_lease_is_answered_and_writes_in_flight_are_not_checkpointed(
    s3: S3Stub, start_shard: StartShard
) -> None:
    gate = threading.Event()
    s3.rule = when(holds_record(1), held_until(gate))
    kcl = start_shard(s3_settings(s3, ONE_RECORD_A_CHUNK))
    kcl.initialize()
    kcl.process(records([1, 2]))
    s3.wait_for_held(1)
    kcl.lose_lease()
    gate.set()
    s3.wait_for_objects(2)
    kcl.process([])
    assert kcl.finish() == 0
    assert kcl.asked == []


def test_a_reply_that_never_comes_leaves_the_silence_visible_and_the_end_of_input_ends_it(
    one_by_one: Settings, start_shard: StartShard, events: EventLog
) -> None:
    kcl = start_shard(one_by_one, events=events.path)
    kcl.initialize()
    kcl.answer = never
    kcl.give(records([1]))
    kcl.next_request()
    # the KCL owes an answer: a hung JVM must not look like a callback that takes its time
    assert events.status().last_callback_ms == events.status().last_callback_ms
    assert kcl.finish() == 0


def test_a_malformed_message_ends_the_process_without_a_status_line(
    one_by_one: Settings, start_shard: StartShard
) -> None:
    kcl = start_shard(one_by_one)
    kcl.write(b'{"action":\n')
    with pytest.raises(Ended, match="not a MultiLang message"):
        kcl.next()
    assert kcl.wait() == CRASHED
    assert not kcl.output


def test_the_end_of_input_while_idle_ends_the_process(one_by_one: Settings, start_shard: StartShard) -> None:
    kcl = start_shard(one_by_one)
    kcl.initialize()
    assert kcl.finish() == 0


def test_the_end_of_input_in_the_middle_of_a_message_is_no_crash(
    one_by_one: Settings, start_shard: StartShard, s3: S3Stub
) -> None:
    kcl = start_shard(one_by_one)
    kcl.initialize()
    kcl.write(as_line({"action": "processRecords", "records": records([1])})[:-20])
    assert kcl.finish() == 0
    assert kcl.stderr.count("ends") == 0
    assert s3.requests == 0


@pytest.mark.parametrize("native", ["true", "false"])
def test_records_are_delivered_with_the_C_library_and_without_it(
    native: str, s3: S3Stub, start_shard: StartShard
) -> None:
    kcl = start_shard(s3_settings(s3, {**ONE_RECORD_A_CHUNK, "shard.native": native}))
    kcl.initialize()
    kcl.process(records([1, 2]))
    s3.wait_for_objects(2)
    maps = Path(f"/proc/{kcl.child.pid}/maps").read_text()
    assert ("consumer-native-" in maps) == (native == "true")
    assert kcl.finish() == 0
    assert "without the C library" not in kcl.stderr


def test_a_process_blocked_on_its_backend_ends_when_its_parent_dies(
    one_by_one: Settings, s3: S3Stub, tmp_path: Path
) -> None:
    """I10: it does not read, so it does not see the end of its input."""
    s3.rule = lambda put: held_until(threading.Event())
    settings_file = tmp_path / "settings.json"
    settings_file.write_bytes(one_by_one.dump())
    to_shard, from_shard = os.pipe(), os.pipe()
    # prints the pid of the shard process, then waits to be killed
    jvm = (
        "import subprocess, sys\n"
        f"shard = subprocess.Popen([sys.executable, '-m', 'consumer.shard'],"
        f" stdin={to_shard[0]}, stdout={from_shard[1]})\n"
        "print(shard.pid, flush=True)\n"
        "shard.wait()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", jvm],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=(to_shard[0], from_shard[1]),
        env=child_environment(settings_file, None),
        cwd=PROJECT,
    ) as parent:
        assert parent.stdout is not None
        shard_pid = int(parent.stdout.readline())
        shard = os.pidfd_open(shard_pid)
        os.close(to_shard[0])
        os.close(from_shard[1])
        try:
            os.write(
                to_shard[1],
                as_line(
                    {"action": "initialize", "shardId": "s", "sequenceNumber": "1", "subSequenceNumber": 0}
                )
                + as_line({"action": "processRecords", "records": records([1]), "millisBehindLatest": 1}),
            )
            s3.wait_for_held(1)
            parent.kill()
            with os.fdopen(from_shard[0], "rb") as answers:
                watchdog = threading.Timer(SAFETY_SECONDS, signal.pidfd_send_signal, (shard, signal.SIGKILL))
                watchdog.start()
                rest = answers.read()  # up to the end of the process
                assert watchdog.is_alive(), "it did not end by itself"
                watchdog.cancel()
            assert rest.split() == as_line({"action": "status", "responseFor": "initialize"}).split()
        finally:
            os.close(to_shard[1])
            _kill(shard)
            os.close(shard)


def _kill(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(process, signal.SIGKILL)


NOISY = """
from gevent import monkey
monkey.patch_all()
import os
import sys
from consumer.sinks.s3 import sink as s3
prepare = s3.S3Sink.prepare
def noisy(self, chunk):
    print("a print of a library", flush=True)
    sys.__stdout__.write("to the first stdout")
    os.write(1, b"straight to the descriptor")
    os.system("echo from a program; cat")
    return prepare(self, chunk)
s3.S3Sink.prepare = noisy
from consumer.shard.process.entry import main
main()
"""


def test_no_stray_byte_of_a_library_reaches_the_protocol(
    one_by_one: Settings, start_shard: StartShard
) -> None:
    """I9: neither into the KCL's ears, nor out of its mouth."""
    kcl = start_shard(one_by_one, program=("-c", NOISY))
    kcl.initialize()
    kcl.process(records([1]))
    kcl.shut_down()
    assert kcl.finish() == 0
    said: list[Message] = [
        {"action": "status", "responseFor": "initialize"},
        {"action": "checkpoint", "sequenceNumber": "1", "subSequenceNumber": None},
        {"action": "status", "responseFor": "processRecords"},
        {"action": "status", "responseFor": "shutdownRequested"},
    ]
    assert bytes(kcl.output) == b"".join(b"\n" + as_line(message) for message in said)
    for noise in ("a print of a library", "straight to the descriptor", "from a program"):
        assert noise in kcl.stderr


def test_user_records_of_one_aggregate_are_told_apart_by_their_sub_sequence(
    s3: S3Stub, start_shard: StartShard
) -> None:
    kcl = start_shard(s3_settings(s3, {"chunk.max_records": "2"}))
    kcl.initialize()
    aggregate = [record(7, payload(sub), sub=sub) for sub in range(5)]
    kcl.process([*aggregate, record(8, payload(8))])
    s3.wait_for_objects(3)
    kcl.shut_down()
    names = sorted(key.rsplit("/", 1)[-1] for key in s3.objects)
    stem = "player-logs-shardId-000000000001"
    assert names == [f"{stem}-7-2.ndjson.gz", f"{stem}-7.2-2.ndjson.gz", f"{stem}-7.4-2.ndjson.gz"]
    assert kcl.confirmed[-1] == ("8", None)


def test_a_checkpoint_between_user_records_of_one_aggregate_carries_the_sub_sequence(
    s3: S3Stub, start_shard: StartShard
) -> None:
    kcl = start_shard(s3_settings(s3, {"chunk.max_records": "2"}))
    kcl.initialize()
    kcl.process([record(7, payload(sub), sub=sub) for sub in range(5)])
    s3.wait_for_objects(2)
    kcl.shut_down()
    assert kcl.confirmed[-1] == ("7", 3)


def test_signals_that_a_terminal_sends_to_the_whole_group_are_ignored(
    one_by_one: Settings, start_shard: StartShard
) -> None:
    kcl = start_shard(one_by_one)
    kcl.initialize()
    kcl.interrupt()
    kcl.give(records([1]))
    kcl.status_of("processRecords")
    assert kcl.finish() == 0
