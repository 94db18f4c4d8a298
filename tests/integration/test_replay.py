"""A range of a stream delivered once more by the real KCL, a split inside it, while the application goes on.

`-s` prints how fresh the application is and how much it delivers beside a replay, and without one; with
REPLAY_SECONDS=120 over a range that takes a replay longer.
"""

import gzip
import itertools
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from consumer.local import stack as stacks
from consumer.local import tethered
from consumer.local.backends import Running
from consumer.local.child import tail
from consumer.local.generate import Logs, midnight_today
from consumer.local.put import Target, put
from consumer.local.readback import BigQueryReader, S3Reader
from consumer.local.stack import Stack
from consumer.settings import Backend

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(1500)]

DEADLINE_SECONDS = 500
SECONDS = int(os.environ.get("REPLAY_SECONDS", "12"))
"""Of records that are there before the replay, which is of the middle third."""
RATE = 150
PREFIX = "logs/"
COMMON = {
    "applicationName": "live",
    "http.port": "0",
    "chunk.window": "1s",
    "chunk.grace": "500ms",
    "chunk.max_records": "60",
}


@dataclass(frozen=True)
class OnStream:
    shard: str
    sequence: int
    arrived_ms: int
    data: bytes


def on_stream(stack: Stack) -> list[OnStream]:
    """All that the stream holds, in the order of each shard."""
    kinesis = stack.client("kinesis")
    found = []
    for shard in kinesis.list_shards(StreamName=stack.stream)["Shards"]:
        name = shard["ShardId"]
        iterator = kinesis.get_shard_iterator(
            StreamName=stack.stream, ShardId=name, ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        while iterator is not None:
            answer = kinesis.get_records(ShardIterator=iterator)
            found += [
                OnStream(
                    name,
                    int(one["SequenceNumber"]),
                    round(one["ApproximateArrivalTimestamp"].timestamp() * 1000),
                    one["Data"],
                )
                for one in answer["Records"]
            ]
            iterator = answer.get("NextShardIterator") if answer["MillisBehindLatest"] else None
    return found


def split(stack: Stack) -> None:
    kinesis = stack.client("kinesis")
    shard = kinesis.list_shards(StreamName=stack.stream)["Shards"][0]
    keys = shard["HashKeyRange"]
    middle = (int(keys["StartingHashKey"]) + int(keys["EndingHashKey"])) // 2
    kinesis.split_shard(
        StreamName=stack.stream, ShardToSplit=shard["ShardId"], NewStartingHashKey=str(middle)
    )


class World:
    """An application that runs, and the commands for it."""

    def __init__(
        self, stack: Stack, folder: Path, exits: ExitStack, backend: Backend, **settings: str
    ) -> None:
        self.stack = stack
        self._folder = folder
        self._exits = exits
        self._backend: Backend = backend
        self._settings = {**COMMON, "worker.state_dir": str(folder / "workers"), **settings}
        self.live: Running | None = None

    def _options(self) -> list[str]:
        return ["--local", *(f"--set={key}={value}" for key, value in self._settings.items())]

    def start(self) -> None:
        log = self._folder / f"live-{self._backend}.log"
        with log.open("wb") as output:
            popen = tethered.spawn(
                "start",
                self._backend,
                *self._options(),
                state_dir=self._folder,
                stdout=output,
                stderr=output,
            )
        self.live = Running(self._backend, popen, log)
        self._exits.callback(self.live.abandon)

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        popen = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "consumer", "replay", self._backend),
                *(*self._options(), "--yes", *arguments),
            ],
            env=tethered.environment(self._folder),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._exits.callback(popen.kill)
        return popen

    def replay(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        popen = self.begin(*arguments)
        out, told = popen.communicate(timeout=DEADLINE_SECONDS)
        return subprocess.CompletedProcess(popen.args, popen.returncode, out, told)

    def until(self, what: str, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        assert self.live is not None
        while not done():
            self.live.check()
            assert time.monotonic() < deadline, (
                f"not within {DEADLINE_SECONDS} s: {what}\n{tail(self.live.log, 20)}"
            )
            time.sleep(0.2)

    def status(self) -> dict[str, Any]:
        """What the application says of itself."""
        found: dict[str, Any] = json.loads((self._folder / "workers/live/status.json").read_bytes())
        return found

    def tables(self) -> list[str]:
        names: list[str] = self.stack.client("dynamodb").list_tables()["TableNames"]
        return names


@dataclass(frozen=True)
class Checkpoint:
    """Of a replay's lease; `sub_sequence` is -1 before the first record to deliver."""

    position: str
    sub_sequence: int

    def is_before(self, record: OnStream) -> bool:
        if self.position == "SHARD_END":
            return False
        if self.position == "TRIM_HORIZON":
            return True
        return record.sequence > int(self.position) or (
            record.sequence == int(self.position) and self.sub_sequence < 0
        )


def checkpoints(world: World) -> dict[str, Checkpoint]:
    """Of the one replay that was begun, by shard."""
    tables = [name for name in world.tables() if re.fullmatch("live-replay-[0-9a-f]+", name)]
    items = world.stack.client("dynamodb").scan(TableName=tables[0])["Items"] if tables else []
    return {
        item["leaseKey"]["S"]: Checkpoint(
            item["checkpoint"]["S"], int(item["checkpointSubSequenceNumber"]["N"])
        )
        for item in items
    }


def has_checkpointed(world: World) -> bool:
    return any(one.position.isdecimal() and one.sub_sequence >= 0 for one in checkpoints(world).values())


def objects(stack: Stack, prefix: str) -> dict[str, bytes]:
    """Bytes by key, without the prefix."""
    s3 = stack.client("s3")
    keys = S3Reader(stack, prefix).keys()
    return {
        key.removeprefix(prefix): s3.get_object(Bucket=stack.bucket, Key=key)["Body"].read() for key in keys
    }


def feed(stack: Stack) -> list[bytes]:
    """Records for some seconds, with a split in the middle; blocks until they are put."""
    logs = list(Logs(count=SECONDS * RATE, seed=1, base_time=midnight_today(datetime.now(UTC))).lines())
    timer = threading.Timer(SECONDS / 2, split, [stack])
    timer.start()
    put(logs, Target(stack.client("kinesis"), stack.stream), rate=RATE)
    timer.join()
    return logs


class Feeding:
    """Goes on putting at the same rate until it is told to stop; `logs` is what was put."""

    def __init__(self, stack: Stack) -> None:
        self.logs: list[bytes] = []
        self._stop = threading.Event()
        self._target = Target(stack.client("kinesis"), stack.stream)
        self._thread = threading.Thread(target=self._feed)

    def _feed(self) -> None:
        for seed in itertools.count(100):
            if self._stop.is_set():
                return
            logs = list(Logs(count=RATE, seed=seed, base_time=midnight_today(datetime.now(UTC))).lines())
            put(logs, self._target, rate=RATE)
            self.logs += logs

    def __enter__(self) -> "Feeding":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


@dataclass
class Course:
    """How the application fares, from its status, for as long as this is open."""

    world: World
    seen: list[tuple[float, float, int]] = field(default_factory=list)
    """When it said so, how fresh it was, and how many records it had delivered."""

    def __post_init__(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._over.wait(0.25):
            status = self.world.status()
            told = (status["updated_at"], status["freshness_seconds"], status["records"]["delivered"])
            if not self.seen or told[0] > self.seen[-1][0]:
                self.seen.append(told)

    def __enter__(self) -> "Course":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def seconds(self) -> float:
        return self.seen[-1][0] - self.seen[0][0] if self.seen else 0.0

    def freshness_seconds(self) -> float:
        return statistics.mean(freshness for _, freshness, _ in self.seen)

    def records_a_second(self) -> float:
        return (self.seen[-1][2] - self.seen[0][2]) / self.seconds()


def seen_alone(world: World, delivered_before: int) -> Course:
    """From when what is put meanwhile arrives."""
    world.until("it flows", lambda: world.status()["records"]["delivered"] > delivered_before + RATE)
    with Course(world) as alone:
        world.until("it was seen alone", lambda: alone.seconds() >= max(SECONDS, 20))
    return alone


def tell(what: str, alone: Course, beside: Course) -> None:
    """The ratios that docs/operate.md has."""
    for name, before, during, unit in (
        ("freshness", alone.freshness_seconds(), beside.freshness_seconds(), "s"),
        ("delivered", alone.records_a_second(), beside.records_a_second(), "records/s"),
    ):
        print(
            f"{what}: {name} {before:.2f} {unit} alone ({alone.seconds():.0f} s),"
            f" {during:.2f} {unit} beside a replay ({beside.seconds():.0f} s): {during / before:.2f}"
        )


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with stacks.running(tmp_path, shards=3) as running:
        yield running.stack


@pytest.fixture
def exits() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def middle_third(records: Sequence[OnStream]) -> tuple[int, int]:
    first, last = (pick(record.arrived_ms for record in records) for pick in (min, max))
    return first + (last - first) // 3, first + (last - first) * 2 // 3


def instants(range_ms: tuple[int, int]) -> list[str]:
    first, last = (datetime.fromtimestamp(ms / 1000, UTC).isoformat() for ms in range_ms)
    return ["--from", first, "--to", last]


def lose(stack: Stack, live: dict[str, bytes], inside: set[bytes]) -> set[str]:
    """Deletes the objects that hold any of these lines, and not all there are; returns their keys."""
    gone = {key for key, body in live.items() if inside & set(gzip.decompress(body).splitlines())}
    assert 0 < len(gone) < len(live)
    s3 = stack.client("s3")
    for key in gone:
        s3.delete_object(Bucket=stack.bucket, Key=f"{PREFIX}{key}")
    return gone


def delivered(answer: str) -> int:
    found = re.search(r"([\d,]+) records delivered", answer)
    assert found is not None, answer
    return int(found[1].replace(",", ""))


def test_the_middle_third_is_brought_back_byte_for_byte(
    stack: Stack, tmp_path: Path, exits: ExitStack
) -> None:
    """I2 over a split: objects that are gone come back, by a replay that is killed once, of some of the shards."""
    world = World(stack, tmp_path, exits, "s3", **{"s3.prefix": PREFIX})
    refused = world.replay("--from", "1h", "--to", "1m")
    assert refused.returncode == 1
    assert 'lease table "live" does not exist' in refused.stderr
    world.start()
    logs = feed(stack)
    world.until("all is delivered", lambda: sum(1 for _ in S3Reader(stack, PREFIX).lines()) == len(logs))
    live = objects(stack, PREFIX)
    records = on_stream(stack)
    wanted = middle_third(records)
    shards = ["shardId-000000000000", "shardId-000000000003", "shardId-000000000004"]
    inside = {one.data for one in records if wanted[0] <= one.arrived_ms < wanted[1] and one.shard in shards}
    assert {one.shard for one in records if one.data in inside} == set(shards)
    gone = lose(stack, live, inside)

    asked = [*instants(wanted), "--shards", *shards]
    with Feeding(stack) as feeding:
        alone = seen_alone(world, len(logs))
        slow = world.begin("--rate", "20", *asked)
        world.until("something is checkpointed", lambda: has_checkpointed(world))
        slow.send_signal(signal.SIGKILL)
        slow.communicate()
        assert gone - objects(stack, PREFIX).keys()
        kept = checkpoints(world)
        with Course(world) as beside:
            again = world.replay(*asked)
    assert again.returncode == 0, again.stderr
    assert "goes on where it was" in again.stderr
    tell("s3", alone, beside)
    now = objects(stack, PREFIX)
    assert {key: now.get(key) for key in live} == live
    lines = {line for key in gone for line in gzip.decompress(live[key]).splitlines()}
    last = {
        shard: max(one.sequence for one in records if one.shard == shard and one.data in lines)
        for shard in shards
    }
    left = [
        one
        for one in records
        if one.shard in kept.keys() & last.keys()
        and one.sequence <= last[one.shard]
        and kept[one.shard].is_before(one)
    ]
    assert delivered(again.stdout) == len(left)  # it went on where it was
    assert [name for name in world.tables() if "replay" in name] == []
    assert not list((tmp_path / "workers").glob("live-replay*"))

    everything = Counter(logs) + Counter(feeding.logs)
    world.until(
        "the live one has it all",
        lambda: sum(1 for _ in S3Reader(stack, PREFIX).lines()) >= everything.total(),
    )
    assert Counter(S3Reader(stack, PREFIX).lines()) == everything


def test_many_shards_that_are_at_the_end_with_their_first_message(tmp_path: Path, exits: ExitStack) -> None:
    """One of them was split soon behind the range. While a callback lasts, the KCL may open none of the others."""
    with stacks.running(tmp_path, shards=24) as running:
        stack = running.stack
        world = World(stack, tmp_path, exits, "s3", **{"s3.prefix": PREFIX})
        world.start()
        logs = feed(stack)
        world.until("all is delivered", lambda: sum(1 for _ in S3Reader(stack, PREFIX).lines()) == len(logs))
        live = objects(stack, PREFIX)
        records = on_stream(stack)
        first, last = (pick(record.arrived_ms for record in records) for pick in (min, max))
        wanted = first, first + (last - first) * 2 // 5
        gone = lose(stack, live, {one.data for one in records if one.arrived_ms < wanted[1]})
        answer = world.replay(*instants(wanted))
        assert answer.returncode == 0, answer.stderr
        now = objects(stack, PREFIX)
        assert {key: now.get(key) for key in live} == live
        assert len(gone) > 24


def rows_by_log(reader: BigQueryReader) -> Counter[str]:
    return Counter(json.loads(row.log)["log_id"] for row in reader.rows())


@pytest.mark.parametrize("method", ["insert_all", "load", "storage_write"])
def test_rows_of_the_middle_third_come_back_and_none_comes_twice(
    stack: Stack, tmp_path: Path, exits: ExitStack, method: str
) -> None:
    """I3 over a split: rows that are gone come back, and only those, by a replay that is killed once."""
    own = {
        "bigquery.method": method,
        "bigquery.metadata_columns": "true",
        "bigquery.key_digits": "0",  # the embedded BigQuery takes a while for each request
        "chunk.window": "3s",
        "chunk.max_records": "1000",
    }
    world = World(stack, tmp_path, exits, "bigquery", **own)
    reader = BigQueryReader(stack, time_column="time")
    world.start()
    logs = [json.loads(log)["log_id"] for log in feed(stack)]
    world.until("all is delivered", lambda: reader.count("player_log") >= len(logs))
    assert rows_by_log(reader) == Counter(logs)
    records = on_stream(stack)
    wanted = middle_third(records)
    inside = [one for one in records if wanted[0] <= one.arrived_ms < wanted[1]]
    assert {"shardId-000000000000", "shardId-000000000003", "shardId-000000000004"} <= {
        one.shard for one in inside
    }
    gone = [json.loads(one.data)["log_id"] for one in inside[::3]]
    for table in reader.tables():
        chosen = f"JSON_VALUE(log, '$.log_id') IN UNNEST({json.dumps(gone)})"
        assert list(reader.query(f"DELETE FROM `{stack.dataset}.{table}` WHERE {chosen}")) == []
    left = rows_by_log(reader)
    assert left + Counter(gone) == Counter(logs)

    # small chunks, or it would be done before anything is checkpointed
    asked = [*instants(wanted), "--into", "chunk.window=1s", "--into", "chunk.max_records=60"]
    with Feeding(stack) as feeding:
        alone = seen_alone(world, len(logs))
        slow = world.begin("--rate", "20", *asked)
        world.until("something is checkpointed", lambda: has_checkpointed(world))
        slow.send_signal(signal.SIGKILL)
        slow.communicate()
        kept = checkpoints(world)
        with Course(world) as beside:
            again = world.replay(*asked)
    assert again.returncode == 0, again.stderr
    assert "goes on where it was" in again.stderr
    tell(method, alone, beside)
    assert delivered(again.stdout) <= sum(
        one.shard in kept and kept[one.shard].is_before(one) for one in records
    )  # it went on where it was
    assert [name for name in world.tables() if "replay" in name] == []

    everything = Counter(logs) + Counter(json.loads(log)["log_id"] for log in feeding.logs)
    world.until("the live one has it all", lambda: reader.count("player_log") >= everything.total())
    assert rows_by_log(reader) == everything
    once_more = world.replay(*asked)
    assert once_more.returncode == 0, once_more.stderr
    assert delivered(once_more.stdout) >= len(inside)
    assert rows_by_log(reader) == everything
