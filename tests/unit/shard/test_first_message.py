"""The first message of a shard, whose callback must not wait long: until it has returned, the KCL may open no other."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.columns import Records
from consumer.domain.events import RUNNING
from consumer.domain.records import Record
from consumer.shard.kcl.record_memory import RecordMemory
from tests.unit.shard.fakes import Stuck, record
from tests.unit.shard.test_pipeline import Shard, numbered


def beginning(**options: Any) -> Shard:
    """A shard that the KCL has brought nothing yet."""
    return Shard(has_begun=False, **options)


def test_what_finds_no_room_is_put_off_to_the_next_callback() -> None:
    shard = beginning(max_chunks=1, interval=60)
    assert shard.accept(*numbered(1, 2)) == ["start 1-1", "wait 5s"]
    assert shard.pipeline.in_flight_records == 2
    assert shard.pipeline.waited_seconds == 5
    shard.durable(1)()
    assert shard.accept(*numbered(3, 3)) == ["checkpoint 1", "start 2-1"]
    shard.durable(2)()
    assert shard.tick() == ["start 3-1"]
    assert shard.pipeline.in_flight_records == 1


def test_what_finds_room_within_a_moment_is_not() -> None:
    shard = beginning(max_chunks=1, interval=60)
    shard.while_waiting(shard.durable(1), shard.durable(2))
    assert shard.accept(*numbered(1, 2))[-3:] == ["start 2-1", "wait 5s", "durable 2"]


def test_no_callback_waits_for_it_that_brings_little_or_nothing() -> None:
    """However many there are in an outage: the KCL may miss the moment between two of them."""
    one = Records.of(numbered(1, 1)).held_bytes
    shard = beginning(max_chunks=1, message_bytes=3 * one, interval=600)
    shard.accept(*numbered(1, 2))
    for _ in range(20_000):
        assert shard.tick() == []
    assert shard.accept(*numbered(3, 4)) == []
    assert shard.pipeline.in_flight_records == 4
    with pytest.raises(Stuck):
        shard.accept(*numbered(5, 5))


def test_once_nothing_is_put_off_callbacks_wait_as_ever() -> None:
    shard = beginning(max_chunks=1, interval=600)
    shard.accept(*numbered(1, 2))
    shard.durable(1)()
    assert shard.tick() == ["checkpoint 1", "start 2-1"]
    with pytest.raises(Stuck):
        shard.accept(*numbered(3, 3))


def test_in_a_pause_only_the_first_one_returns() -> None:
    shard = beginning(max_chunks=1)
    shard.pipeline.pause(True)
    assert shard.take_early(*numbered(1, 1)) == []
    assert shard.take_early(*numbered(2, 2)) == []
    assert shard.accept(*numbered(3, 3)) == []
    with pytest.raises(Stuck):
        shard.accept(*numbered(4, 4))


def test_no_chunk_is_started_beyond_the_limit_of_bytes_either() -> None:
    shard = beginning(max_chunks=9, max_bytes=25, interval=60)
    assert shard.accept(*numbered(1, 3)) == ["start 1-1", "start 2-1", "wait 5s"]
    assert shard.pipeline.in_flight_bytes > 25  # the third is held, as it was read


def test_nothing_of_it_is_taken_in_a_pause() -> None:
    shard = beginning(chunk_records=2, max_chunks=9)
    shard.pipeline.pause(True)
    assert shard.accept(*numbered(1, 3)) == []
    assert shard.pipeline.state == "paused"
    assert shard.pipeline.in_flight_records == 3
    shard.while_waiting(lambda: shard.pipeline.pause(False))
    assert shard.accept(*numbered(4, 4)) == ["wait", "start 1-2", "start 3-2"]
    assert shard.pipeline.state == RUNNING


def test_what_is_put_off_is_as_old_as_its_first_record() -> None:
    shard = beginning(chunk_records=2)
    shard.pipeline.pause(True)
    shard.accept(record(1, arrival_ms=10))
    shard.passes(5)
    told = shard.pipeline.oldest_undelivered_ms, shard.pipeline.oldest_undelivered_read_ms
    assert told == (10, 1_000_000)


def test_it_is_not_looked_for_where_the_next_message_has_come() -> None:
    """A message's memory is used again for the next one."""
    memory = RecordMemory()

    def message(number: int) -> Records:
        memory.clear()
        memory.make_room(1_000)
        memory.add(Records.of(numbered(number, number)).parts[0])
        return memory.records()

    shard = beginning(max_chunks=9)
    shard.pipeline.pause(True)
    shard.accept_all(message(1))
    second = message(2)
    shard.pipeline.pause(False)
    assert shard.accept_all(second) == ["start 1-1", "start 2-1"]


def test_of_a_message_that_is_still_coming_no_more_is_put_off_than_a_usual_one_takes() -> None:
    one = Records.of(numbered(1, 1)).held_bytes
    shard = beginning(max_chunks=1, message_bytes=2 * one)
    assert shard.take_early(*numbered(1, 1)) == ["start 1-1", "wait 5s"]
    assert shard.take_early(*numbered(2, 2)) == []
    assert shard.take_early(*numbered(3, 3)) == []
    with pytest.raises(Stuck):
        shard.take_early(*numbered(4, 4))


@pytest.mark.parametrize("end", ["drain", "lose_lease", "shut_down"])
def test_a_shard_that_is_given_up_gives_up_what_was_put_off(end: str) -> None:
    shard = beginning(max_chunks=1, drain_seconds=0)
    shard.accept(*numbered(1, 3))
    ends: dict[str, Callable[[], object]] = {
        "drain": shard.pipeline.drain,
        "lose_lease": shard.pipeline.lose_lease,
        "shut_down": shard.shut_down,
    }
    ends[end]()
    assert shard.status.counters["records_left"] == 2
    assert shard.pipeline.in_flight_records == 1
    assert shard.accept(*numbered(4, 4)) == []
    assert shard.status.counters["records_left"] == 3


def test_at_the_end_of_a_shard_it_is_delivered() -> None:
    shard = beginning(max_chunks=1, interval=60)
    shard.accept(*numbered(1, 2))
    shard.while_waiting(shard.durable(1), shard.durable(2))
    assert shard.end()[-2:] == ["durable 2", "checkpoint end"]


def test_I1_the_end_of_a_shard_is_not_checkpointed_without_it() -> None:
    shard = beginning(max_chunks=1)
    shard.accept(*numbered(1, 2))
    shard.durable(1)()
    shard.pipeline.drain()
    assert "checkpoint end" not in shard.end()


@given(
    batches=st.lists(st.integers(0, 6), min_size=1, max_size=5),
    chunk_records=st.integers(1, 4),
    max_chunks=st.integers(1, 3),
    paused=st.booleans(),
    early=st.booleans(),
)
def test_I2_chunks_are_cut_alike_and_every_record_is_in_the_books(
    batches: list[int], chunk_records: int, max_chunks: int, paused: bool, early: bool
) -> None:
    shard = beginning(chunk_records=chunk_records, max_chunks=max_chunks, max_bytes=10_000)

    def finish() -> None:
        shard.pipeline.pause(False)
        shard.delivery.finish(*map(int, [*shard.delivery.running]))

    shard.pipeline.pause(paused)
    read = 0
    for number, batch in enumerate(batches):
        records: Sequence[Record] = numbered(read + 1, read + batch)
        read += batch
        if number:
            shard.while_waiting(*[finish] * (read + 2))
        if number == 0 and early:
            shard.take_early(*records[: batch // 2])
            shard.accept(*records[batch // 2 :])
        else:
            shard.accept(*records)  # in the first callback nothing happens, and it returns all the same
        shard.wakeup.script.clear()
        assert shard.pipeline.in_flight_records == read - delivered(shard)
    for _ in range(read + 2):
        shard.while_waiting(*[finish] * (read + 2))
        shard.tick()
        finish()
    started = [act.removeprefix("start ") for act in shard.log if act.startswith("start")]
    whole = [f"{first}-{chunk_records}" for first in range(1, read + 1, chunk_records)]
    assert started == whole[: read // chunk_records]


def delivered(shard: Shard) -> int:
    """Records of chunks that are durable."""
    sizes = dict(act.removeprefix("start ").split("-") for act in shard.log if act.startswith("start"))
    durable = [act.removeprefix("durable ") for act in shard.log if act.startswith("durable")]
    return sum(int(sizes[first]) for first in durable)
