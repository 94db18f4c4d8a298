"""Which objects are found, whatever their paths are made of, and with how few listings."""

import pytest

from consumer.operate.bucket import Bucket
from consumer.operate.patience import Patience
from consumer.operate.reconcile import objects as module
from consumer.operate.reconcile.objects import Objects
from consumer.operate.reconcile.spans import DAY_MS, HOUR_MS, Partition
from consumer.settings import load
from consumer.sinks.s3.build import sink_of
from tests.unit.builders import chunk_of
from tests.unit.operate.fake_s3 import FakeS3

NOON = 1_769_860_800_000
SHARD = "shardId-000000000001"


class Stored:
    """A chunk of two events in each of some hours around noon."""

    def __init__(self, **settings: str) -> None:
        given = {"streamName": "logs", "applicationName": "app", "s3.bucket": "bucket", **settings}
        self.settings = load("s3", overrides=given)
        self.s3 = FakeS3()
        for hour in range(-30, 31):
            first = 1000 * (hour + 100)
            chunk = chunk_of(
                [b'{"event":"a b"}', b'{"event":"c"}'], first=first, arrival_ms=NOON + hour * HOUR_MS
            )
            sink = sink_of(self.settings, SHARD, client=self.s3)
            for request in sink.prepare(chunk).requests:
                sink.send(request)

    def found(self, begin_ms: int, end_ms: int) -> list[tuple[str, int]]:
        """Chunks and spans, by hours from noon."""
        bucket = Bucket(self.s3, "bucket", setting="s3.bucket", put_options={}, patience=Patience())
        self.s3.requests.clear()
        listed = Objects(self.settings, bucket, Partition.of(self.settings)).listed(begin_ms, end_ms)
        return sorted((one.chunk, (one.span - NOON) // HOUR_MS) for one in listed)

    @property
    def listings(self) -> int:
        return sum(operation == "list" for operation, _ in self.s3.requests)


def chunk(hour: int) -> str:
    return f"{SHARD}-{1000 * (hour + 100)}-2"


@pytest.mark.parametrize("most", [2000, 1, 0])
@pytest.mark.parametrize(
    ("settings", "objects"),
    [
        ({}, 1),
        ({"s3.partition": "%Y/%m/%d/%H"}, 1),
        ({"s3.key_template": "event={event}/dt=%Y-%m-%d/hour=%H"}, 2),
        ({"s3.key_template": "%Y/%j/{event}-%H/{shard}"}, 2),
        ({"s3.time_zone": "Asia/Kathmandu"}, 1),
    ],
)
def test_the_objects_of_two_hours_are_found(
    settings: dict[str, str], objects: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_FOLDERS", most)
    stored = Stored(**settings)
    partition = Partition.of(stored.settings)
    begin_ms = partition.floor(NOON)
    found = stored.found(begin_ms, partition.after(partition.after(begin_ms)))
    hours = sorted({name for name, _ in found})
    assert hours == [chunk(0), chunk(1)]
    assert len(found) == 2 * objects


def test_a_day_of_hours_is_a_listing_each() -> None:
    stored = Stored()
    assert len(stored.found(NOON, NOON + DAY_MS)) == 24
    assert stored.listings == 24


def test_values_of_fields_in_front_cost_a_listing_each() -> None:
    stored = Stored(**{"s3.key_template": "event={event}/dt=%Y-%m-%d/hour=%H"})
    assert stored.found(NOON, NOON + HOUR_MS) == [(chunk(0), 0)] * 2
    assert stored.listings == 1 + 2


def test_other_streams_and_other_files_are_left_out() -> None:
    stored = Stored()
    [key] = [key for key in stored.s3.objects if "hour=12" in key and "dt=2026-01-31" in key]
    for other in (
        key.replace("/logs-", "/logs-2-"),
        key.replace("/logs-", "/other-"),
        key.replace(".ndjson.gz", ".tmp.1"),
        key.replace("hour=12/", "hour=12/deeper/"),
    ):
        stored.s3.put_object(Bucket="bucket", Key=other, Body=b"")
    assert stored.found(NOON, NOON + HOUR_MS) == [(chunk(0), 0)]
