"""The chunker's promises, for any records, limits and batches."""

from collections.abc import Sequence
from itertools import accumulate

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from consumer.domain.chunks import Chunk, Chunker, ChunkLimits
from consumer.domain.columns import Records
from consumer.domain.records import Position, Record
from tests.unit.builders import ARRIVAL_MS, chunk_of, record
from tests.unit.domain.strategies import batched, cut, cut_batches, limits, shards

LIMITS = ChunkLimits(window_ms=60_000, max_bytes=100, max_records=10, grace_ms=5_000)


def by_the_rule(records: Sequence[Record], limits: ChunkLimits) -> list[list[Record]]:
    """The specification, written down without any regard for speed; the last list is the open chunk."""
    chunks: list[list[Record]] = [[]]
    for each in records:
        current = chunks[-1]
        size = sum(len(one.data) for one in current)
        if current and (
            size >= limits.max_bytes
            or size + len(each.data) > limits.max_bytes
            or len(current) == limits.max_records
            or each.arrival_ms - current[0].arrival_ms >= limits.window_ms
        ):
            chunks.append([])
        chunks[-1].append(each)
    return [chunk for chunk in chunks if chunk]


@given(st.data(), shards(), limits)
def test_I2_chunks_do_not_depend_on_how_the_records_were_batched(
    data: st.DataObject, records: list[Record], limits: ChunkLimits
) -> None:
    one_way, other_way = data.draw(batched(records)), data.draw(batched(records))
    assert cut_batches(one_way, limits) == cut_batches(other_way, limits)


@given(st.data(), shards(), limits)
def test_chunks_are_cut_where_the_rule_says(
    data: st.DataObject, records: list[Record], limits: ChunkLimits
) -> None:
    chunks, rest = cut_batches(data.draw(batched(records)), limits)
    everything = [*chunks, *([rest] if rest else [])]
    assert [list(chunk.records) for chunk in everything] == by_the_rule(records, limits)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(-2, 3)), min_size=60, max_size=500),
    st.builds(
        ChunkLimits,
        window_ms=st.integers(1, 600),
        max_bytes=st.integers(1, 800),
        max_records=st.integers(1, 600),
        grace_ms=st.just(0),
    ),
)
def test_chunks_of_many_records_are_cut_where_the_rule_says(
    steps: list[tuple[int, int]], limits: ChunkLimits
) -> None:
    arrivals = accumulate((step_ms for _, step_ms in steps), initial=ARRIVAL_MS)
    records = [
        Record(b"x" * size, "pk", str(number), 0, arrival_ms)
        for number, ((size, _), arrival_ms) in enumerate(zip(steps, arrivals, strict=False))
    ]
    chunks, rest = cut_batches([records], limits)
    sizes = [chunk.count for chunk in chunks] + ([rest.count] if rest else [])
    assert sizes == [len(chunk) for chunk in by_the_rule(records, limits)]


@given(st.data(), shards(), limits)
def test_I1_chunks_and_the_open_chunk_hold_every_record_in_its_order(
    data: st.DataObject, records: list[Record], limits: ChunkLimits
) -> None:
    chunker = Chunker(limits)
    chunks = [chunk for batch in data.draw(batched(records)) for chunk in chunker.add(Records.of(batch))]
    in_chunks = [each for chunk in chunks for each in chunk.records]
    rest = records[len(in_chunks) :]
    assert in_chunks == records[: len(in_chunks)]
    assert chunker.open_records == len(rest)
    assert chunker.open_bytes == sum(len(each.data) for each in rest)
    assert chunker.open_since_ms == (rest[0].arrival_ms if rest else None)


@given(shards(), limits)
def test_a_chunk_obeys_every_limit_unless_it_is_one_record(
    records: list[Record], limits: ChunkLimits
) -> None:
    chunks, rest = cut(records, limits)
    for chunk in [*chunks, *([rest] if rest else [])]:
        assert chunk.size_bytes == sum(len(each.data) for each in chunk.records)
        if len(chunk.records) > 1:
            assert chunk.size_bytes <= limits.max_bytes
            assert len(chunk.records) <= limits.max_records
            assert max(each.arrival_ms for each in chunk.records) < chunk.since_ms + limits.window_ms


@given(st.data(), shards(), limits)
def test_I2_a_replay_from_any_chunks_end_cuts_the_same_chunks(
    data: st.DataObject, records: list[Record], limits: ChunkLimits
) -> None:
    chunks, rest = cut(records, limits)
    done = data.draw(st.integers(0, len(chunks)))
    read_again = records[sum(len(chunk.records) for chunk in chunks[:done]) :]
    assert cut_batches(data.draw(batched(read_again)), limits) == (chunks[done:], rest)


@given(st.data(), shards(min_size=1), limits, limits)
def test_I2_a_name_stands_for_one_content_whatever_the_limits_and_the_start(
    data: st.DataObject, records: list[Record], limits: ChunkLimits, other: ChunkLimits
) -> None:
    contents: dict[str, Records] = {}
    for each_limits in (limits, other):
        start = data.draw(st.integers(0, len(records) - 1))
        chunks, rest = cut(records[start:], each_limits)
        for chunk in [*chunks, *([rest] if rest else [])]:
            assert contents.setdefault(chunk.name, chunk.records) == chunk.records


@given(st.data(), shards(), limits)
def test_the_fast_path_equals_the_slow_path(
    data: st.DataObject, records: list[Record], limits: ChunkLimits
) -> None:
    batches = data.draw(batched(records))
    slow = Chunker(limits)
    chunks = [chunk for batch in batches for chunk in slow._cut(Records.of(batch))]
    assert cut_batches(batches, limits) == (chunks, slow.seal())


def test_a_batch_that_fits_is_taken_without_looking_at_its_records_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(self: Chunker, records: Records) -> list[Chunk]:
        raise AssertionError("the slow path was taken")

    monkeypatch.setattr(Chunker, "_cut", refuse)
    chunker = Chunker(LIMITS)
    assert chunker.add(Records.of([record(b"x" * 30), record(b"y" * 30)])) == []
    assert chunker.add(Records.of([record(b"z" * 39)])) == []
    assert (chunker.open_records, chunker.open_bytes) == (3, 99)


@given(st.data(), shards(min_size=1), limits)
def test_I2_an_idle_chunk_is_sealed_where_the_next_record_seals_it_when_that_is_not_late(
    data: st.DataObject, records: list[Record], limits: ChunkLimits
) -> None:
    seen = data.draw(st.integers(1, len(records)))
    chunker = Chunker(limits)
    sealed = chunker.add(Records.of(records[:seen]))
    since = chunker.open_since_ms
    assume(since is not None)
    assert since is not None
    later = records[seen:]
    assume(all(each.arrival_ms >= since + limits.window_ms for each in later))
    idle = chunker.seal_idle(since + limits.window_ms + limits.grace_ms)
    assert idle is not None
    assert chunker.open_records == 0
    rest = [*chunker.add(Records.of(later)), chunker.seal()]
    all_at_once, last = cut(records, limits)
    assert [chunk for chunk in [*sealed, idle, *rest] if chunk] == [
        chunk for chunk in [*all_at_once, last] if chunk
    ]


@given(shards(min_size=1), limits, st.integers(-40_000, 40_000))
def test_an_idle_chunk_is_never_sealed_before_its_window_and_the_grace(
    records: list[Record], limits: ChunkLimits, offset_ms: int
) -> None:
    chunker = Chunker(limits)
    chunker.add(Records.of(records))
    since = chunker.open_since_ms
    assume(since is not None)
    assert since is not None
    before = chunker.open_records
    due = since + limits.window_ms + limits.grace_ms
    idle = chunker.seal_idle(due + offset_ms)
    assert (idle is not None) == (offset_ms >= 0)
    assert chunker.open_records == (0 if idle else before)


def test_an_empty_chunker_has_nothing_to_seal() -> None:
    chunker = Chunker(LIMITS)
    assert chunker.add(Records.of([])) == []
    assert chunker.seal_idle(10**15) is None
    assert chunker.seal() is None
    assert chunker.open_since_ms is None


@given(st.data(), shards(), limits)
def test_I2_a_discarded_chunk_that_is_read_again_comes_out_the_same(
    data: st.DataObject, records: list[Record], limits: ChunkLimits
) -> None:
    stop = data.draw(st.integers(0, len(records)))
    chunker = Chunker(limits)
    before = chunker.add(Records.of(records[:stop]))
    chunker.discard()
    assert (chunker.open_records, chunker.open_bytes) == (0, 0)
    delivered = sum(len(chunk.records) for chunk in before)
    after = chunker.add(Records.of(records[delivered:]))
    assert ([*before, *after], chunker.seal()) == cut(records, limits)


def test_a_record_larger_than_every_limit_is_a_chunk_of_its_own() -> None:
    giant = record(b"x" * 1000, sequence="2")
    chunks, rest = cut([record(b"a"), giant, record(b"b", sequence="3")], LIMITS)
    assert [chunk.name for chunk in chunks] == ["1-1", "2-1"]
    assert rest is not None
    assert rest.name == "3-1"


def test_a_chunk_is_sealed_as_soon_as_it_is_full() -> None:
    assert cut([record(b"x" * 100)], LIMITS)[1] is None
    assert cut([record(b"") for _ in range(10)], LIMITS)[1] is None
    assert cut([record(b"x" * 99)], LIMITS)[1] is not None


def test_a_record_that_arrives_a_window_after_the_first_starts_a_new_chunk() -> None:
    first = record(arrival_ms=ARRIVAL_MS)
    assert cut([first, record(arrival_ms=ARRIVAL_MS + LIMITS.window_ms - 1)], LIMITS)[0] == []
    (chunk,), rest = cut([first, record(arrival_ms=ARRIVAL_MS + LIMITS.window_ms)], LIMITS)
    assert len(chunk.records) == 1
    assert rest is not None


def test_a_clock_that_goes_back_keeps_the_chunk_open() -> None:
    backwards = [record(arrival_ms=ARRIVAL_MS), record(arrival_ms=ARRIVAL_MS - 10**9)]
    assert cut(backwards, LIMITS)[0] == []


def test_the_name_and_the_end_of_a_chunk() -> None:
    assert chunk_of([b"a", b"b"], first=5).name == "5-2"
    assert chunk_of([b"a", b"b"], first=5, sub=3).name == "5.3-2"
    assert chunk_of([b"a", b"b"], first=5, sub=3).end == Position("6", 3)


@pytest.mark.parametrize("name", ["window_ms", "max_bytes", "max_records"])
def test_limits_below_one_are_refused(name: str) -> None:
    values = {"window_ms": 1, "max_bytes": 1, "max_records": 1, "grace_ms": 0}
    ChunkLimits(**values)
    with pytest.raises(ValueError, match="must be positive"):
        ChunkLimits(**values | {name: 0})


def test_a_negative_grace_is_refused() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        ChunkLimits(window_ms=1, max_bytes=1, max_records=1, grace_ms=-1)


def test_a_released_chunk_still_tells_its_name_and_where_it_ends() -> None:
    chunk = chunk_of([b"1", b"2", b"3"], first=7)
    told = (chunk.name, chunk.count, chunk.first, chunk.end, chunk.size_bytes)
    chunk.release()
    assert chunk.records == ()
    assert (chunk.name, chunk.count, chunk.first, chunk.end, chunk.size_bytes) == told
    assert (chunk.name, chunk.count, chunk.end) == ("7-3", 3, Position("9", 0))
