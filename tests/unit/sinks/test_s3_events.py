"""Events filed by their kind and time, read back by DuckDB as a table with Hive's partitions."""

import gzip
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import batched
from pathlib import Path

import duckdb
import pytest

from consumer.domain.chunks import Chunk, Chunker, ChunkLimits
from consumer.domain.columns import Records
from consumer.settings import PROJECT_ROOT, load
from consumer.sinks.s3.build import sink_of
from tests.unit.builders import ARRIVAL_MS, record

EVENTS = PROJECT_ROOT.parent / "shared" / "data" / "wyscout_epl2017_first40.ndjson.gz"
"""Of football matches: https://figshare.com/collections/Soccer_match_event_dataset/4415000"""

ODD_KINDS = ["Free Kick", "a/b", "..", "k=v", "50%", "Grüße", "😀", "plain", "+", "a&b?c#d"]


def made_up() -> Iterator[tuple[str, str, str]]:
    """Player, time and kind."""
    for number in range(3000):
        yield f"{number % 97:032x}", f"2017-08-{number % 20 + 1:02} 18:45:00", ODD_KINDS[number % 10]


def of_file() -> Iterator[tuple[str, str, str]]:
    with gzip.open(EVENTS, "rt") as lines:
        for line in lines:
            event = json.loads(line)
            yield event["player_id"], event["match_utc"], event["event"]["eventName"]


SOURCES = {"made up": made_up, "of matches": of_file}


def chunks_of(payloads: Iterable[bytes]) -> Iterator[Chunk]:
    limits = ChunkLimits(window_ms=60_000, max_bytes=2**20, max_records=100_000, grace_ms=0)
    chunker = Chunker(limits)
    records = (
        record(payload, sequence=str(10**50 + place), arrival_ms=ARRIVAL_MS + place)
        for place, payload in enumerate(payloads)
    )
    for some in batched(records, 2000, strict=False):
        yield from chunker.add(Records.of(some))
    last = chunker.seal()
    assert last is not None
    yield last


@pytest.mark.parametrize("form", ["ndjson.gz", "ndjson.zst", "parquet"])
@pytest.mark.parametrize("source", SOURCES)
def test_counts_by_partition_are_those_of_the_events(source: str, form: str, tmp_path: Path) -> None:
    if source == "of matches" and not EVENTS.exists():
        pytest.skip(f"{EVENTS} is not there")
    events = list(SOURCES[source]())
    sink = sink_of(
        load(
            "s3",
            overrides={
                "s3.bucket": "bucket",
                "s3.format": form,
                "s3.prefix": "",
                "s3.key_template": "kind={content_type|none}/year=%Y/month=%m/day=%d",
                "s3.partition_time": "record",
                "record.time_field": "at",
            },
        ),
        "shardId-000000000000",
        client=None,
    )
    # a year and more after an event its row is a dead letter, so they are moved
    rows = [
        {"player_id": player, "at": f"2023{moment[4:10]}T{moment[11:]}Z", "content_type": kind}
        for player, moment, kind in events
    ]
    for chunk in chunks_of(json.dumps(row).encode() for row in rows):
        prepared = sink.prepare(chunk)
        assert not prepared.rejections
        for request in prepared.requests:
            file = tmp_path / request.key
            assert not file.exists()
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(request.body)
    glob = f"{tmp_path}/**/*.{form}"
    read = f"read_parquet('{glob}', hive_partitioning = true, hive_types_autocast = false)"
    if form != "parquet":
        read = f"read_ndjson('{glob}', hive_partitioning = true, hive_types_autocast = false)"
    counted = duckdb.sql(f"SELECT kind, year, month, day, count(*) FROM {read} GROUP BY ALL").fetchall()
    expected = Counter(
        (kind, *datetime.fromisoformat(row["at"]).replace(tzinfo=UTC).strftime("%Y %m %d").split())
        for (_, _, kind), row in zip(events, rows, strict=True)
    )
    assert {tuple(key): count for *key, count in counted} == expected
    mismatched = "kind <> log ->> 'content_type'" if form == "parquet" else "kind <> content_type"
    assert duckdb.sql(f"SELECT count(*) FROM {read} WHERE {mismatched}").fetchall() == [(0,)]
