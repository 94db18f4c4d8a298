"""Where a time lies in a shard, and whether the chunks are cut again as they were from there on."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.chunks import Chunk, Chunker, ChunkLimits
from consumer.domain.columns import Records
from consumer.domain.records import Record
from consumer.operate.checkpoint.locator import Locator
from consumer.operate.checkpoint.places import START, Place
from consumer.operate.checkpoint.plan import Found
from consumer.operate.chunk_boundaries import ChunkBoundaries, Paths
from consumer.operate.errors import Refused
from consumer.operate.stream import Shard
from tests.unit.operate.fake_kinesis import BEGIN_MS, FakeKinesis, Held
from tests.unit.operate.test_stream import A, stream_of

OPEN, CLOSED = Shard(id=A), Shard(id=A, is_open=False)
WINDOW_MS = 60_000


def records_of(gaps: list[tuple[int, int]]) -> list[Record]:
    """By the milliseconds since the record before, and how many more records of its aggregate follow."""
    arrived_ms, found = BEGIN_MS, []
    for number, (gap, more) in enumerate(gaps):
        arrived_ms += gap
        found += [Record(b"x", "key", str(10**20 + 7 * number), sub, arrived_ms) for sub in range(more + 1)]
    return found


def kinesis_of(records: Iterable[Record], **changes: object) -> FakeKinesis:
    held = [Held(int(one.sequence_number), one.arrival_ms) for one in records if not one.sub_sequence_number]
    return FakeKinesis({A: held}, **changes)  # type: ignore[arg-type]


def read_from(place: Place, records: list[Record]) -> list[Record]:
    """As the KCL does: what is past the checkpoint, sub-sequence numbers included."""
    if place == START:
        return records
    return [
        one
        for one in records
        if (int(one.sequence_number), one.sub_sequence_number) > (int(place.sequence), place.sub)
    ]


def cut(records: Iterable[Record], limits: ChunkLimits) -> list[Chunk]:
    chunker = Chunker(limits)
    chunks = chunker.add(Records.of(records))
    last = chunker.seal()
    return chunks if last is None else [*chunks, last]


def locator_of(records: list[Record], chunks: Iterable[Chunk] = ()) -> Locator:
    keys = sorted(f"logs/player-logs-{A}-{chunk.name}.ndjson.gz" for chunk in chunks)
    boundaries = ChunkBoundaries(
        keys=lambda prefix: (key for key in keys if key.startswith(prefix)),
        prefix="logs/",
        stream="player-logs",
        paths=Paths.of(""),
    )
    return Locator(stream_of(kinesis_of(records)), boundaries, window_ms=WINDOW_MS)


some_gaps = st.lists(st.tuples(st.integers(0, 40_000), st.integers(0, 3)), min_size=1, max_size=40)


@given(
    gaps=some_gaps, most=st.integers(1, 9), at=st.integers(-5000, 900_000), lost=st.sets(st.integers(0, 30))
)
def test_from_a_time_on_chunks_are_cut_as_they_were_unless_it_says_otherwise(
    gaps: list[tuple[int, int]], most: int, at: int, lost: set[int]
) -> None:
    """I2 from a place that no checkpoint has had: nothing behind the time is left out, and the objects are the same."""
    records = records_of(gaps)
    limits = ChunkLimits(window_ms=WINDOW_MS, max_bytes=10_000, max_records=most, grace_ms=1)
    chunks = cut(records, limits)
    locator = locator_of(records, [chunk for number, chunk in enumerate(chunks) if number not in lost])
    found = locator.at_time(OPEN, BEGIN_MS + at, None)
    assert found is not None
    begin = locator.begin_of_chunk(OPEN, found)
    read = read_from((begin or found).place, records)
    assert [one for one in records if one.arrival_ms >= BEGIN_MS + at] == (
        read[len(read) - sum(one.arrival_ms >= BEGIN_MS + at for one in records) :]
    )
    if begin is not None:
        names = [chunk.name for chunk in chunks]
        assert [chunk.name for chunk in cut(read, limits)] == names[len(names) - len(cut(read, limits)) :]
        if begin.place.sub < 0:  # within an aggregate it may say no, which repeats lines but loses none
            assert locator.is_begin_of_chunk(OPEN, locator.behind(OPEN, begin.place))
    elif found.next is not None:
        held = [[one.sequence_number for one in chunk.records] for chunk in chunks]
        holding = next(number for number, those in enumerate(held) if found.next in those)
        assert lost & set(range(holding + 1))


@given(gaps=some_gaps, behind=st.integers(0, 900_000))
def test_behind_the_last_record_none_comes_again(gaps: list[tuple[int, int]], behind: int) -> None:
    """An aggregate that was the last one among them, whatever it holds."""
    records = records_of(gaps)
    locator = locator_of(records)
    time_ms = records[-1].arrival_ms + 1 + behind
    found = locator.at_time(OPEN, time_ms, None)
    assert found == Found(Place.past(records[-1].sequence_number))
    assert read_from(found.place, records) == []
    assert locator.at_time(CLOSED, time_ms, None) is None


def test_a_checkpoint_behind_which_nothing_lies_is_kept() -> None:
    records = records_of([(0, 0), (1000, 2)])
    present = Place(records[-1].sequence_number, 2)
    assert locator_of(records).at_time(OPEN, BEGIN_MS + 5000, present) == Found(present)
    former = Place(records[0].sequence_number)
    found = locator_of(records).at_time(OPEN, BEGIN_MS + 5000, former)
    assert found == Found(Place.past(records[-1].sequence_number))


def test_an_empty_shard_begins_with_its_first_record() -> None:
    assert locator_of([]).at_time(OPEN, BEGIN_MS, None) == Found(START)


def test_what_lies_behind_a_place_is_told() -> None:
    records = records_of([(0, 0), (1000, 2), (500, 0)])
    locator = locator_of(records)
    first, second, third = (records[number].sequence_number for number in (0, 1, 4))
    for place, arrived_ms, sequence in (
        (START, 0, first),
        (Place(first), 1000, second),
        (Place.before(second), 1000, second),
        (Place.past(second), 1500, third),
    ):
        assert locator.behind(OPEN, place) == Found(place, (BEGIN_MS + arrived_ms) / 1000, sequence)
    assert locator.behind(OPEN, Place(third)) == Found(Place(third))


def test_a_chunk_that_began_longer_ago_than_a_window_is_not_the_one() -> None:
    """The object of the chunk between is gone: reading on from the one before would go back further than asked for."""
    records = records_of([(0, 0), (WINDOW_MS, 0), (WINDOW_MS, 0)])
    limits = ChunkLimits(window_ms=WINDOW_MS, max_bytes=10_000, max_records=1, grace_ms=1)
    chunks = cut(records, limits)
    locator = locator_of(records, chunks[:1])
    second, third = (
        Found(Place.before(one.sequence_number), one.arrival_ms / 1000, one.sequence_number)
        for one in records[1:]
    )
    assert locator.begin_of_chunk(OPEN, second) is not None
    assert locator.begin_of_chunk(OPEN, third) is None


def test_a_chunk_whose_first_record_is_gone_from_the_stream_is_no_boundary() -> None:
    records = records_of([(0, 0), (1000, 0), (1000, 0)])
    limits = ChunkLimits(window_ms=WINDOW_MS, max_bytes=10_000, max_records=3, grace_ms=1)
    [chunk] = cut(records, limits)
    locator = locator_of(records[1:], [chunk])
    found = locator.at_time(OPEN, BEGIN_MS + 2000, None)
    assert found is not None
    assert locator.begin_of_chunk(OPEN, found) is None


@pytest.mark.parametrize(
    ("sequence", "says"),
    [
        (
            10**20 - 1,
            "its oldest one is 100000000000000000000, of 2026-01-31T12:00:00Z. --to TRIM_HORIZON goes there",
        ),
        (10**20 + 1, "a sequence number of another shard or stream?"),
        (10**80, "a sequence number of another shard or stream?"),
    ],
)
def test_a_number_of_no_record_is_refused(sequence: int, says: str) -> None:
    locator = locator_of(records_of([(0, 0), (1000, 0)]))
    with pytest.raises(Refused, match=f"holds no record {sequence}: ") as refused:
        locator.refuse_unheld(OPEN, str(sequence))
    assert str(refused.value).endswith(says)
    locator.refuse_unheld(OPEN, str(10**20 + 7))
