"""Where a replay begins in each shard: at a boundary of the application's chunks, whatever these are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.chunks import Chunk, Chunker, ChunkLimits
from consumer.domain.columns import Records
from consumer.domain.records import Record
from consumer.domain.routing import partition_path
from consumer.operate.chunk_boundaries import ChunkBoundaries, Paths
from consumer.operate.errors import Refused
from consumer.operate.replay.plan import Plan, Range, make_plan
from consumer.operate.replay.tables import FirstLease
from consumer.operate.stream import Arrived, Retained, Shard

STREAM = "player-logs"
SHARD = "shardId-000000000000"
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
NOW_MS = round(NOW.timestamp() * 1000)
HOUR_MS = 3_600_000
PARTITION = "dt=%Y-%m-%d/hour=%H"


@dataclass
class FakeStream:
    """Records of each shard in order; those that arrived before the retention are not given."""

    records: dict[str, list[Record]]
    parents: dict[str, frozenset[str]] = field(default_factory=dict)
    hours: int = 24
    whole: bool = False

    def retained(self, now: datetime) -> Retained:
        return Retained(since_ms=NOW_MS - self.hours * HOUR_MS, hours=self.hours, whole=self.whole)

    def shards(self) -> dict[str, Shard]:
        return {name: Shard(id=name, parents=self.parents.get(name, frozenset())) for name in self.records}

    def first_since(self, shards: Iterable[str], time_ms: int) -> dict[str, Arrived]:
        return self._first(dict.fromkeys(shards, lambda record: record.arrival_ms >= time_ms))

    def first_from(self, places: Mapping[str, str]) -> dict[str, Arrived]:
        return self._first(
            {
                shard: lambda record, number=int(number): int(record.sequence_number) >= number
                for shard, number in places.items()
            }
        )

    def _first(self, fits: dict[str, object]) -> dict[str, Arrived]:
        oldest = self.retained(NOW).since_ms
        found = {}
        for shard, fit in fits.items():
            for record in self.records[shard]:
                if record.arrival_ms >= oldest and fit(record):  # type: ignore[operator]
                    found[shard] = Arrived(
                        sequence_number=record.sequence_number, arrived_ms=record.arrival_ms, data_bytes=100
                    )
                    break
        return found


def cut(records: Iterable[Record], limits: ChunkLimits) -> list[Chunk]:
    chunker = Chunker(limits)
    chunks = chunker.add(Records.of(records))
    last = chunker.seal()
    return chunks if last is None else [*chunks, last]


def key_of(chunk: Chunk, shard: str, arrival_ms: int) -> str:
    return f"logs/{partition_path(PARTITION, arrival_ms)}{STREAM}-{shard}-{chunk.name}.ndjson.gz"


def boundaries_by(keys: Iterable[str]) -> ChunkBoundaries:
    all_keys = sorted(keys)
    return ChunkBoundaries(
        keys=lambda prefix: (key for key in all_keys if key.startswith(prefix)),
        prefix="logs/",
        stream=STREAM,
        paths=Paths.of(PARTITION),
    )


def record(number: int, arrival_ms: int, sub: int = 0, size: int = 10) -> Record:
    return Record(b"x" * size, "key", str(number), sub, arrival_ms)


def numbered(first_ms: int, step_ms: int, count: int, first: int = 1000) -> list[Record]:
    return [record(first + place, first_ms + place * step_ms) for place in range(count)]


def read_from(lease: FirstLease, records: list[Record]) -> list[Record]:
    """As the KCL does: what is past the checkpoint, sub-sequence numbers included."""
    if lease.checkpoint == "TRIM_HORIZON":
        return records
    begin = (int(lease.checkpoint), lease.sub_sequence_number)
    return [one for one in records if (int(one.sequence_number), one.sub_sequence_number) > begin]


LIMITS = ChunkLimits(window_ms=60_000, max_bytes=10_000, max_records=7, grace_ms=1)


@given(
    gaps=st.lists(st.tuples(st.integers(0, 50_000), st.integers(0, 3)), min_size=2, max_size=60),
    max_records=st.integers(1, 9),
    chosen=st.tuples(st.integers(0, 59), st.integers(1, 60)),
    lost=st.sets(st.integers(0, 20), max_size=4),
)
def test_the_chunks_of_the_range_are_cut_again_as_they_were(
    gaps: list[tuple[int, int]], max_records: int, chosen: tuple[int, int], lost: set[int]
) -> None:
    """I2: whatever the records, aggregates among them, whichever objects are gone, as long as one is there."""
    arrival, records = NOW_MS - 10 * HOUR_MS, []
    for number, (gap, aggregated) in enumerate(gaps):
        arrival += gap
        records += [record(1000 + number, arrival, sub, 700) for sub in range(aggregated + 1)]
    limits = ChunkLimits(window_ms=60_000, max_bytes=10_000, max_records=max_records, grace_ms=1)
    chunks = cut(records, limits)
    keys = [
        key_of(chunk, SHARD, arrived)
        for place, chunk in enumerate(chunks)
        for arrived in {one.arrival_ms for one in chunk.records}
        if place == 0 or place not in lost
    ]
    first = records[chosen[0] % len(records)].arrival_ms
    wanted = Range(from_ms=first, to_ms=first + chosen[1] * 10_000)
    plan = make_plan(wanted, FakeStream({SHARD: records}), NOW, boundaries=boundaries_by(keys))
    [lease] = plan.leases
    again = [chunk for chunk in cut(read_from(lease, records), limits) if chunk.since_ms < wanted.to_ms]
    names = [chunk.name for chunk in chunks]
    assert [chunk.name for chunk in again] == [name for name in names if name in {one.name for one in again}]
    inside = [
        chunk.name
        for chunk in chunks
        if any(wanted.from_ms <= one.arrival_ms < wanted.to_ms for one in chunk.records)
    ]
    assert set(inside) <= {chunk.name for chunk in again}
    kept_before = [
        place
        for place, chunk in enumerate(chunks)
        if (place == 0 or place not in lost) and chunk.name in inside
    ]
    if kept_before and chunks[kept_before[0]].name == inside[0]:
        assert [chunk.name for chunk in again] == inside  # and no more than these


def plan_of(stream: FakeStream, wanted: Range, keys: Iterable[str], *, cut_anew: bool = False) -> Plan:
    return make_plan(wanted, stream, NOW, boundaries=boundaries_by(keys), cut_anew=cut_anew)


def keys_of(records: list[Record], shard: str = SHARD) -> list[str]:
    return [key_of(chunk, shard, chunk.since_ms) for chunk in cut(records, LIMITS)]


def test_of_a_chunk_whose_beginning_is_past_the_retention_nothing_is_delivered() -> None:
    oldest = NOW_MS - 24 * HOUR_MS
    records = numbered(oldest - 20_000, 10_000, 40)  # two of the first chunk's records are gone
    names = [chunk.name for chunk in cut(records, LIMITS)]
    wanted = Range(from_ms=oldest - HOUR_MS, to_ms=oldest + HOUR_MS)
    plan = plan_of(FakeStream({SHARD: records}), wanted, keys_of(records))
    [lease] = plan.leases
    assert [chunk.name for chunk in cut(read_from(lease, records), LIMITS)] == names[1:]
    gone, cut_short = plan.notes
    assert gone.endswith("is past the stream's retention of 24 h, and gone: 1 h 0 min of the range.")
    assert cut_short == f"{SHARD}: of the first chunk the beginning is gone, so its object stays as it is."


def test_a_shard_whose_first_record_is_there_begins_with_it_where_no_object_says_otherwise() -> None:
    """A child, and any shard of a stream that is younger than its retention."""
    records = numbered(NOW_MS - HOUR_MS, 1000, 20)
    wanted = Range(from_ms=NOW_MS - HOUR_MS + 5000, to_ms=NOW_MS)
    parent = numbered(NOW_MS - 2 * HOUR_MS, 1000, 3, first=1)
    child = FakeStream({"shardId-1": parent, SHARD: records}, {SHARD: frozenset({"shardId-1"})})
    for stream in (child, FakeStream({SHARD: records}, whole=True)):
        plan = plan_of(stream, wanted, [])
        assert plan.begins == {SHARD: records[5].arrival_ms}
        assert next(one for one in plan.leases if one.shard == SHARD).checkpoint == "TRIM_HORIZON"


def test_where_no_boundary_is_known_it_refuses_unless_told_to_cut_anew() -> None:
    stream = FakeStream({SHARD: numbered(NOW_MS - HOUR_MS, 1000, 20)})
    wanted = Range(from_ms=NOW_MS - HOUR_MS + 5000, to_ms=NOW_MS)
    with pytest.raises(Refused, match="no object tells where a chunk of shardId-000000000000 begins"):
        plan_of(stream, wanted, [])
    [lease] = plan_of(stream, wanted, [], cut_anew=True).leases
    assert (lease.checkpoint, lease.sub_sequence_number) == ("1005", -1)


def test_rows_need_no_boundary() -> None:
    stream = FakeStream({SHARD: numbered(NOW_MS - HOUR_MS, 1000, 20)})
    plan = make_plan(Range(from_ms=NOW_MS - HOUR_MS + 5000, to_ms=NOW_MS), stream, NOW, boundaries=None)
    assert [(one.checkpoint, one.sub_sequence_number) for one in plan.leases] == [("1005", -1)]


def test_a_shard_without_records_of_the_range_is_never_read() -> None:
    """Its lease waits for itself: the KCL would make one of its own otherwise, and read it from its first record."""
    there = numbered(NOW_MS - HOUR_MS, 1000, 20)
    early = numbered(NOW_MS - 3 * HOUR_MS, 1000, 20)
    stream = FakeStream({SHARD: there, "shardId-1": early, "shardId-2": [], "shardId-3": list(there)})
    wanted = Range(from_ms=NOW_MS - HOUR_MS, to_ms=NOW_MS, shards=frozenset({SHARD, "shardId-1"}))
    plan = plan_of(stream, wanted, keys_of(there))
    assert plan.begins.keys() == {SHARD}
    assert {one.shard: one.parents for one in plan.leases} == {
        SHARD: frozenset(),
        **{name: frozenset({name}) for name in ("shardId-1", "shardId-2", "shardId-3")},
    }


@pytest.mark.parametrize(
    ("first_hours", "last_hours", "shards", "says"),
    [
        (
            50,
            30,
            [],
            "is past the stream's retention of 24 h: what arrived before 2026-01-30T12:00:00Z is gone",
        ),
        (0.9, 0.8, [], "an empty range: no record arrived from 2026-01-31T11:06:00Z to 2026-01-31T11:12:00Z"),
        (2, 0, ["shardId-9"], "no such shard: shardId-9; the stream has shardId-000000000000"),
    ],
)
def test_what_it_refuses(first_hours: float, last_hours: float, shards: list[str], says: str) -> None:
    stream = FakeStream({SHARD: numbered(NOW_MS - HOUR_MS, 1000, 20)})
    wanted = Range(
        from_ms=NOW_MS - round(first_hours * HOUR_MS),
        to_ms=NOW_MS - round(last_hours * HOUR_MS),
        shards=frozenset(shards),
    )
    with pytest.raises(Refused) as refused:
        plan_of(stream, wanted, [])
    assert says in str(refused.value)


def test_the_options_of_a_range_mean_it_at_any_time() -> None:
    wanted = Range(from_ms=1_769_860_800_123, to_ms=1_769_860_801_000)
    assert wanted.options() == ["--from=2026-01-31T12:00:00.123Z", "--to=2026-01-31T12:00:01.000Z"]


def test_half_of_what_a_shard_gives_is_read() -> None:
    stream = FakeStream({SHARD: numbered(NOW_MS - HOUR_MS, 1000, 20)})
    plan = make_plan(Range(from_ms=NOW_MS - HOUR_MS, to_ms=NOW_MS), stream, NOW, boundaries=None)
    assert plan.kept.records_a_second() == 10_000
    assert plan.kept.seconds(NOW_MS) == 3600
