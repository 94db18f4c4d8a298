"""Compaction: whoever reads each path by the documented rule sees each record once, whatever happens to the command."""

from __future__ import annotations

import gzip
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from consumer.operate.action import Console
from consumer.operate.compact import command
from consumer.operate.compact.command import compact_main
from consumer.operate.compact.forms import LineWriter
from consumer.operate.dead_letters.merged_object import Addition, MergedObject
from consumer.operate.errors import Refused
from consumer.operate.patience import Patience
from consumer.operate.reconcile.progress import Reached
from consumer.settings import Settings, load
from consumer.settings.values import Size
from consumer.sinks.s3.build import sink_of
from tests.examples import examples
from tests.unit.builders import chunk_of
from tests.unit.operate.fake_s3 import FakeS3, Killed, answer

HOUR_MS = 3_600_000
NOON_MS = 1_769_860_800_000
"""2026-01-31T12:00Z"""
NOW = NOON_MS / 1000 + 86_400
DAY = "2026-01-31"
SHARDS = ("shardId-000000000000", "shardId-000000000001")
COMMON = {"streamName": "logs", "applicationName": "app", "s3.bucket": "bucket", "regionName": "eu-west-1"}
RAW, INTO = "player-log/", "player-log-compacted/"


def log(number: int) -> bytes:
    return b'{"player_id":"%x","time":"2026-01-31T12:%02d:00Z","n":%d}' % (number % 16, number % 60, number)


@cache
def _loaded(overrides: tuple[tuple[str, str], ...]) -> Settings:
    return load("s3", overrides=dict(overrides))


def loaded(**overrides: str) -> Settings:
    return _loaded(tuple(overrides.items()))


class Course:
    """Checkpoints that have passed a time."""

    def __init__(self, passed_ms: int = int(NOW * 1000), problem: str = "") -> None:
        self._passed_ms = passed_ms
        self._problem = problem

    def __call__(self, every: object) -> Any:
        return self

    def reached(self, now_ms: int) -> Reached:
        if self._problem:
            raise Refused(self._problem)
        return Reached(
            passed_ms=self._passed_ms, nothing_left=False, slowest="app shardId-1", checkpoints=frozenset()
        )


class World:
    """A bucket with objects of two hours, of two shards."""

    def __init__(self, form: str = "ndjson.gz", *, chunks: int = 8, **changes: str) -> None:
        self.s3 = FakeS3()
        self.settings = {**COMMON, "s3.format": form, **changes}
        self.expected: Counter[bytes] = Counter()
        self.number = 0
        for _ in range(chunks):
            self.deliver()

    def deliver(self, payloads: Sequence[bytes] = (), form: str = "") -> str:
        """A chunk of five records, of either hour in turn; the key of its object."""
        number = self.number
        self.number += 1
        some = list(payloads) or [log(10 * number + place) for place in range(5)]
        changes = {"s3.format": form} if form else {}
        sink = sink_of(loaded(**{**self.settings, **changes}), SHARDS[number // 2 % 2], client=self.s3)
        chunk = chunk_of(some, first=1000 * (number + 1), arrival_ms=NOON_MS + number % 2 * HOUR_MS)
        [request] = sink.prepare(chunk).requests
        sink.send(request)
        self.expected.update(some)
        return request.key

    def append(self, key: str, line: bytes) -> None:
        """As a redrive does to an object of lines in gzip."""
        merged = MergedObject.read(self.s3.body(key)).with_lines([Addition(f"a/{line!r}", line, None, True)])
        self.s3.put_object(Bucket="bucket", Key=key, Body=merged.body())
        self.expected[line] += 1

    def run(self, *arguments: str, course: Any = None, now: float = NOW) -> tuple[int, str]:
        """The exit code and what was told on standard error."""
        out = io.StringIO()
        code = compact_main(
            [
                f"--date={DAY}",
                "--properties=/dev/null",
                "--yes",
                *(f"--set={key}={value}" for key, value in self.settings.items()),
                *arguments,
            ],
            console=Console(out, io.StringIO()),
            now=lambda: now,
            new_client=lambda settings: self.s3,
            course=course or Course(),
        )
        return code, out.getvalue()

    def run_until(self, number: int, *arguments: str) -> bool:
        """Kills the command at its request of this number, before or behind it; whether it came so far."""
        return self.s3.killing(number, lambda: self.run(*arguments))

    def compacted(self) -> list[str]:
        """Keys of the objects that a reader of the compacted prefix finds."""
        return [key for key in self.s3.keys(INTO) if not key.rpartition("/")[2].startswith("_")]

    def seen(self) -> Counter[bytes]:
        """By the rule: a path is read as delivered until it has its `_SUCCESS` beneath the compacted prefix."""
        keys: list[str] = []
        for path in sorted({key.removeprefix(RAW).rpartition("/")[0] for key in self.s3.keys(RAW)}):
            prefix = INTO if f"{INTO}{path}/_SUCCESS" in self.s3.objects else RAW
            found = self.s3.keys(f"{prefix}{path}/")
            keys += [key for key in found if not key.rpartition("/")[2].startswith("_")]
        return records((key, self.s3.body(key)) for key in keys)

    def contents(self) -> dict[str, bytes]:
        """Of the compacted prefix, but for the lock of a command that was killed."""
        return {key: self.s3.body(key) for key in self.s3.keys(INTO) if not key.endswith("lock.json")}


def records(objects: Iterable[tuple[str, bytes]]) -> Counter[bytes]:
    """What other decoders than the command's read."""
    found: Counter[bytes] = Counter()
    for key, body in objects:
        if key.endswith(".parquet"):
            found.update(row.encode() for row in parquet.read_table(io.BytesIO(body))["log"].to_pylist())
        elif key.endswith(".zst"):
            reader = zstandard.ZstdDecompressor().stream_reader(body, read_across_frames=True)
            found.update(reader.read().splitlines())
        else:
            found.update(gzip.decompress(body).splitlines())
    return found


PAIRS = [
    ("ndjson.gz", "ndjson.gz"),
    ("ndjson.gz", "ndjson.zst"),
    ("ndjson.gz", "parquet"),
    ("ndjson.zst", "ndjson.gz"),
    ("ndjson.zst", "ndjson.zst"),
    ("ndjson.zst", "parquet"),
    ("parquet", "parquet"),
]


@pytest.mark.parametrize(("form", "into"), PAIRS)
def test_each_path_becomes_one_object_with_its_records(form: str, into: str) -> None:
    world = World(form)
    code, told = world.run(f"--format={into}")
    assert code == 0, told
    assert world.compacted() == [
        f"{INTO}dt={DAY}/hour={hour}/logs-compacted-00000.{into}" for hour in (12, 13)
    ]
    assert records((key, world.s3.body(key)) for key in world.compacted()) == world.expected
    assert world.seen() == world.expected
    assert len(world.s3.keys(RAW)) == 8


@pytest.mark.parametrize(("form", "into"), PAIRS)
def test_a_second_run_changes_nothing(form: str, into: str) -> None:
    world = World(form)
    world.run(f"--format={into}")
    before = dict(world.s3.objects)
    code, _ = world.run(f"--format={into}")
    assert code == 0
    assert world.s3.objects == before


@pytest.mark.parametrize(("form", "into"), PAIRS)
def test_the_same_objects_become_the_same_bytes(form: str, into: str) -> None:
    one, other = World(form), World(form)
    one.run(f"--format={into}")
    other.run(f"--format={into}")
    assert one.contents() == other.contents()


def kills(world: Callable[[], World], *arguments: str) -> Iterable[World]:
    """A world for each moment at which the command is killed, until it is killed no more."""
    number = 0
    while True:
        one = world()
        if not one.run_until(number, *arguments):
            return
        yield one
        number += 1


@pytest.fixture
def two_make_one(monkeypatch: pytest.MonkeyPatch) -> str:
    """The option by which two objects of the daemon make one."""
    monkeypatch.setattr(command, "_SIZE", Size(at_least="1"))
    one = World(chunks=1)
    return f"--target-size={len(one.s3.body(one.s3.keys(RAW)[0])) * 5 // 2}"


@pytest.mark.parametrize(("into", "chunks"), [("ndjson.gz", 8), ("parquet", 4)])
def test_killed_at_any_request_a_reader_sees_each_record_once_and_the_next_run_finishes(
    into: str, chunks: int, two_make_one: str
) -> None:
    options = (f"--format={into}", two_make_one)
    clean = World(chunks=chunks)
    assert clean.run(*options)[0] == 0
    assert len(clean.compacted()) == chunks // 2
    killed = 0
    for world in kills(lambda: World(chunks=chunks), *options):
        killed += 1
        assert world.seen() == world.expected
        code, told = world.run(*options)
        assert code == 0, told
        assert world.seen() == world.expected
        assert world.contents() == clean.contents()
    assert killed > 50


def test_at_every_moment_of_a_run_a_reader_sees_each_record_once(two_make_one: str) -> None:
    world = World()
    moments = 0

    def look(operation: str, key: str) -> None:
        nonlocal moments
        moments += 1
        assert world.seen() == world.expected

    world.s3.before = world.s3.after = look
    assert world.run(two_make_one)[0] == 0
    assert moments > 60


def late() -> World:
    """Compacted; then a chunk came late, and a redrive has appended to an object that was compacted."""
    world = World()
    assert world.run()[0] == 0
    world.deliver()
    world.append(world.s3.keys(RAW)[0], b'{"redriven":1}')
    return world


def test_a_second_run_adds_what_is_new_and_nothing_else() -> None:
    world = late()
    before = world.contents()
    code, told = world.run()
    assert code == 0, told
    assert world.seen() == world.expected
    after = world.contents()
    assert {key: after[key] for key in before} == before
    [added] = set(world.compacted()) - set(before)
    assert records([(added, world.s3.body(added))]).total() == 6


def test_killed_while_it_adds_nothing_is_lost_or_doubled() -> None:
    at_first = World().expected
    for world in kills(late):
        seen = world.seen()
        assert at_first <= seen <= world.expected
        code, told = world.run()
        assert code == 0, told
        assert world.seen() == world.expected


@pytest.mark.parametrize("into", ["ndjson.gz", "parquet"])
def test_an_object_that_was_replayed_adds_nothing(into: str) -> None:
    world = World()
    world.run(f"--format={into}")
    for key in world.s3.keys(RAW):
        content = gzip.decompress(world.s3.body(key))
        world.s3.put_object(Bucket="bucket", Key=key, Body=gzip.compress(content, 9))  # by another library
    assert world.run(f"--format={into}")[0] == 0
    assert records((key, world.s3.body(key)) for key in world.compacted()) == world.expected


def test_equal_records_are_as_many_as_they_were() -> None:
    same = b'{"player_id":"a"}'
    world = World(chunks=0)
    world.settings["transform"] = "tests.unit.operate.test_compact:twice"
    for _ in range(2):
        world.deliver([same, same, log(1)])
    world.run()
    world.append(world.s3.keys(RAW)[0], same)
    world.run()
    assert world.seen() == world.expected
    assert world.seen()[same] == 5


def twice(record: Any) -> Any:
    return record


def test_objects_that_are_deleted_after_compaction_stay_in_it() -> None:
    world = late()
    for key in world.s3.keys(RAW)[1:]:
        del world.s3.objects[key]
    world.deliver()
    lost = records([])
    code, told = world.run()
    assert code == 0, told
    found = records((key, world.s3.body(key)) for key in world.compacted())
    # the chunk that came late was deleted before it was compacted
    lost.update(log(80 + place) for place in range(5))
    assert found == world.expected - lost


def begun_and_changed() -> tuple[World, dict[str, Any]]:
    """Killed with its first object on its way, whose request arrives later; meanwhile a source has changed."""
    world = World(chunks=2)
    sent: dict[str, Any] = {}
    put = world.s3.put_object

    def dying(**options: Any) -> dict[str, Any]:
        if "-compacted-" in options["Key"]:
            sent.update(options, Body=options["Body"].read())
            raise Killed
        return put(**options)

    world.s3.put_object = dying  # type: ignore[method-assign]
    with pytest.raises(Killed):
        world.run()
    world.s3.put_object = put  # type: ignore[method-assign]
    assert sent
    world.append(world.s3.keys(RAW)[0], b'{"redriven":1}')
    return world, sent


def test_a_request_of_a_killed_run_that_arrives_after_the_next_run_changes_nothing() -> None:
    world, sent = begun_and_changed()
    assert world.run()[0] == 0
    assert world.seen() == world.expected
    with pytest.raises(Exception, match="PreconditionFailed"):
        world.s3.put_object(**sent)
    assert world.seen() == world.expected


def test_a_request_of_a_killed_run_that_arrives_before_the_next_run_counts() -> None:
    world, sent = begun_and_changed()
    world.s3.put_object(**sent)
    assert world.run()[0] == 0
    assert world.seen() == world.expected


def test_a_request_of_a_killed_run_that_arrives_amid_the_next_run_counts() -> None:
    world, sent = begun_and_changed()

    def arrive(operation: str, key: str) -> None:
        if operation == "put" and "-compacted-" in key:
            world.s3.before = lambda operation, key: None
            world.s3.put_object(**sent)

    world.s3.before = arrive
    assert world.run()[0] == 0
    assert world.seen() == world.expected


def test_a_put_whose_answer_was_lost_is_not_made_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "Patience", lambda tell: Patience(tell=tell, sleep=lambda seconds: None))
    world = World()
    unanswered: set[str] = set()

    def lose(operation: str, key: str) -> None:
        if operation == "put" and key not in unanswered:
            unanswered.add(key)
            raise answer("InternalError", 500)

    world.s3.after = lose
    code, told = world.run()
    assert code == 0, told
    assert world.seen() == world.expected
    assert any("-compacted-" in key for key in unanswered)
    assert any("_manifest-" in key for key in unanswered)


def test_what_is_written_is_read_back_before_it_is_published(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    add = LineWriter.add
    monkeypatch.setattr(LineWriter, "add", lambda writer, batch: add(writer, batch[batch.index(b"\n") + 1 :]))
    code, told = world.run()
    assert code == 1
    assert "nothing was published: 20 records were read and 16 written" in told
    assert world.compacted() == []
    assert world.seen() == world.expected


def test_a_record_that_makes_no_row_leaves_its_path_as_it_is() -> None:
    world = World()
    world.deliver([b'"no object"'])
    code, told = world.run("--format=parquet")
    assert code == 1
    assert f"dt={DAY}/hour=12/ is not compacted: s3://bucket/" in told
    assert "line 1 makes no row: not_an_object" in told
    assert f"{INTO}dt={DAY}/hour=13/_SUCCESS" in world.s3.objects
    assert world.compacted() == [f"{INTO}dt={DAY}/hour=13/logs-compacted-00000.parquet"]
    assert world.seen() == world.expected


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"no gzip", "cannot be compacted: "),
        (gzip.compress(b"{}\n", mtime=0)[:-4], "cannot be compacted: its end is missing"),
        (gzip.compress(b"{}\n{}", mtime=0), "cannot be compacted: its last line has no end"),
        (gzip.compress(b"{}\n" * 6, mtime=0), "cannot be compacted: it holds 6 records, and its name says 5"),
    ],
)
def test_an_object_that_is_not_what_the_daemon_wrote_leaves_its_path_as_it_is(body: bytes, told: str) -> None:
    world = World()
    key = world.s3.keys(RAW)[0]
    world.s3.put_object(Bucket="bucket", Key=key, Body=body)
    code, said = world.run()
    assert code == 1
    assert f"s3://bucket/{key} {told}" in said
    assert world.compacted() == [f"{INTO}dt={DAY}/hour=13/logs-compacted-00000.ndjson.gz"]


def test_a_transform_may_make_more_records_than_the_name_says() -> None:
    world = World()
    key = world.s3.keys(RAW)[0]
    world.s3.put_object(Bucket="bucket", Key=key, Body=gzip.compress(b"{}\n" * 6))
    assert world.run("--set=transform=tests.unit.operate.test_compact:twice")[0] == 0


def test_a_record_that_a_redrive_has_made_several_of_counts_as_often() -> None:
    world = World()
    for number in range(3):
        world.append(world.s3.keys(RAW)[0], b'{"output":%d}' % number)
    assert world.run()[0] == 0
    assert world.seen() == world.expected


def test_columns_that_came_later_are_null_in_older_rows(tmp_path: Path) -> None:
    time = {"name": "time", "type": "TIMESTAMP"}
    older, newer = tmp_path / "older.json", tmp_path / "newer.json"
    older.write_text(json.dumps([time, {"name": "n", "type": "INTEGER"}]))
    newer.write_text(
        json.dumps(
            [time, {"name": "n", "type": "INTEGER"}, {"name": "tags", "type": "STRING", "mode": "REPEATED"}]
        )
    )
    world = World("parquet", chunks=0, **{"s3.schema_file": str(older), "s3.unknown_fields": "ignore"})
    world.deliver([b'{"n":1}'])
    world.number += 1
    world.settings["s3.schema_file"] = str(newer)
    world.deliver([b'{"n":2,"tags":["x"]}'])
    code, told = world.run()
    assert code == 0, told
    rows = parquet.read_table(io.BytesIO(world.s3.body(world.compacted()[0]))).to_pylist()
    assert [(row["n"], row["tags"]) for row in rows] == [(1, None), (2, ["x"])]
    world.settings["s3.schema_file"] = str(older)
    world.number += 1
    world.deliver([b'{"n":3}'])
    code, told = world.run("--into=other/")
    assert code == 1
    assert "its column tags (list<element: string>) is none of the settings' (s3.schema_file)" in told


def refused(world: World, *arguments: str, **options: Any) -> str:
    before = dict(world.s3.objects)
    code, told = world.run(*arguments, **options)
    assert code == 1
    assert world.s3.objects == before
    assert len(told.splitlines()) == 1, told
    return told


REFUSALS = {
    "a day in the future": (["--date=2026-02-03"], "2026-02-03 is in the future"),
    "today": (["--date=0d"], "2026-02-01 is not over: its last objects are written after 2026-02-02T00:01:10Z"),
    "an empty range": (["--date=1d", "--to=2d"], "an empty range: --to 2026-01-30 is before --date 2026-01-31"),
    "a day without objects": (["--date=2026-01-29"], "no objects of the stream logs of 2026-01-29"),
    "another stream": (["--set=streamName=other"], "no objects of the stream other"),
    "a path without a day": (["--set=s3.partition=hour=%H"], "does not tell of which day they are"),
    "a path of fields alone": (["--set=s3.key_template=type={type}"], "does not tell of which day they are"),
    "within the prefix": (["--into=player-log/compacted/"], "who reads the one reads the other"),
    "around the prefix": (["--into=play/", "--set=s3.prefix=play/log/"], "who reads the one reads the other"),
    "no folder": (["--into=compacted"], "a prefix ends with a slash"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "told"), REFUSALS.values(), ids=REFUSALS)
def test_what_cannot_be_compacted_is_refused_in_a_line(arguments: list[str], told: str) -> None:
    world = World(chunks=2)
    assert told in refused(world, *arguments)


def test_a_day_that_is_not_behind_the_checkpoints_is_refused() -> None:
    world = World(chunks=2)
    end_ms = NOON_MS + 12 * HOUR_MS
    told = refused(world, course=Course(end_ms - 1))
    assert (
        "2026-01-31 is not closed: the checkpoint of app shardId-1 has passed 2026-01-31T23:59:59Z only"
        in told
    )
    assert world.run(course=Course(end_ms))[0] == 0


def test_without_checkpoints_it_takes_a_word_that_the_day_is_closed() -> None:
    world = World(chunks=2)
    course = Course(problem="applicationName app has no checkpoints")
    told = refused(world, course=course)
    assert "has no checkpoints; where no daemon writes these objects any more, --closed says so" in told
    assert world.run("--closed", course=course)[0] == 0


def test_parquet_becomes_no_lines_and_one_prefix_holds_one_format() -> None:
    world = World(chunks=2)
    assert world.run()[0] == 0
    assert "is compacted as ndjson.gz, and one prefix holds one format" in refused(world, "--format=parquet")
    assert world.run("--format=parquet", "--into=other/")[0] == 0
    world = World("parquet", chunks=2)
    assert "is Parquet, which becomes Parquet only" in refused(world, "--format=ndjson.zst")


def test_a_second_command_is_refused_while_one_is_at_work() -> None:
    world = World(chunks=2)
    told: list[str] = []

    def meet(operation: str, key: str) -> None:
        if "_manifest-" in key and operation == "put":
            world.s3.before = lambda operation, key: None
            lock = world.s3.objects[f"{INTO}_compaction-lock.json"]
            now = datetime.fromtimestamp(NOW, UTC)
            world.s3.objects[f"{INTO}_compaction-lock.json"] = replace(lock, modified=now)
            told.append(world.run("--who=the second one")[1])

    world.s3.before = meet
    assert world.run("--who=the first one")[0] == 0
    assert "compact of the first one is at work" in told[0]
    assert world.seen() == world.expected


def test_whoever_may_not_read_or_write_is_told_in_a_line() -> None:
    for operation in ("list", "get", "put"):
        world = World(chunks=2)

        def deny(asked: str, key: str, operation: str = operation) -> None:
            if asked == operation and not key.startswith("deadletter/"):
                raise answer("AccessDenied", 403, f"{operation.title()}Object")

        world.s3.before = deny
        code, told = world.run()
        assert code == 1
        assert "AccessDenied" in told.splitlines()[-1]
        assert world.compacted() == []


def test_a_dry_run_says_what_would_be_done_and_changes_nothing() -> None:
    world = late()
    before = dict(world.s3.objects)
    code, told = world.run("--dry-run")
    assert code == 0
    assert world.s3.objects == before
    assert "into 1, after it was compacted" in told
    assert "compact would compact 2 objects of 1 path (2026-01-31) as ndjson.gz into s3://bucket/" in told


def test_the_audit_tells_what_was_done() -> None:
    world = World()
    world.run("--why=cheaper queries")
    [key] = world.s3.keys("deadletter/audit/app/")
    audit = json.loads(world.s3.body(key))
    assert (audit["command"], audit["state"], audit["reason"]) == ("compact", "done", "cheaper queries")
    assert audit["counts"] == {"objects": 8, "records": 40, "written": 2}


def test_objects_are_put_as_the_settings_say() -> None:
    world = World(chunks=2, **{"s3.storage_class": "STANDARD_IA", "s3.sse": "AES256"})
    world.run("--format=parquet")
    options = world.s3.objects[world.compacted()[0]].options
    assert options == {
        "StorageClass": "STANDARD_IA",
        "ServerSideEncryption": "AES256",
        "ContentType": "application/vnd.apache.parquet",
    }


def test_paths_of_fields_are_compacted_one_by_one() -> None:
    world = World(chunks=0, **{"s3.key_template": "kind={kind}/dt=%Y-%m-%d"})
    for kind in ("a", "b", "c d"):
        for number in range(3):
            world.deliver([b'{"kind":"%s","n":%d}' % (kind.encode(), number)])
    assert world.run("--format=parquet")[0] == 0
    assert world.compacted() == [
        f"{INTO}kind={kind}/dt={DAY}/logs-compacted-00000.parquet" for kind in ("a", "b", "c%20d")
    ]
    assert world.seen() == world.expected


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("deliver"), st.integers(0, 3)),
        st.tuples(st.just("append"), st.integers(0, 9)),
        st.tuples(st.just("rewrite"), st.integers(0, 9)),
        st.tuples(st.just("kill"), st.integers(0, 60)),
        st.tuples(st.just("compact"), st.just(0)),
    ),
    max_size=12,
)


@given(actions=ACTIONS)
@examples(60)
def test_whatever_happens_in_whatever_order_each_record_is_there_once(actions: list[tuple[str, int]]) -> None:
    world = World(chunks=2)
    for action, number in actions:
        keys = world.s3.keys(RAW)
        key = keys[number % len(keys)]
        if action == "deliver":
            world.deliver([b'{"n":%d}' % place for place in range(number + 1)])
        elif action == "append":
            world.append(key, b'{"redriven":%d}' % world.expected.total())
        elif action == "rewrite":
            body = MergedObject.read(world.s3.body(key), level=number % 4).body()
            world.s3.put_object(Bucket="bucket", Key=key, Body=body)
        elif action == "kill":
            world.run_until(number)
        else:
            world.run()
        assert world.seen() <= world.expected
    assert world.run()[0] == 0
    assert world.seen() == world.expected
    assert records((key, world.s3.body(key)) for key in world.compacted()) == world.expected
