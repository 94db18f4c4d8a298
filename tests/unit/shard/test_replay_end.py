"""Where a replay's shard stops: at the first chunk that began at the end of the range, and nowhere else."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.chunks import Chunker, ChunkLimits
from consumer.domain.columns import Records
from consumer.domain.events import REPLAYED, RUNNING
from consumer.domain.records import Record
from consumer.domain.replay import Replay
from consumer.shard.delivery.intake import End
from tests.unit.shard.fakes import record
from tests.unit.shard.test_pipeline import GRACE_MS, WINDOW_MS, Shard

END = End(before_ms=100_000, tip_ms=100_000 + GRACE_MS)


BETWEEN_HOLDS_SECONDS = 5


def replaying(**options: Any) -> Shard:
    """A shard that has been read for a while."""
    shard = Shard(end=END, **options)
    shard.passes(BETWEEN_HOLDS_SECONDS)
    return shard


def ends(shard: Shard) -> None:
    """What ends the wait of a callback at the end of the range."""
    shard.pipeline.drain()


def test_the_chunk_that_holds_the_end_is_delivered_whole_and_the_next_is_not() -> None:
    shard = replaying(chunk_records=3)
    shard.accept(record(1, arrival_ms=99_999), record(2, arrival_ms=100_001))
    assert shard.pipeline.state == RUNNING
    seen = []
    shard.while_waiting(shard.durable(1), lambda: seen.append(shard.pipeline.state), lambda: ends(shard))
    shard.accept(record(3, arrival_ms=100_002), record(4, arrival_ms=100_003))
    assert "start 1-3" in shard.log
    assert "checkpoint 3" in shard.log
    assert seen == [REPLAYED]
    assert not [line for line in shard.log if line.startswith("start 4")]


def test_callbacks_at_the_end_return_at_once_for_a_while() -> None:
    """The KCL may open no other shard while one lasts, and can miss the moment between two of them."""
    shard = Shard(end=END, has_begun=False)
    for number in range(10):
        assert shard.accept(record(number, arrival_ms=100_000)) == []
        assert shard.pipeline.state == REPLAYED
        shard.passes(0.49)
    shard.passes(0.1)
    assert shard.accept(record(10, arrival_ms=100_001)) == ["wait 1s"]
    assert shard.status.counters["records_left"] == 11


def test_they_hold_the_kcl_up_for_longer_and_longer_and_let_it_go_between() -> None:
    shard = replaying()
    holds = []
    for _ in range(9):
        began = shard.clock.now
        assert len(shard.accept(record(1, arrival_ms=100_000))) == 1
        holds.append(shard.clock.now - began)
        assert shard.accept(record(1, arrival_ms=100_000)) == []
        shard.passes(BETWEEN_HOLDS_SECONDS - 0.1)
        assert shard.accept() == []
        shard.passes(0.1)
    assert holds == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_a_first_message_that_takes_long_is_no_reason_to_hold() -> None:
    shard = Shard(end=END, has_begun=False, max_chunks=1)
    shard.accept(record(1, arrival_ms=1), record(2, arrival_ms=2), record(3, arrival_ms=100_000))
    assert shard.log == ["start 1-1", "wait 5s"]
    shard.durable(1)()
    assert [line for line in shard.tick() if line.startswith("wait")] == []


def test_it_is_replayed_only_once_all_is_delivered_and_checkpointed() -> None:
    shard = replaying(interval=60)
    states = []

    def look() -> None:
        states.append(shard.pipeline.state)

    shard.while_waiting(look, shard.durable(1), shard.durable(2), look)
    shard.accept(record(1, arrival_ms=1), record(2, arrival_ms=2), record(3, arrival_ms=100_000))
    shard.passes(60)
    look()
    shard.accept()
    look()
    assert states == [RUNNING, RUNNING, RUNNING, REPLAYED]


def test_what_comes_after_the_end_is_left_to_nobody_and_counted() -> None:
    """read - delivered - dead - in flight - left stays 0."""
    shard = replaying()
    shard.while_waiting(lambda: ends(shard))
    shard.accept(record(1, arrival_ms=100_000), record(2, arrival_ms=100_001))
    assert shard.pipeline.in_flight_records == 0
    assert shard.status.counters["records_left"] == 2


def test_a_quiet_shard_is_replayed_once_it_was_seen_empty_after_the_end() -> None:
    shard = replaying()
    shard.accept(tip_seen_ms=END.tip_ms - 1)
    assert shard.pipeline.state == RUNNING
    assert shard.accept(tip_seen_ms=END.tip_ms) == ["wait 1s"]
    assert shard.pipeline.state == REPLAYED


def test_the_last_chunk_of_a_quiet_shard_is_delivered_first() -> None:
    shard = replaying(chunk_records=10)
    shard.accept(record(1, arrival_ms=99_000))
    shard.accept(tip_seen_ms=END.tip_ms)  # a record of the open chunk may still come
    assert shard.pipeline.state == RUNNING
    shard.while_waiting(shard.durable(1), lambda: ends(shard))
    shard.accept(tip_seen_ms=99_000 + WINDOW_MS + GRACE_MS)
    assert "start 1-1" in shard.log


def test_a_message_that_is_taken_early_waits_only_where_a_checkpoint_can_be_made() -> None:
    shard = replaying()
    shard.take_early(record(1, arrival_ms=100_000))
    assert not [line for line in shard.log if line.startswith("wait")]
    assert shard.accept() == ["wait 1s"]


def test_a_shard_that_ends_within_the_range_ends_as_always() -> None:
    shard = replaying(chunk_records=10)
    shard.accept(record(1, arrival_ms=99_000))
    shard.while_waiting(shard.durable(1))
    assert shard.end()[-1] == "checkpoint end"


def test_a_shard_that_ends_behind_the_range_is_read_to_its_end() -> None:
    """Its children are opened then: those of them that were asked for wait for it."""
    shard = replaying(chunk_records=10)
    shard.accept(record(1, arrival_ms=99_000), record(2, arrival_ms=99_000 + WINDOW_MS + END.before_ms))
    assert shard.status.counters["records_left"] == 1
    shard.while_waiting(shard.durable(1))
    assert shard.end()[-1] == "checkpoint end"


def test_but_not_where_a_drain_has_left_some_of_the_range_before_the_tip_was_seen() -> None:
    shard = replaying(chunk_records=10)
    shard.accept(record(1, arrival_ms=99_000))
    shard.pipeline.drain()
    shard.accept(tip_seen_ms=END.tip_ms)
    shard.accept(record(2, arrival_ms=99_000 + WINDOW_MS + END.before_ms))
    assert shard.status.counters["records_left"] == 2
    assert [line for line in shard.end() if line.startswith("checkpoint")] == []


@pytest.mark.parametrize("chunk_records", [1, 10])
def test_nor_where_a_drain_comes_while_the_last_chunk_of_the_range_waits_for_room(chunk_records: int) -> None:
    """What is behind that chunk in its message is beyond the range, and the chunk itself is not."""
    shard = replaying(chunk_records=chunk_records, max_chunks=1)
    shard.while_waiting(shard.pipeline.drain)
    shard.accept(*(record(number, arrival_ms=ms) for number, ms in ((1, 1_000), (2, 62_000), (3, 130_000))))
    shard.durable(1)()
    assert shard.status.counters["records_left"] == 2
    assert [line for line in shard.end() if line.startswith("checkpoint")] == ["checkpoint 1"]


def test_a_shutdown_at_the_end_checkpoints_and_gives_the_lease_up() -> None:
    shard = replaying(interval=60)
    shard.while_waiting(shard.durable(1), lambda: ends(shard))
    shard.accept(record(1, arrival_ms=1), record(2, arrival_ms=100_000))
    shard.shut_down()
    assert [line for line in shard.log if line.startswith("checkpoint")] == ["checkpoint 1"]


def _records(draws: list[tuple[int, int]]) -> list[Record]:
    """Gaps between arrivals, which may go back a little, and sizes."""
    arrival, made = 50_000, []
    for number, (gap, size) in enumerate(draws, start=1):
        arrival += gap
        made.append(record(number, size, arrival_ms=arrival))
    return made


@given(
    draws=st.lists(st.tuples(st.integers(-500, 20_000), st.integers(1, 4_000)), max_size=40),
    cuts=st.lists(st.integers(1, 7), min_size=1, max_size=40),
    chunk_records=st.integers(1, 6),
)
def test_the_chunks_are_those_of_whoever_reads_on(
    draws: list[tuple[int, int]], cuts: list[int], chunk_records: int
) -> None:
    """However the KCL cuts its batches: every chunk up to the first that began at the end or later (I2)."""
    records = _records(draws)
    limits = ChunkLimits(window_ms=WINDOW_MS, max_bytes=10_000, max_records=chunk_records, grace_ms=GRACE_MS)
    chunker = Chunker(limits)
    chunks = chunker.add(Records.of(records))
    before = list(itertools.takewhile(lambda chunk: chunk.since_ms < END.before_ms, chunks))
    shard = replaying(chunk_records=chunk_records, max_chunks=1000, max_bytes=10**9)
    sizes = itertools.chain(cuts, itertools.repeat(max(len(records), 1)))
    rest = records
    while rest:
        size = next(sizes)
        shard.accept(*rest[:size])
        rest = rest[size:]
    started = [line.removeprefix("start ") for line in shard.log if line.startswith("start")]
    assert started == [chunk.name for chunk in before]


@pytest.mark.parametrize(("shards", "end"), [(None, 5), (frozenset({"a"}), 5), (frozenset({"b"}), 0)])
def test_other_shards_than_those_chosen_end_before_their_first_record(
    shards: frozenset[str] | None, end: int
) -> None:
    replay = Replay(until_ms=5, shards=shards)
    assert Replay.of(replay.environment()) == replay
    assert replay.end_of("a") == end


def test_a_daemon_that_is_no_replay_has_no_end() -> None:
    assert Replay.of({}) is None
