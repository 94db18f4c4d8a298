"""Nothing lost and nothing doubled, over the real protocol: the backend fails, the process ends, records come again.

The first five are the delivery scenarios that Bento (github.com/warpstreamlabs/bento) runs against every input: a
pending message holds the acknowledgement back, rejected messages come again, every tenth write fails, a restart in
between, and half of the messages consumed before a pause.
"""

import gzip
import threading
from collections.abc import Mapping

import pytest

from consumer.settings import Settings
from consumer.shard.kcl.tip import POLLED_AHEAD
from tests.functional.conftest import StartShard
from tests.functional.harness.kcl import payload, record, records
from tests.functional.harness.s3_stub import (
    ACCESS_DENIED,
    INTERNAL_ERROR,
    SLOW_DOWN,
    S3Stub,
    answer_lost,
    first,
    held_until,
    holds_record,
    reset,
    when,
)
from tests.functional.harness.shard_settings import ONE_RECORD_A_CHUNK, s3_settings


def one_a_chunk(s3: S3Stub, changes: Mapping[str, str] | None = None) -> Settings:
    return s3_settings(s3, {**ONE_RECORD_A_CHUNK, **(changes or {})})


def delivered(s3: S3Stub) -> list[bytes]:
    return sorted(s3.lines, key=lambda line: (len(line), line))


def expected(first_number: int, last_number: int) -> list[bytes]:
    return [payload(number) for number in range(first_number, last_number + 1)]


def test_a_pending_record_holds_the_checkpoint_back(s3: S3Stub, start_shard: StartShard) -> None:
    gate = threading.Event()
    s3.rule = when(holds_record(1), held_until(gate))
    kcl = start_shard(one_a_chunk(s3))
    kcl.initialize()
    kcl.process(records(range(1, 11)))
    s3.wait_for_objects(9)
    kcl.process([])
    assert kcl.asked == []
    gate.set()
    kcl.tick_until_confirmed(10)
    assert delivered(s3) == expected(1, 10)


def test_records_that_the_backend_refused_come_again_after_a_restart(
    s3: S3Stub, start_shard: StartShard
) -> None:
    s3.rule = when(holds_record(4, 5), INTERNAL_ERROR)
    kcl = start_shard(one_a_chunk(s3))
    kcl.initialize()
    kcl.process(records(range(1, 8)))
    s3.wait_for_objects(5)
    kcl.tick_until_confirmed(3)
    assert kcl.finish() == 0

    s3.rule = lambda put: None
    again = start_shard(one_a_chunk(s3))
    again.initialize("3")
    again.process(records(range(4, 8)))
    again.shut_down()
    assert again.confirmed[-1] == ("7", None)
    assert delivered(s3) == expected(1, 7)
    assert s3.one_content_per_key()


def test_every_tenth_write_fails_and_all_records_arrive(s3: S3Stub, start_shard: StartShard) -> None:
    faults = [INTERNAL_ERROR, SLOW_DOWN, reset, answer_lost, ACCESS_DENIED]
    s3.rule = lambda put: faults[put.number // 10 % len(faults)] if put.number % 10 == 0 else None
    kcl = start_shard(one_a_chunk(s3))
    kcl.initialize()
    kcl.process(records(range(1, 101)))
    kcl.tick_until_confirmed(100)
    kcl.shut_down()
    assert delivered(s3) == expected(1, 100)
    assert s3.one_content_per_key()
    assert s3.requests > 110


def test_a_restart_in_between_delivers_every_record_once(s3: S3Stub, start_shard: StartShard) -> None:
    """Chunks of three: the open one is thrown away at shutdown and cut again at the same place (I2)."""
    settings = s3_settings(s3, {"chunk.max_records": "3"})
    kcl = start_shard(settings)
    kcl.initialize()
    kcl.process(records(range(1, 6)))
    kcl.shut_down()
    assert kcl.finish() == 0
    assert kcl.confirmed == [("3", None)]
    assert delivered(s3) == expected(1, 3)

    again = start_shard(settings)
    again.initialize("3")
    again.process(records(range(4, 5)))
    again.process(records(range(5, 10)))
    again.shut_down()
    assert again.confirmed[-1] == ("9", None)
    assert delivered(s3) == expected(1, 9)
    assert len(s3.versions) == len(s3.objects) == 3


def test_half_consumed_without_acknowledgement_then_a_pause_then_resumed(
    s3: S3Stub, start_shard: StartShard
) -> None:
    """The process dies with half of the records delivered and none checkpointed: all come again, none is doubled."""
    gate = threading.Event()
    s3.rule = when(holds_record(1, *range(6, 11)), held_until(gate))
    kcl = start_shard(one_a_chunk(s3))
    kcl.initialize()
    kcl.process(records(range(1, 11)))
    s3.wait_for_objects(4)
    kcl.kill()
    assert kcl.asked == []

    s3.rule = lambda put: None
    again = start_shard(one_a_chunk(s3))
    again.initialize()
    again.process(records(range(1, 11)))
    again.shut_down()
    assert again.confirmed[-1] == ("10", None)
    assert delivered(s3) == expected(1, 10)
    assert s3.one_content_per_key()


def test_an_answer_that_is_lost_after_the_write_repeats_the_same_bytes(
    s3: S3Stub, start_shard: StartShard
) -> None:
    s3.rule = first(2, answer_lost)
    kcl = start_shard(one_a_chunk(s3))
    kcl.initialize()
    kcl.process(records([1]))
    kcl.shut_down()
    assert kcl.confirmed[-1] == ("1", None)
    assert len(s3.versions) == 3
    assert s3.one_content_per_key()


def test_a_backend_that_hangs_is_asked_again(s3: S3Stub, start_shard: StartShard) -> None:
    never = threading.Event()
    s3.rule = first(1, held_until(never))
    kcl = start_shard(one_a_chunk(s3, {"s3.read_timeout": "100ms"}))
    kcl.initialize()
    kcl.process(records([1]))
    kcl.tick_until_confirmed(1)
    assert s3.requests >= 2


def test_at_the_limit_the_callback_waits_checkpoints_and_returns_once_the_backend_is_back(
    s3: S3Stub, start_shard: StartShard
) -> None:
    """I7: four chunks in flight at most, however many records came."""
    gate = threading.Event()
    s3.rule = when(lambda put: not holds_record(1)(put), held_until(gate))
    kcl = start_shard(one_a_chunk(s3, {"delivery.max_in_flight_chunks": "4"}))
    kcl.initialize()
    kcl.give(records(range(1, 101)))
    kcl.reply(kcl.next_request())
    assert kcl.confirmed == [("1", None)]
    s3.wait_for_held(4)
    assert kcl.is_silent
    assert all(holds_record(2, 3, 4, 5)(put) for put in s3.held)
    gate.set()
    kcl.status_of("processRecords")
    kcl.tick_until_confirmed(100)
    assert delivered(s3) == expected(1, 100)


def test_bytes_in_flight_are_limited_and_a_larger_record_goes_alone(
    s3: S3Stub, start_shard: StartShard
) -> None:
    gate = threading.Event()
    s3.rule = lambda put: held_until(gate)
    settings = one_a_chunk(s3, {"delivery.max_in_flight_bytes": "1MiB", "chunk.max_bytes": "1MiB"})
    kcl = start_shard(settings)
    kcl.initialize()
    sizes = [600_000, 400_000, 600_000, 10_000_000]
    kcl.give([record(place + 1, b"1" * size) for place, size in enumerate(sizes)])
    s3.wait_for_held(2)
    assert kcl.is_silent
    gate.set()
    kcl.status_of("processRecords")
    kcl.tick_until_confirmed(4)
    assert sorted(len(line) for line in s3.lines) == sorted(sizes)
    assert [len(gzip.decompress(put.body)) > 1_000_000 for put in s3.held] == [False, False, False, True]


def test_the_end_of_a_shard_waits_for_everything_and_is_checkpointed_last(
    s3: S3Stub, start_shard: StartShard
) -> None:
    gate = threading.Event()
    s3.rule = lambda put: held_until(gate)
    kcl = start_shard(s3_settings(s3, {"chunk.max_records": "2"}))
    kcl.initialize()
    kcl.process(records([1, 2, 3]))
    kcl.send({"action": "shardEnded"})
    s3.wait_for_held(2)
    assert kcl.is_silent
    gate.set()
    kcl.status_of("shardEnded")
    assert kcl.confirmed[-1] == (None, None)
    assert delivered(s3) == expected(1, 3)
    assert kcl.finish() == 0


def test_an_idle_chunk_is_sealed_at_the_tip_once_it_cannot_grow(s3: S3Stub, start_shard: StartShard) -> None:
    changes = {"chunk.window": "100ms", "chunk.grace": "0s"}
    kcl = start_shard(s3_settings(s3, changes))
    kcl.initialize()
    far_behind = 60_000
    kcl.process(records([1]), behind_ms=far_behind)
    kcl.process([], behind_ms=far_behind)
    assert s3.requests == 0
    while not s3.objects:
        kcl.process([], behind_ms=0)
    assert s3.lines == [payload(1)]


def test_I2_messages_fetched_before_a_long_callback_seal_no_idle_chunk(
    s3: S3Stub, start_shard: StartShard
) -> None:
    """The KCL holds a few messages while a callback waits: that they are at the tip was true when they came in."""
    kcl = start_shard(s3_settings(s3, {"chunk.window": "60s", "chunk.grace": "0s"}))
    kcl.initialize()
    kcl.process(records([1]), behind_ms=0)
    for _ in range(POLLED_AHEAD - 2):
        kcl.process([], behind_ms=0)
    kcl.process(records([2]), behind_ms=0)
    kcl.shut_down()
    assert s3.requests == 0
    assert kcl.finish() == 0


def test_sigterm_during_an_outage_returns_the_callback_and_shuts_down_inside_the_grace(
    s3: S3Stub, start_shard: StartShard
) -> None:
    """I1 and the drain: what was not delivered is left to the next owner."""
    s3.rule = when(lambda put: not holds_record(1)(put), held_until(threading.Event()))
    kcl = start_shard(one_a_chunk(s3, {"delivery.max_in_flight_chunks": "2", "shutdownGraceMillis": "500"}))
    kcl.initialize()
    kcl.give(records(range(1, 11)))
    kcl.reply(kcl.next_request())
    s3.wait_for_held(2)
    kcl.terminate()
    kcl.status_of("processRecords")
    kcl.process(records(range(11, 20)))
    kcl.shut_down()
    assert kcl.confirmed == [("1", None)]
    assert kcl.finish() == 0
    assert s3.requests == 3


def test_after_a_drain_the_shards_end_is_not_checkpointed_past_dropped_records(
    s3: S3Stub, start_shard: StartShard
) -> None:
    kcl = start_shard(s3_settings(s3))
    kcl.initialize()
    kcl.process(records([1]))
    kcl.terminate()
    kcl.shut_down()
    kcl.end_shard()
    assert kcl.asked == []
    assert kcl.finish() == 0


def test_sigterm_that_no_shutdown_follows_ends_the_process_at_last(
    s3: S3Stub, start_shard: StartShard
) -> None:
    s3.rule = lambda put: held_until(threading.Event())
    kcl = start_shard(one_a_chunk(s3, {"shutdownGraceMillis": "100"}))
    kcl.initialize()
    kcl.process(records([1]))
    s3.wait_for_held(1)
    kcl.terminate()
    assert kcl.wait() == 1
    assert kcl.asked == []


@pytest.mark.parametrize("native", ["true", "false"])
def test_a_message_stays_as_it_came_while_checkpoints_are_answered_in_the_middle_of_it(
    s3: S3Stub, start_shard: StartShard, native: str
) -> None:
    """Its later chunks are copied out of it when there is room for them; an answer of the KCL is a message, too."""
    payloads = [b'{"n":%d,"x":"%b"}' % (number, b"x" * 2000) for number in range(500)]
    settings = s3_settings(
        s3,
        {
            "chunk.max_records": "20",
            "delivery.max_in_flight_chunks": "1",
            "checkpoint.interval": "100ms",
            "shard.native": native,
        },
    )
    kcl = start_shard(settings)
    kcl.initialize()
    kcl.process([record(1000 + number, payload) for number, payload in enumerate(payloads)])
    assert kcl.confirmed[0] == ("1019", None)
    kcl.end_shard()
    assert s3.lines == payloads
    assert s3.dead_letters == []
