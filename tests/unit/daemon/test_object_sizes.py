"""bin/check s3 tells of objects by a bounded listing: how many a day, how large, and what their requests cost."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.daemon.prepare import object_sizes
from consumer.daemon.prepare.object_sizes import Listing, Seen, object_size_checks, verdict
from consumer.daemon.prepare.preparation import NotReady
from consumer.domain.key_templates import KeyTemplate
from consumer.domain.object_names import object_name
from consumer.domain.routing import time_zone
from consumer.settings import Settings, load
from tests.unit.operate.fake_s3 import BEGIN, FakeS3, answer

NOW_MS = int(BEGIN.timestamp() * 1000) + 60_000
"""Objects of FakeS3 come from BEGIN on."""
HOUR_MS = 3_600_000
SHARD = "shardId-000000000003"
COMMON = {"s3.bucket": "bucket", "streamName": "logs", "applicationName": "a", "regionName": "eu-west-1"}
BY_KIND = "kind={kind}/dt=%Y-%m-%d/hour=%H"


def settings(**changes: str) -> Settings:
    named = {key.replace("__", "."): text for key, text in changes.items()}
    return load("s3", overrides=COMMON | named)


def put(
    s3: FakeS3,
    template: str,
    number: int,
    *values: str,
    moment: int = NOW_MS,
    zone: str = "UTC",
    size: int = 10,
) -> None:
    """An object of the chunk of that number."""
    path = KeyTemplate(template, stream="logs", shard=SHARD, zone=time_zone(zone)).path(values, moment)
    name = object_name(f"logs-{SHARD}", f"{number}-7")
    s3.put_object(Bucket="bucket", Key=f"player-log/{path}{name}", Body=b"x" * size)


def seen(s3: FakeS3, **changes: str) -> Seen:
    return Listing(settings(**changes), s3, NOW_MS).seen()


def told(s3: FakeS3, monkeypatch: pytest.MonkeyPatch, shards: int | None = 4, **changes: str) -> str:
    monkeypatch.setattr(object_sizes, "bucket_client", lambda settings: s3)
    [check] = object_size_checks(settings(**changes), lambda: shards, now=lambda: NOW_MS / 1000)
    return check.step()


def lists(s3: FakeS3) -> int:
    """Requests so far."""
    return sum(operation == "list" for operation, _ in s3.requests)


TEMPLATES = [
    "dt=%Y-%m-%d/hour=%H",
    "%Y/%m/%d",
    "{shard}/%Y-%m-%d/{kind}",
    BY_KIND,
    "{stream}/{kind}-%Y/x={other|none}/%m%d/{shard}",
    "kind={kind}",
    "%Y-{kind}/%H%M/z",
]


@pytest.mark.parametrize("template", TEMPLATES)
@given(
    zone=st.sampled_from(["UTC", "Asia/Tokyo", "America/New_York"]),
    ages=st.lists(st.sampled_from([0, HOUR_MS]), min_size=1, max_size=8),
    kinds=st.lists(st.sampled_from(["a", "Free Kick", "a/b", ""]), min_size=8, max_size=8),
)
def test_objects_at_either_end_of_the_last_hour_are_found(
    template: str, zone: str, ages: list[int], kinds: list[str]
) -> None:
    s3 = FakeS3(page=3)
    fields = KeyTemplate(template, stream="logs", shard=SHARD).fields
    for number, (age, kind) in enumerate(zip(ages, kinds, strict=False)):
        put(s3, template, number, *[kind] * len(fields), moment=NOW_MS - age, zone=zone)
    found = seen(s3, s3__key_template=template, s3__time_zone=zone)
    assert (found.objects, found.total_bytes) == (len(ages), 10 * len(ages))
    assert not found.is_part


def test_only_objects_of_the_last_hour_and_of_the_stream_count() -> None:
    s3 = FakeS3()
    put(s3, "%Y/%m/%d", 1)
    for key in ("_check/abc", "2026/01/31/other.ndjson.gz", "2026/01/31/else-shardId-1-1-7.ndjson.gz"):
        s3.put_object(Bucket="bucket", Key=f"player-log/{key}", Body=b"x")
    assert seen(s3, s3__partition="%Y/%m/%d").objects == 1
    later = Listing(settings(s3__partition="%Y/%m/%d"), s3, NOW_MS + HOUR_MS).seen()
    assert later.objects == 0


def test_many_values_of_a_field_are_told_by_some_of_them() -> None:
    s3 = FakeS3()
    for number in range(205):
        put(s3, BY_KIND, 1, f"k{number}")
    found = seen(s3, s3__key_template=BY_KIND)
    assert found.objects <= 20
    assert found.objects * found.weight == pytest.approx(205)
    assert lists(s3) <= 60


def test_the_number_of_requests_has_a_limit_whatever_the_bucket_holds() -> None:
    s3 = FakeS3(page=1)
    for number in range(100):
        put(s3, "%Y/%m/%d", number)
    found = seen(s3, s3__partition="%Y/%m/%d")
    assert (found.objects, found.is_part, lists(s3)) == (60, True, 60)
    assert "at least 60 in the last hour" in verdict(found, settings())
    s3 = FakeS3(page=1)
    for number in range(100):
        put(s3, "{a}/{b}/%Y", 1, f"a{number}", f"b{number}")
    assert seen(s3, s3__key_template="{a}/{b}/%Y").is_part
    assert lists(s3) == 60


def test_small_objects_are_told_with_what_to_change(monkeypatch: pytest.MonkeyPatch) -> None:
    s3 = FakeS3()
    for number in range(60):
        put(s3, BY_KIND, number // 3, f"k{number % 3}", size=1024)
    line = told(s3, monkeypatch, s3__key_template=BY_KIND)
    assert line == (
        "60 in the last hour, of 1 KiB on average, 3 of each chunk: 1,440 a day, whose PUT requests cost 0.01 USD a day"
        " at us-east-1's list price. They are small, and readers ask for each: fewer values in s3.key_template, or a"
        " chunk.window of more than 60 s, makes fewer and larger ones (docs/s3.md)"
    )


@pytest.mark.parametrize(("size", "objects"), [(3 << 20, 60), (10, 20)])
def test_large_objects_and_few_of_them_are_well(size: int, objects: int) -> None:
    found = Seen(
        objects=objects, total_bytes=size * objects, chunks={str(number) for number in range(objects)}
    )
    line = verdict(found, settings())
    assert "small" not in line
    assert line.startswith(f"{objects} in the last hour, of ")


def test_requests_cost_what_the_storage_class_asks() -> None:
    found = Seen(objects=100_000, total_bytes=1, chunks={"a"})
    assert "cost 12.00 USD a day" in verdict(found, settings())
    assert "cost 24.00 USD a day" in verdict(found, settings(s3__storage_class="STANDARD_IA"))


def test_where_there_are_none_it_says_how_many_there_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    line = told(FakeS3(), monkeypatch)
    assert line == (
        "none in the last hour below s3://bucket/player-log/; 4 shards with a chunk each 60 s make 5,760 a day or"
        " fewer, whose PUT requests cost 0.03 USD a day at us-east-1's list price"
    )
    assert "5,760 a day for each path or fewer" in told(FakeS3(), monkeypatch, s3__key_template=BY_KIND)
    short = "none in the last hour below s3://bucket/player-log/"
    assert told(FakeS3(), monkeypatch, shards=None) == short

    def unknown() -> Any:
        raise NotReady("nothing answers")

    [check] = object_size_checks(settings(), unknown, now=lambda: NOW_MS / 1000)
    assert check.step() == short


def test_a_bucket_that_may_not_be_listed_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    s3 = FakeS3()

    def deny(operation: str, key: str) -> None:
        raise answer("AccessDenied", 403, "ListObjectsV2")

    s3.before = deny
    assert told(s3, monkeypatch) == "nothing is told of them: s3:ListBucket answers AccessDenied"
