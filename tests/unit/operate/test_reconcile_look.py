"""A look at both backends: what counts as held, whatever the commands have done to dead letters, and what is told."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec
import pytest

from consumer.domain.chunks import Chunk
from consumer.domain.columns import Records
from consumer.domain.dead_letters import Rejection
from consumer.domain.records import Record
from consumer.operate.bucket import Bucket as S3Bucket
from consumer.operate.dead_letters.letters import Letter, body_of, letters_of
from consumer.operate.dead_letters.merged_object import Addition, MergedObject
from consumer.operate.dead_letters.places import Places
from consumer.operate.patience import Patience
from consumer.operate.progress import Progress
from consumer.operate.reconcile import look as module
from consumer.operate.reconcile.compare import Bucket, Copy, Kind, Sums, Unequal, add
from consumer.operate.reconcile.look import Result, Sides, look
from consumer.operate.reconcile.objects import Objects
from consumer.operate.reconcile.placing import Filing
from consumer.operate.reconcile.report import as_object, lines
from consumer.operate.reconcile.spans import HOUR_MS, Partition, Scope
from consumer.settings import Settings, load
from consumer.settings.table import BACKENDS
from consumer.sinks.dead_letters import DeadLetterPlace, DeadLetterSink
from consumer.sinks.s3.build import sink_of
from tests.unit.operate.fake_s3 import FakeS3

NOON = 1_769_860_800_000
SHARD = "shardId-000000000001"
COMMON = {"streamName": "logs", "regionName": "eu-west-1"}
S3 = load("s3", overrides={**COMMON, "applicationName": "to-s3", "s3.bucket": "bucket"})


def bigquery_of(**changes: str) -> Settings:
    own = {"bigquery.project": "project", "bigquery.dataset": "logs", "deadletter.bucket": "bucket"}
    return load("bigquery", overrides={**COMMON, "applicationName": "to-bigquery", **own, **changes})


BY_TIME = bigquery_of()
IDENTIFIED = bigquery_of(**{"bigquery.metadata_columns": "true"})


def log(number: int, key: str = "a", minute: int = 0) -> bytes:
    return json.dumps(
        {"n": number, "player_id": key, "time": f"2026-01-31T12:{minute:02}:{number % 60:02}Z"}
    ).encode()


@dataclass
class World:
    """Both hold the same records of the hour from noon on."""

    settings: Settings
    to_s3: Settings = S3
    s3: FakeS3 = field(default_factory=FakeS3)
    rows: list[Copy] = field(default_factory=list)
    chunks: list[Chunk] = field(default_factory=list)

    def deliver(self, *payloads: bytes, arrival_ms: int = NOON + 1000, step_ms: int = 10) -> None:
        """To both, as shard processes do."""
        first = 1000 * (1 + len(self.chunks))
        records = [
            Record(payload, "key", str(first + number), 0, arrival_ms + step_ms * number)
            for number, payload in enumerate(payloads)
        ]
        chunk = Chunk(Records.of(records))
        self.chunks.append(chunk)
        prepared = sink_of(self.to_s3, SHARD, client=self.s3).prepare(chunk)
        for request in prepared.requests:
            sink_of(self.to_s3, SHARD, client=self.s3).send(request)
        self._bury("to-s3", chunk, prepared.rejections)
        rejections = []
        for number, record in enumerate(records):
            row = self._row(record)
            if row is None:
                rejections.append(Rejection(number, "no_key", "none"))
            else:
                self.rows.append(row)
        self._bury("to-bigquery", chunk, rejections)

    def _row(self, record: Record) -> Copy | None:
        try:
            fields = json.loads(record.data)
        except ValueError:
            return None
        if "player_id" not in fields:
            return None
        [filed] = Filing(self.settings, self.scope()).filed([record.data], NOON)
        assert filed is not None
        time_us = record.arrival_ms * 1000 if filed[1].time_us is None else filed[1].time_us
        same = f"{SHARD}/{record.position}" if self.settings is IDENTIFIED else record.data.decode()
        return Copy(filed[1].key, time_us, same, Kind.DELIVERED, f"row {record.position}")

    def _bury(self, application: str, chunk: Chunk, rejections: Sequence[Rejection]) -> None:
        if rejections:
            place = DeadLetterPlace(
                bucket="bucket", prefix="deadletter/", application=application, stream="logs", shard=SHARD
            )
            DeadLetterSink(place, lambda: self.s3).write(chunk, rejections)

    def scope(self) -> Scope:
        by_arrival = self.settings is IDENTIFIED
        arrivals = (NOON, NOON + HOUR_MS) if by_arrival else (NOON - HOUR_MS, NOON + 2 * HOUR_MS)
        return Scope(
            partition=Partition.of(S3),
            begin_ms=NOON,
            end_ms=NOON + HOUR_MS,
            arrivals=arrivals,
            by_arrival=by_arrival,
        )

    def filing(self) -> Filing:
        return Filing(self.settings, self.scope(), rows_have_times=self.to_s3["s3.schema_file"] is not None)

    def look(self) -> Result:
        bucket = S3Bucket(self.s3, "bucket", setting="s3.bucket", put_options={}, patience=Patience())
        sides = Sides(
            stream="logs",
            objects=Objects(self.to_s3, bucket, self.scope().partition),
            letters={backend: Places(bucket, "deadletter/", f"to-{backend}") for backend in BACKENDS},
            filing=self.filing(),
            rows=lambda own_times: FakeRows(self),
            chunks_stand_together=True,
        )
        return look(sides, Progress(io.StringIO(), "lines"))

    def keys(self, prefix: str = "player-log/") -> list[str]:
        return self.s3.keys(prefix)

    def move(self, application: str, folder: str) -> list[Letter]:
        """All dead letters of an application, as a command does."""
        moved: list[Letter] = []
        for key in self.keys(f"deadletter/{application}/"):
            letters = list(letters_of(self.s3.objects.pop(key).body))
            to = f"deadletter/{folder}/{key.removeprefix('deadletter/')}"
            self.s3.put_object(Bucket="bucket", Key=to, Body=body_of(letters))
            moved += letters
        return moved


class FakeRows:
    """Rows as SQL tells of them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.identified = world.settings is IDENTIFIED
        self._parts = world.filing().parts

    def sums(self) -> Sums:
        sums: Sums = {}
        seen: set[object] = set()
        for row in self._world.rows:
            bucket = self._bucket(row)
            if self.identified and row.same in seen:
                sums[bucket].doubled += 1
            else:
                add(sums, bucket, row.time_us)
            seen.add(row.same)
        return sums

    def copies(self, some: Sequence[Unequal]) -> Iterator[tuple[Unequal, Copy]]:
        for row in self._world.rows:
            bucket = self._bucket(row)
            for one in some:
                if (one.table, one.span) == (bucket.table, bucket.span) and one.holds(bucket.part):
                    yield one, row

    def _bucket(self, row: Copy) -> Bucket:
        assert row.key is not None
        assert row.time_us is not None
        return Bucket(f"player_log_{row.key[0]}", NOON, row.time_us // 60_000_000 % self._parts)


def deliver_three_chunks(world: World) -> None:
    for chunk in range(3):
        numbers = range(chunk * 10, chunk * 10 + 10)
        world.deliver(
            *(log(number, key="ab"[number % 2], minute=number % 3) for number in numbers),
            b"not json",
            b'{"event":"without a key"}',
            b'{"player_id":"c","n":%d}' % chunk,  # without a time
        )


@pytest.fixture(params=[BY_TIME, IDENTIFIED], ids=["by time", "identified"])
def world(request: pytest.FixtureRequest) -> World:
    world = World(request.param)
    deliver_three_chunks(world)
    return world


def faults(result: Result) -> dict[tuple[str, str], int]:
    return {fault: count for fault, count in result.faults.items() if count}


def test_what_both_hold_is_clean_and_counted(world: World) -> None:
    result = world.look()
    assert result.clean
    assert result.held == {"s3": 39, "bigquery": 39}
    assert result.letters == {"s3": 3, "bigquery": 6}
    assert list(lines(result, "hour", 20))[-1] == "nothing is missing, nothing is doubled"


def test_a_deleted_object_is_missing_record_by_record(world: World) -> None:
    del world.s3.objects[world.keys()[1]]
    result = world.look()
    assert faults(result) == {("s3", "missing"): 12}
    assert {table for (_, table), cell in result.cells.items() if cell.faults} == {
        "",
        "player_log_a",
        "player_log_b",
        "player_log_c",
    }
    told = {one.difference.copy.where for one in result.named}
    assert {f"row {2000 + number}" for number in range(10)} <= told
    assert not result.incomplete


def test_a_deleted_row_is_named_by_its_line(world: World) -> None:
    row = world.rows.pop(3)
    result = world.look()
    assert faults(result) == {("bigquery", "missing"): 1}
    [one] = result.named
    assert one.difference.copy.where == f"s3://bucket/{world.keys()[0]} line 4"
    assert row.where == "row 1003"


def test_a_doubled_row_is_named(world: World) -> None:
    world.rows.append(world.rows[5])
    result = world.look()
    assert faults(result) == {("bigquery", "doubled"): 1}
    assert result.named[0].difference.copy.where == "row 1005"


def test_a_chunk_that_comes_twice_is_doubled_in_S3(world: World) -> None:
    """As after settings that move boundaries while records are in flight."""
    key = world.keys()[0]
    world.s3.put_object(Bucket="bucket", Key=key.replace("-13.", "-14."), Body=world.s3.body(key))
    result = world.look()
    assert faults(result) == {("s3", "doubled"): 12}


def test_lines_that_both_have_lost_show_in_the_name_of_their_chunk(world: World) -> None:
    world.deliver(log(100), log(101), arrival_ms=NOON + 30_000)
    key = world.keys()[-1]
    world.s3.put_object(Bucket="bucket", Key=key.replace("-2.", "-3."), Body=world.s3.objects.pop(key).body)
    result = world.look()
    assert not result.clean
    assert not result.faults
    assert result.incomplete == [
        f"S3 holds 2 of the 3 records of chunk {SHARD}-4000-3, dead letters included"
    ]


def test_parts_of_a_chunk_in_the_hour_before_are_not_missed(world: World) -> None:
    world.deliver(log(100), log(101), arrival_ms=NOON - 1, step_ms=1)
    if world.settings is IDENTIFIED:  # by its arrival the first of them is of the hour before
        world.rows.pop(-2)
    assert world.look().clean


@pytest.mark.parametrize("folder", ["discarded", "redriven"])
@pytest.mark.parametrize("application", ["to-s3", "to-bigquery"])
def test_letters_that_a_command_has_moved_still_stand_for_their_records(
    world: World, folder: str, application: str
) -> None:
    assert world.move(application, folder)
    assert world.look().clean


def test_a_redriven_letter_may_have_become_another_row_where_rows_have_identities(world: World) -> None:
    for letter in world.move("to-bigquery", "redriven"):
        mended = log(int(letter.sequence_number), key="b", minute=50)
        world.rows.append(
            Copy("b", NOON * 1000, f"{SHARD}/{letter.position}", Kind.DELIVERED, mended.decode())
        )
    assert world.look().clean is (world.settings is IDENTIFIED)


def test_lines_that_a_redrive_has_appended_are_set_aside(world: World) -> None:
    [first, *_] = world.keys()
    addition = Addition("identity", b'{"mended":1}', None, payload_is_line=False)
    merged = MergedObject.read(world.s3.body(first)).with_lines([addition])
    world.s3.put_object(Bucket="bucket", Key=first, Body=merged.body())
    world.move("to-s3", "redriven")
    assert world.look().clean


def test_an_object_that_cannot_be_read_is_told(world: World) -> None:
    world.s3.put_object(Bucket="bucket", Key=world.keys()[0], Body=b"no gzip")
    result = world.look()
    assert not result.clean
    assert result.problems[0].startswith(f"s3://bucket/{world.keys()[0]} cannot be read: ")
    assert result.faults["s3", "missing"] == 12


def test_what_is_too_much_to_be_looked_at_is_counted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_RECORDS", 0)
    del world.s3.objects[world.keys()[1]]
    world.rows.append(world.rows[0])
    result = world.look()
    assert result.named == []
    assert result.unnamed == 13
    assert result.faults.total() == 13


def test_an_object_of_another_stream_is_none_of_ours(world: World) -> None:
    key = world.keys()[0]
    world.s3.put_object(Bucket="bucket", Key=key.replace("/logs-", "/logs-2-"), Body=world.s3.body(key))
    assert world.look().clean


def test_the_same_is_told_to_programs(world: World) -> None:
    world.rows.append(world.rows[5])
    found = as_object(world.look(), "day")
    assert json.loads(msgspec.json.encode(found)) == found
    assert Counter(cell["day"] for cell in found["cells"]) == {"2026-01-31": 4}
    assert found["doubled_in_bigquery"] == 1
    assert found["records"] == [
        {"backend": "bigquery", "problem": "doubled", "table": "player_log_b", "where": "row 1005"}
    ]


def test_people_are_shown_where_and_the_rarest_first(world: World) -> None:
    del world.s3.objects[world.keys()[1]]
    world.rows.append(world.rows[5])
    told = list(lines(world.look(), "hour", 2))
    assert "  12 missing in S3, 0 missing in BigQuery, 0 doubled in S3, 1 doubled in BigQuery" in told
    assert told[-3] == "doubled in BigQuery: row 1005"
    assert told[-2].startswith("missing in S3: ")
    assert told[-1] == "and 11 more (--limit, --json)"
    assert any(line.startswith("2026-01-31T12:00Z player_log_b ") for line in told)
