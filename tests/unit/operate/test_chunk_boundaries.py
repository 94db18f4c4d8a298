"""Where chunks begin, told by the keys that the sink of S3 gives its objects."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.key_templates import KeyTemplate
from consumer.domain.object_names import object_name
from consumer.domain.routing import time_zone
from consumer.operate.bucket import Bucket
from consumer.operate.chunk_boundaries import Begin, ChunkBoundaries, Paths, chunk_of
from consumer.operate.patience import Patience
from consumer.settings import load
from tests.unit.operate.fake_s3 import FakeS3

STREAM = "player-logs"
SHARDS = ["shardId-000000000000", "shardId-000000000001", "shardId-000000000010"]
HOUR_MS = 3_600_000
NOON_MS = 1_769_860_800_000
"""2026-01-31T12:00Z."""


@pytest.mark.parametrize(
    ("key", "found"),
    [
        (
            "logs/dt=2026/player-logs-shardId-000000000001-4959-12.ndjson.gz",
            ("shardId-000000000001", (4959, 0)),
        ),
        ("player-logs-shardId-000000000001-4959.3-12.ndjson.gz", ("shardId-000000000001", (4959, 3))),
        ("logs/player-logs-2-shardId-000000000001-4959-12.ndjson.gz", None),
        ("logs/player-logs-shardId-000000000001-4959.ndjson.gz", None),
        ("logs/other.json", None),
    ],
)
def test_an_objects_key_tells_where_its_chunk_begins(key: str, found: object) -> None:
    assert chunk_of(key, STREAM) == found


@given(
    newest=st.integers(10**12, 2 * 10**12),
    hours=st.integers(0, 60),
    template=st.sampled_from(
        [
            "%Y/%m/%d/%H/%M",
            "dt=%Y-%m-%d/hour=%H",
            "dt=%Y-%m-%d",
            "%Y/%j",
            "all",
            "%H",
            "day=%d/{type}/%H",
            "{type}/%Y",
        ]
    ),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu"]),
)
def test_the_paths_of_a_time_are_complete(newest: int, hours: int, template: str, zone: str) -> None:
    oldest = newest - hours * HOUR_MS
    paths = Paths.of(template, time_zone(zone))
    found = list(paths.back(newest, oldest))
    assert len(found) == len(set(found))
    step = 60_000 if "%M" in template else 600_000
    keys = KeyTemplate(template, stream=STREAM, shard=SHARDS[0], zone=paths.zone)
    for moment in (*range(oldest, newest, step), newest):
        key = keys.path(["x"] * len(keys.fields), moment)
        assert any(key.startswith(path) for path in found)
    assert keys.path(["x"] * len(keys.fields), newest).startswith(found[0])


def test_begins_compare_as_records_come() -> None:
    numbers = [Begin(999), Begin(1000), Begin(1000, 1), Begin(1000, 2), Begin(10**55)]
    assert all(one < other for one, other in pairwise(numbers))


TEMPLATES = {
    "hours": {"s3.partition": "dt=%Y-%m-%d/hour=%H"},
    "minutes": {"s3.partition": "%Y/%m/%d/%H/%M", "s3.time_zone": "Asia/Kathmandu"},
    "days": {"s3.partition": "dt=%Y-%m-%d", "s3.time_zone": "Europe/Berlin"},
    "one path": {"s3.partition": "all"},
    "fields": {"s3.key_template": "dt=%Y-%m-%d/type={event|none}/hour=%H"},
    "fields first": {"s3.key_template": "{event|none}/dt=%Y-%m-%d"},
    "record time": {"s3.partition": "dt=%Y-%m-%d/hour=%H", "s3.partition_time": "record"},
}


@st.composite
def chunks(draw: st.DrawFn) -> dict[str, list[tuple[Begin, int, int]]]:
    """By shard: where each chunk begins, when its first record arrived, and by how much its records' times differ."""
    found = {}
    for shard in SHARDS[: draw(st.integers(1, 3))]:
        sequence, arrived_ms, some = 10**20, NOON_MS, []
        for gap, aggregated, off in draw(
            st.lists(st.tuples(st.integers(1, 40), st.integers(0, 2), st.integers(-600, 600)), max_size=8)
        ):
            sequence, arrived_ms = sequence + gap, arrived_ms + gap * 60_000
            some.append((Begin(sequence, aggregated), arrived_ms, off * 60_000))
        found[shard] = some
    return found


@given(
    made=chunks(),
    kind=st.sampled_from(sorted(TEMPLATES)),
    at=st.integers(-5, 200),
    lost=st.sets(st.integers(0, 7)),
)
def test_the_nearest_boundary_is_found_whatever_the_keys_are_made_of(
    made: dict[str, list[tuple[Begin, int, int]]], kind: str, at: int, lost: set[int]
) -> None:
    """At the very place or the nearest one there is; where the time of records makes the path, at one of them."""
    changes = TEMPLATES[kind]
    settings = load("s3", overrides={**COMMON, **changes})
    template = settings.optional_text("s3.key_template") or settings.text("s3.partition")
    zone = time_zone(settings.text("s3.time_zone"))
    s3, kept = FakeS3(page=3), {}
    s3.put_object(Bucket="bucket", Key="logs/_SUCCESS", Body=b"")
    for shard, some in made.items():
        kept[shard] = [begin for number, (begin, _, _) in enumerate(some) if number not in lost]
        for begin, arrived_ms, off_ms in some:
            if begin in kept[shard]:
                time_ms = arrived_ms + (off_ms if kind == "record time" else 0)
                for key in keys_of(
                    KeyTemplate(template, stream=STREAM, shard=shard, zone=zone), shard, begin, time_ms
                ):
                    s3.put_object(Bucket="bucket", Key=key, Body=b"")
    bucket = Bucket(s3, "bucket", setting="s3.bucket", put_options={}, patience=Patience())
    boundaries = ChunkBoundaries.of(settings, bucket)
    limit = Begin(10**20 + at)
    limit_ms, newest_ms = NOON_MS + at * 60_000, NOON_MS + 400 * 60_000
    wanted = dict.fromkeys(made, limit)
    before = boundaries.last_at_or_before(wanted, newest_ms=limit_ms, oldest_ms=NOON_MS - HOUR_MS)
    behind = boundaries.first_at_or_behind(wanted, newest_ms=newest_ms, oldest_ms=NOON_MS - HOUR_MS)
    for shard in made:
        left = [begin for begin in kept[shard] if begin <= limit]
        right = [begin for begin in kept[shard] if begin >= limit]
        if kind == "record time":
            assert (shard in before, shard in behind) == (bool(left), bool(right))
            assert before.get(shard) in (*left, None)
            assert behind.get(shard) in (*right, None)
        else:
            assert before.get(shard) == max(left, default=None)
            assert behind.get(shard) == min(right, default=None)


COMMON = {
    "streamName": STREAM,
    "applicationName": "app",
    "s3.bucket": "bucket",
    "s3.prefix": "logs/",
    "regionName": "eu-west-1",
}


def keys_of(template: KeyTemplate, shard: str, begin: Begin, time_ms: int) -> Iterator[str]:
    """Of the objects of one chunk, two where its records differ in a field."""
    name = f"{begin.sequence}.{begin.sub_sequence}" if begin.sub_sequence else str(begin.sequence)
    for value in ("login", "logout") if template.fields else ("",):
        path = template.path([value] * len(template.fields), time_ms)
        yield f"logs/{path}{object_name(f'{STREAM}-{shard}', f'{name}-7')}"


def test_of_one_shard_nothing_else_is_listed() -> None:
    """As of 64 shards of which one is asked for."""
    asked = []

    def keys(prefix: str) -> Iterator[str]:
        asked.append(prefix)
        yield from ()

    boundaries = ChunkBoundaries(keys=keys, prefix="logs/", stream=STREAM, paths=Paths.of("%H"))
    boundaries.last_at_or_before({SHARDS[0]: Begin(5)}, newest_ms=NOON_MS, oldest_ms=NOON_MS)
    boundaries.last_at_or_before(dict.fromkeys(SHARDS, Begin(5)), newest_ms=NOON_MS, oldest_ms=NOON_MS)
    assert asked == [f"logs/12/{STREAM}-{SHARDS[0]}-", "logs/12/"]
