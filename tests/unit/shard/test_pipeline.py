"""What a shard does, as one log of actions under a fake clock."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from consumer.domain.checkpoints import CheckpointPolicy, CheckpointState
from consumer.domain.chunks import Chunker, ChunkLimits, Footprint
from consumer.domain.columns import Records
from consumer.domain.errors import ProtocolError, Superseded, TransientError
from consumer.domain.events import ENDED
from consumer.domain.ledger import Ledger
from consumer.domain.records import Position, Record
from consumer.shard.delivery.checkpointing import CHECKPOINT_RETRY_SECONDS, Checkpointing
from consumer.shard.delivery.intake import End, InFlightLimits
from consumer.shard.delivery.pipeline import Pipeline
from tests.unit.shard.fakes import (
    Clock,
    FakeCheckpointer,
    FakeDelivery,
    FakeWakeup,
    Log,
    Stuck,
    messages,
    quiet_status,
    record,
)

WINDOW_MS = 60_000
GRACE_MS = 10_000


class PayloadsOnly(Footprint):
    """So that tests can count."""

    def __init__(self) -> None:
        super().__init__(made_of_byte=0, made_of_record=0)

    def of(self, records: Records) -> int:
        return records.payload_bytes


class Shard:
    """A pipeline with everything around it; every call is a callback of the KCL."""

    def __init__(
        self,
        *,
        chunk_records: int = 1,
        max_chunks: int = 2,
        max_bytes: int = 1_000,
        interval: float = 5,
        drain_seconds: float = 10,
        message_bytes: int = 1_000_000,
        end: End | None = None,
        has_begun: bool = True,
    ) -> None:
        """Of a shard that has begun, the KCL has brought a first message, without records."""
        self.log = Log()
        self.clock = Clock()
        self.delivery = FakeDelivery(self.log)
        self.checkpointer = FakeCheckpointer(self.log)
        self.wakeup = FakeWakeup(self.log, self.clock)
        self.unkept: list[Exception] = []
        status, self.events = quiet_status(self.clock)
        limits = ChunkLimits(
            window_ms=WINDOW_MS, max_bytes=10_000, max_records=chunk_records, grace_ms=GRACE_MS
        )
        state = CheckpointState(CheckpointPolicy(interval))
        self.pipeline = Pipeline(
            chunker=Chunker(limits),
            ledger=Ledger(),
            delivery=self.delivery,
            checkpoints=Checkpointing(state, status, before=self._keep, now=self.clock),
            limits=InFlightLimits(
                max_chunks=max_chunks,
                max_bytes=max_bytes,
                footprint=PayloadsOnly(),
                message_bytes=message_bytes,
            ),
            status=status,
            wakeup=self.wakeup,
            drain_seconds=drain_seconds,
            end=end,
            now=self.clock,
        )
        self.status = status
        if has_begun:
            self.tick()

    def accept(self, *some: Record, tip_seen_ms: int | None = None) -> list[str]:
        return self.accept_all(Records.of(some), tip_seen_ms)

    def take_early(self, *some: Record) -> list[str]:
        """No callback: a checkpoint would fail."""
        started = len(self.log)
        self.pipeline.take_early(Records.of(some))
        return self.log.since(started)

    def accept_all(self, records: Records, tip_seen_ms: int | None = None) -> list[str]:
        with self._callback() as started:
            self.pipeline.accept(records, tip_seen_ms, self.checkpointer)
        return self.log.since(started)

    def tick(self) -> list[str]:
        return self.accept()

    def end(self) -> list[str]:
        with self._callback() as started:
            self.pipeline.end(self.checkpointer)
        return self.log.since(started)

    def shut_down(self) -> list[str]:
        with self._callback() as started:
            self.pipeline.shut_down(self.checkpointer)
        return self.log.since(started)

    def while_waiting(self, *things: Callable[[], None]) -> None:
        self.wakeup.script += things

    def durable(self, *numbers: int) -> Callable[[], None]:
        return lambda: self.delivery.finish(*numbers)

    def passes(self, seconds: float) -> None:
        self.clock.now += seconds

    def _keep(self, position: Position) -> None:
        if self.unkept:
            self.log.append(f"not kept {position}")
            raise self.unkept.pop(0)

    @contextmanager
    def _callback(self) -> Iterator[int]:
        self.checkpointer.in_callback = True
        yield len(self.log)
        self.checkpointer.in_callback = False


def numbered(first: int, last: int) -> Sequence[Record]:
    return [record(number) for number in range(first, last + 1)]


# Backpressure


def test_at_the_limit_of_chunks_the_callback_waits_until_the_watermark_moves() -> None:
    shard = Shard(max_chunks=2, interval=60)
    shard.while_waiting(shard.durable(2), shard.durable(1))
    assert shard.accept(*numbered(1, 3)) == [
        "start 1-1",
        "start 2-1",
        "wait",
        "durable 2",
        "wait",
        "durable 1",
        "checkpoint 2",
        "start 3-1",
    ]


def test_a_callback_that_leaves_room_does_not_wait() -> None:
    shard = Shard(max_chunks=3)
    assert shard.accept(*numbered(1, 2)) == ["start 1-1", "start 2-1"]


def test_no_chunk_is_started_that_would_pass_the_limit_of_bytes() -> None:
    shard = Shard(max_chunks=9, max_bytes=100, interval=60)
    shard.while_waiting(shard.durable(1))
    assert shard.accept(record(1, 60), record(2, 39), record(3, 2)) == [
        "start 1-1",
        "start 2-1",
        "wait",
        "durable 1",
        "checkpoint 1",
        "start 3-1",
    ]


def test_bytes_at_the_limit_hold_the_callback() -> None:
    shard = Shard(max_chunks=9, max_bytes=100, interval=60)
    shard.while_waiting(shard.durable(1))
    assert shard.accept(record(1, 60), record(2, 40)) == [
        "start 1-1",
        "start 2-1",
        "wait",
        "durable 1",
        "checkpoint 1",
    ]


def test_a_chunk_larger_than_the_limit_goes_alone() -> None:
    shard = Shard(max_chunks=9, max_bytes=100, interval=60)
    shard.while_waiting(shard.durable(1), shard.durable(2))
    assert shard.accept(record(1, 10), record(2, 500), record(3, 10)) == [
        "start 1-1",
        "wait",
        "durable 1",
        "checkpoint 1",
        "start 2-1",
        "wait",
        "durable 2",
        "start 3-1",
    ]


def test_an_outage_blocks_the_callback_until_something_happens() -> None:
    shard = Shard(max_chunks=1)
    with pytest.raises(Stuck):
        shard.accept(*numbered(1, 2))
    assert shard.log == ["start 1-1", "wait"]


# A pause


def test_a_paused_shard_takes_no_record_until_it_goes_on() -> None:
    shard = Shard(interval=60)
    shard.pipeline.pause(True)
    assert shard.pipeline.state == "paused"
    shard.while_waiting(lambda: None, lambda: shard.pipeline.pause(False))
    assert shard.accept(*numbered(1, 1)) == ["wait", "wait", "start 1-1"]
    assert shard.pipeline.state == "running"


def test_what_was_taken_before_a_pause_is_delivered_and_checkpointed_in_it() -> None:
    shard = Shard(max_chunks=3)
    shard.accept(*numbered(1, 2))
    shard.pipeline.pause(True)
    shard.while_waiting(shard.durable(1, 2))
    with pytest.raises(Stuck):
        shard.accept(*numbered(3, 3))
    assert shard.log == ["start 1-1", "start 2-1", "wait", "durable 1", "durable 2", "checkpoint 2", "wait"]


def test_a_pause_holds_what_is_left_of_a_message() -> None:
    shard = Shard(max_chunks=1, interval=60)
    shard.while_waiting(
        lambda: shard.pipeline.pause(True),
        shard.durable(1),
        lambda: shard.pipeline.pause(False),
        shard.durable(2),
    )
    assert shard.accept(*numbered(1, 2)) == [
        "start 1-1",
        "wait",
        "wait",
        "durable 1",
        "checkpoint 1",
        "wait",
        "start 2-1",
        "wait",
        "durable 2",
    ]


def test_chunks_are_cut_alike_whenever_a_shard_was_paused() -> None:
    """I2: the open chunk stays open however long the pause is."""
    shard = Shard(chunk_records=3, max_chunks=9)
    shard.accept(*numbered(1, 2))
    shard.pipeline.pause(True)
    shard.while_waiting(lambda: shard.passes(10 * WINDOW_MS), lambda: shard.pipeline.pause(False))
    assert shard.accept(*numbered(3, 4)) == ["wait", "wait", "start 1-3"]


def test_a_drain_ends_a_pause_and_what_waited_is_dropped() -> None:
    shard = Shard()
    shard.pipeline.pause(True)
    shard.while_waiting(shard.pipeline.drain)
    assert shard.accept(*numbered(1, 1)) == ["wait"]
    assert shard.pipeline.state == "draining"
    assert shard.shut_down() == []


def test_a_lost_lease_ends_a_pause() -> None:
    shard = Shard()
    shard.pipeline.pause(True)
    shard.while_waiting(shard.pipeline.lose_lease)
    assert shard.accept(*numbered(1, 1)) == ["wait"]


# Checkpoints


def test_a_waiting_callback_wakes_up_when_the_next_checkpoint_is_due() -> None:
    shard = Shard(max_chunks=2, interval=5)
    shard.while_waiting(shard.durable(1), shard.durable(2), lambda: shard.passes(5), shard.durable(3, 4))
    assert shard.accept(*numbered(1, 4))[:8] == [
        "start 1-1",
        "start 2-1",
        "wait",
        "durable 1",
        "checkpoint 1",
        "start 3-1",
        "wait",
        "durable 2",
    ]
    assert shard.log[8:] == ["start 4-1", "wait 5s", "checkpoint 2", "wait", "durable 3", "durable 4"]


def test_a_checkpoint_is_taken_only_inside_of_a_callback() -> None:
    shard = Shard()
    shard.accept(*numbered(1, 1))
    shard.delivery.finish(1)
    assert shard.log == ["start 1-1", "durable 1"]
    assert shard.tick() == ["checkpoint 1"]


def test_the_watermark_stops_at_the_first_unfinished_chunk() -> None:
    shard = Shard(max_chunks=9, interval=0)
    shard.accept(*numbered(1, 4))
    shard.delivery.finish(2, 1, 4)
    assert shard.tick() == ["checkpoint 2"]
    shard.delivery.finish(3)
    assert shard.tick() == ["checkpoint 4"]


def test_the_interval_lies_between_two_checkpoints() -> None:
    shard = Shard(max_chunks=9, interval=5)
    shard.accept(*numbered(1, 2))
    shard.delivery.finish(1)
    assert shard.tick() == ["checkpoint 1"]
    shard.delivery.finish(2)
    shard.passes(4.9)
    assert shard.tick() == []
    shard.passes(0.1)
    assert shard.tick() == ["checkpoint 2"]
    shard.passes(100)
    assert shard.tick() == []


def test_the_sub_sequence_is_named_where_there_is_one() -> None:
    shard = Shard()
    shard.accept(record(7, sub=3))
    shard.delivery.running["7.3"]()
    assert shard.tick() == ["checkpoint 7.3"]


def test_a_throttled_checkpoint_is_asked_for_again_after_a_while() -> None:
    shard = Shard(interval=5)
    shard.accept(*numbered(1, 1))
    shard.delivery.finish(1)
    shard.checkpointer.refusals = ["ThrottlingException"]
    assert shard.tick() == ["checkpoint 1: ThrottlingException"]
    assert shard.tick() == []
    shard.passes(1)
    assert shard.tick() == ["checkpoint 1"]


def test_an_unknown_refusal_is_repeated_once_and_then_left_for_later() -> None:
    shard = Shard()
    shard.accept(*numbered(1, 1))
    shard.delivery.finish(1)
    shard.checkpointer.refusals = ["Exception", "Exception"]
    assert shard.tick() == ["checkpoint 1: Exception", "checkpoint 1: Exception"]
    assert shard.tick() == []
    shard.passes(1)
    assert shard.tick() == ["checkpoint 1"]


def test_a_refusal_that_tells_of_a_lost_lease_stops_everything() -> None:
    shard = Shard(max_chunks=2)
    shard.while_waiting(shard.durable(1))
    shard.checkpointer.refusals = ["ShutdownException"]
    assert shard.accept(*numbered(1, 9)) == [
        "start 1-1",
        "start 2-1",
        "wait",
        "durable 1",
        "checkpoint 1: ShutdownException",
    ]
    shard.delivery.finish(2)
    assert shard.accept(*numbered(10, 11)) == []
    assert shard.end() == []
    assert shard.shut_down() == []
    assert shard.pipeline.state == "lease_lost"


def test_an_invalid_state_ends_the_process() -> None:
    shard = Shard()
    shard.accept(*numbered(1, 1))
    shard.delivery.finish(1)
    shard.checkpointer.refusals = ["InvalidStateException"]
    with pytest.raises(ProtocolError, match="InvalidStateException"):
        shard.tick()


def test_a_checkpoint_is_put_off_while_the_sink_cannot_keep_what_it_rests_on() -> None:
    shard = Shard(interval=60)
    shard.unkept = [TransientError("down")]
    shard.accept(record(1))
    shard.delivery.finish(1)
    assert shard.tick() == ["not kept 1"]
    assert shard.tick() == []
    shard.passes(CHECKPOINT_RETRY_SECONDS)
    assert shard.tick() == ["checkpoint 1"]
    assert "WARNING: checkpoint put off: down" in messages(shard.events)


def test_a_superseded_process_asks_for_no_more_checkpoints() -> None:
    shard = Shard(interval=0)
    shard.unkept = [Superseded("taken over")]
    shard.accept(record(1))
    shard.delivery.finish(1)
    assert shard.tick() == ["not kept 1"]
    assert shard.tick() == shard.end() == []
    assert shard.pipeline.state == "lease_lost"


def test_a_chunk_that_becomes_durable_during_a_checkpoint_is_not_overlooked() -> None:
    """The KCL's answer takes its time, and other greenlets run meanwhile."""
    shard = Shard(max_chunks=3, interval=0)
    shard.accept(*numbered(1, 2))
    meanwhile = [shard.durable(2, 3)]
    shard.checkpointer.before_answer = lambda: meanwhile.pop()() if meanwhile else None
    shard.while_waiting(shard.durable(1))
    assert shard.accept(record(3)) == [
        "start 3-1",
        "wait",
        "durable 1",
        "durable 2",
        "durable 3",
        "checkpoint 1",
        "checkpoint 3",
    ]


# Drain and shutdown


def test_a_drain_during_a_wait_drops_what_was_never_started() -> None:
    shard = Shard(max_chunks=2)
    shard.while_waiting(shard.pipeline.drain)
    assert shard.accept(*numbered(1, 9)) == ["start 1-1", "start 2-1", "wait"]
    shard.delivery.finish(1, 2)
    assert shard.accept(*numbered(10, 12)) == ["checkpoint 2"]
    assert shard.shut_down() == []
    assert shard.pipeline.state == "draining"


def test_a_shutdown_waits_for_what_is_in_flight_and_checkpoints_it_whatever_the_interval() -> None:
    shard = Shard(max_chunks=9, interval=60)
    shard.accept(*numbered(1, 3))
    shard.delivery.finish(1)
    shard.tick()
    shard.while_waiting(shard.durable(3), shard.durable(2))
    assert shard.shut_down() == ["wait 10s", "durable 3", "wait 10s", "durable 2", "checkpoint 3"]
    assert messages(shard.events)[-1] == "INFO: shut down at 3, 0 chunks left undelivered for the next owner"


def test_a_shutdown_ends_at_its_deadline_with_the_watermark() -> None:
    shard = Shard(max_chunks=9, interval=60, drain_seconds=7)
    shard.accept(*numbered(1, 3))
    shard.delivery.finish(1, 3)
    shard.while_waiting()
    assert shard.shut_down() == ["checkpoint 1", "wait 7s"]
    assert messages(shard.events)[-1].startswith("WARNING: shut down at 1, 1 chunks left")


def test_the_deadline_counts_from_the_first_drain() -> None:
    shard = Shard(drain_seconds=7)
    shard.accept(*numbered(1, 1))
    shard.pipeline.drain()
    shard.passes(4)
    assert shard.shut_down() == ["wait 3s"]


def test_the_open_chunk_is_thrown_away_at_shutdown() -> None:
    shard = Shard(chunk_records=3)
    shard.accept(*numbered(1, 5))
    shard.delivery.finish(1)
    open_ones = Records.of(numbered(4, 5))
    assert shard.pipeline.in_flight_bytes == open_ones.held_bytes
    assert shard.shut_down() == ["checkpoint 3"]
    assert shard.pipeline.in_flight_bytes == 0
    assert shard.pipeline.oldest_undelivered_ms is None


def test_a_refused_checkpoint_at_shutdown_is_asked_for_until_the_deadline() -> None:
    shard = Shard(drain_seconds=2)
    shard.accept(*numbered(1, 1))
    shard.delivery.finish(1)
    shard.checkpointer.refusals = ["ThrottlingException"] * 2
    refused = "checkpoint 1: ThrottlingException"
    assert shard.shut_down() == [refused, refused, "wait 1s", "checkpoint 1"]

    other = Shard(drain_seconds=2)
    other.accept(*numbered(1, 1))
    other.delivery.finish(1)
    other.checkpointer.refusals = ["ThrottlingException"] * 9
    assert other.shut_down() == [refused, refused, "wait 1s", refused, "wait 1s", refused]


def test_a_lost_lease_stops_checkpoints_and_drops_the_open_chunk() -> None:
    shard = Shard(chunk_records=2)
    shard.accept(*numbered(1, 3))
    shard.delivery.finish(1)
    shard.pipeline.lose_lease()
    assert shard.tick() == []
    assert shard.shut_down() == []
    assert shard.pipeline.in_flight_bytes == 0


def test_what_is_left_of_a_message_beyond_a_usual_one_takes_room() -> None:
    some = numbered(1, 3)
    one = Records.of(some[:1]).held_bytes
    shard = Shard(max_chunks=9, max_bytes=40, interval=60, message_bytes=one - 5)
    shard.while_waiting(shard.durable(1))
    done = [act for act in shard.accept(*some) if act.startswith(("start", "durable"))]
    # two records are left beside the first chunk, one beside the second, and none beside the third
    assert done == ["start 1-1", "durable 1", "start 2-1", "start 3-1"]
    assert shard.pipeline.in_flight_bytes == 20


def test_a_message_larger_than_the_limit_is_delivered_chunk_by_chunk() -> None:
    shard = Shard(max_chunks=9, max_bytes=40, interval=60, message_bytes=0)
    shard.while_waiting(shard.durable(1), shard.durable(2), shard.durable(3))
    done = [act for act in shard.accept(*numbered(1, 3)) if act.startswith(("start", "durable"))]
    assert done == ["start 1-1", "durable 1", "start 2-1", "durable 2", "start 3-1"]


def test_records_of_a_message_that_is_still_coming_are_delivered_and_checkpointed_with_the_rest_of_it() -> (
    None
):
    shard = Shard(max_chunks=2, interval=5)
    shard.while_waiting(lambda: shard.passes(9), shard.durable(1), shard.durable(2))
    # a checkpoint is due, but its answer would come behind the message
    assert shard.take_early(*numbered(1, 3)) == [
        *("start 1-1", "start 2-1", "wait", "wait", "durable 1", "start 3-1", "wait", "durable 2"),
    ]
    shard.while_waiting(shard.durable(3))
    assert shard.accept(*numbered(4, 4)) == ["checkpoint 2", "start 4-1", "wait", "durable 3"]


def test_chunks_are_cut_alike_however_a_message_is_taken() -> None:
    whole, early = Shard(chunk_records=3, max_chunks=9), Shard(chunk_records=3, max_chunks=9)
    acts = whole.accept(*numbered(1, 10))
    assert (
        early.take_early(*numbered(1, 4)) + early.take_early(*numbered(5, 5)) + early.accept(*numbered(6, 10))
        == acts
        == ["start 1-3", "start 4-3", "start 7-3"]
    )


def test_a_drain_ends_the_wait_in_the_middle_of_a_message_and_its_rest_is_dropped() -> None:
    shard = Shard(max_chunks=1)
    shard.while_waiting(shard.pipeline.drain)
    assert shard.take_early(*numbered(1, 3)) == ["start 1-1", "wait"]
    assert shard.take_early(*numbered(4, 6)) == shard.accept(*numbered(7, 9)) == []
    shard.while_waiting(shard.durable(1))
    assert shard.shut_down() == ["wait 10s", "durable 1", "checkpoint 1"]


# The end of a shard


def test_the_end_of_a_shard_seals_waits_for_everything_and_is_checkpointed_last() -> None:
    shard = Shard(chunk_records=2, max_chunks=9, interval=60)
    shard.accept(*numbered(1, 3))
    shard.while_waiting(shard.durable(3), shard.durable(1))
    assert shard.end() == [
        "start 3-1",
        "wait",
        "durable 3",
        "wait",
        "durable 1",
        "checkpoint 3",
        "checkpoint end",
    ]


def test_the_end_of_a_shard_is_asked_for_until_it_holds() -> None:
    shard = Shard()
    shard.checkpointer.refusals = ["ThrottlingException", "KinesisClientLibDependencyException"]
    assert shard.end() == [
        "checkpoint end: ThrottlingException",
        "wait 1s",
        "checkpoint end: KinesisClientLibDependencyException",
        "wait 1s",
        "checkpoint end",
    ]
    assert shard.pipeline.state == ENDED


def test_the_end_of_a_shard_is_not_checkpointed_after_a_drain_that_dropped_records() -> None:
    shard = Shard(chunk_records=2)
    shard.accept(*numbered(1, 3))
    shard.delivery.finish(1)
    shard.pipeline.drain()
    assert shard.end() == ["checkpoint 2"]
    assert shard.pipeline.state == "draining"
    assert messages(shard.events)[-1].startswith("WARNING: the shard's end is not checkpointed")


def test_I1_the_end_of_a_shard_is_not_checkpointed_after_a_drain_in_the_middle_of_a_message() -> None:
    shard = Shard(chunk_records=2, max_chunks=1)
    shard.while_waiting(shard.pipeline.drain)
    assert shard.accept(*numbered(1, 3)) == ["start 1-2", "wait"]
    shard.delivery.finish(1)
    assert shard.end() == ["checkpoint 2"]
    assert messages(shard.events)[-1].startswith("WARNING: the shard's end is not checkpointed")


def test_the_end_of_a_shard_is_checkpointed_after_a_drain_that_dropped_nothing() -> None:
    shard = Shard()
    shard.accept(*numbered(1, 1))
    shard.pipeline.drain()
    shard.while_waiting(shard.durable(1))
    assert shard.end() == ["wait 10s", "durable 1", "checkpoint 1", "checkpoint end"]


def test_a_drain_bounds_the_wait_at_the_end_of_a_shard() -> None:
    shard = Shard(drain_seconds=7)
    shard.accept(*numbered(1, 1))
    shard.while_waiting(shard.pipeline.drain)
    assert shard.end() == ["wait", "wait 7s"]


def test_a_lease_that_is_lost_at_the_end_of_a_shard_is_not_checkpointed() -> None:
    shard = Shard()
    shard.accept(*numbered(1, 1))
    shard.delivery.finish(1)
    shard.checkpointer.refusals = ["ShutdownException"]
    assert shard.end() == ["checkpoint 1: ShutdownException"]
    assert shard.pipeline.state == "lease_lost"


def test_after_a_lost_lease_the_end_of_a_shard_delivers_nothing_more() -> None:
    shard = Shard(chunk_records=2)
    shard.accept(*numbered(1, 3))
    shard.delivery.finish(1)
    shard.checkpointer.refusals = ["ShutdownException"]
    assert shard.tick() == ["checkpoint 2: ShutdownException"]
    assert shard.end() == []


# The idle rule


def test_an_idle_chunk_is_sealed_once_the_tip_was_seen_past_window_and_grace() -> None:
    shard = Shard(chunk_records=100)
    shard.accept(record(1, arrival_ms=1_000), record(2, arrival_ms=2_000))
    too_early = 1_000 + WINDOW_MS + GRACE_MS - 1
    assert shard.accept(tip_seen_ms=too_early) == []
    assert shard.accept() == []
    assert shard.accept(tip_seen_ms=too_early + 1) == ["start 1-2"]


# What is told about it


def test_the_oldest_record_is_known_by_its_arrival_and_by_when_it_was_read() -> None:
    shard = Shard(chunk_records=2, max_chunks=9)
    pipeline = shard.pipeline

    def oldest() -> tuple[int | None, int | None]:
        return pipeline.oldest_undelivered_ms, pipeline.oldest_undelivered_read_ms

    assert oldest() == (None, None)
    shard.accept(record(1, arrival_ms=10))
    shard.passes(1)
    shard.accept(record(2, arrival_ms=20), record(3, arrival_ms=30))
    assert oldest() == (10, 1_000_000)
    shard.delivery.finish(1)
    assert oldest() == (30, 1_001_000)
    shard.passes(1)
    shard.accept(record(4), record(5, arrival_ms=50), record(6), record(7, arrival_ms=70))
    assert oldest() == (30, 1_001_000)
    shard.delivery.finish(3)
    assert oldest() == (50, 1_002_000)
    shard.delivery.finish(5)
    assert oldest() == (70, 1_002_000)
    pipeline.drain()
    assert oldest() == (None, None)


def test_what_waits_for_the_end_of_a_pause_is_as_old_as_its_first_record() -> None:
    shard = Shard(chunk_records=2, max_chunks=9)
    pipeline = shard.pipeline
    told: list[tuple[int | None, int | None]] = []

    def tell() -> None:
        told.append((pipeline.oldest_undelivered_ms, pipeline.oldest_undelivered_read_ms))

    pipeline.pause(True)
    shard.while_waiting(tell, lambda: pipeline.pause(False))
    shard.accept(record(1, arrival_ms=10), record(2, arrival_ms=20))
    shard.delivery.finish(1)
    tell()
    assert told == [(10, 1_000_000), (None, None)]


def test_what_is_left_of_a_message_in_a_pause_counts_from_the_chunk_before_it() -> None:
    shard = Shard(chunk_records=2, max_chunks=1)
    told: list[int | None] = []
    shard.while_waiting(
        lambda: shard.pipeline.pause(True),
        shard.durable(1),
        lambda: told.append(shard.pipeline.oldest_undelivered_ms),
        lambda: shard.pipeline.pause(False),
        shard.durable(3),
        shard.durable(5),
    )
    shard.accept(*(record(number, arrival_ms=10 * number) for number in range(1, 7)))
    assert told == [10]


def test_nothing_waits_once_a_shard_has_ended() -> None:
    shard = Shard(chunk_records=9)
    shard.accept(record(1))
    shard.while_waiting(shard.durable(1))
    shard.end()
    assert shard.pipeline.oldest_undelivered_ms is None
    assert shard.pipeline.oldest_undelivered_read_ms is None


def test_an_open_chunk_is_as_old_as_its_first_record() -> None:
    shard = Shard(chunk_records=3)
    shard.accept(record(1))
    shard.passes(1)
    shard.accept(record(2))
    assert shard.pipeline.oldest_undelivered_read_ms == 1_000_000


def test_what_waits_for_the_end_of_a_pause_is_in_flight_and_no_back_pressure() -> None:
    shard = Shard(chunk_records=2, max_chunks=9)
    shard.accept(*numbered(1, 1))
    shard.pipeline.pause(True)
    seen: list[tuple[int, float]] = []

    def look() -> None:
        shard.passes(100)
        seen.append((shard.pipeline.in_flight_records, shard.pipeline.waited_seconds))

    shard.while_waiting(look, shard.pipeline.drain)
    shard.accept(*numbered(2, 4))
    assert seen == [(4, 0.0)]
    assert shard.pipeline.waited_seconds == 0.0
    assert shard.pipeline.in_flight_records == 0
