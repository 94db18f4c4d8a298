"""Positions of a real application, shown, moved and put back: what the KCL and the backends make of it."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
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
from consumer.settings.table import Backend

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

APPLICATION = "moved"
PREFIX = "logs/"
DEADLINE_SECONDS = 150
COMMON = {
    "applicationName": APPLICATION,
    "http.port": "0",
    "chunk.window": "1s",
    "chunk.grace": "500ms",
    "chunk.max_records": "50",
    "checkpoint.interval": "1s",
    "failoverTimeMillis": "2000",
}
SETTINGS: dict[Backend, dict[str, str]] = {
    "s3": {**COMMON, "s3.prefix": PREFIX},
    "bigquery": {**COMMON, "bigquery.method": "storage_write"},
}


class Application:
    """One worker of an application on a stack of its own, and the commands for it."""

    def __init__(self, backend: Backend, stack: Stack, folder: Path, at_end: ExitStack) -> None:
        self._backend: Backend = backend
        self.stack = stack
        self._folder = folder
        self._at_end = at_end
        self._worker: Running | None = None
        self.records: list[bytes] = []

    def _options(self) -> list[str]:
        own = {"worker.state_dir": str(self._folder / "worker")}
        return [
            "--local",
            *(f"--set={key}={value}" for key, value in {**SETTINGS[self._backend], **own}.items()),
        ]

    def start(self) -> None:
        log = self._folder / f"{time.monotonic_ns()}.log"
        with log.open("wb") as output:
            popen = tethered.spawn(
                "start", self._backend, *self._options(), state_dir=self._folder, stdout=output, stderr=output
            )
        self._worker = Running(self._backend, popen, log)
        self._at_end.callback(self._worker.abandon)

    def stop(self) -> None:
        assert self._worker is not None
        self._worker.popen.terminate()
        self._worker.end()
        self._worker = None

    def checkpoint(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                sys.executable,
                "-P",
                "-m",
                "consumer",
                "checkpoint",
                self._backend,
                *arguments,
                *self._options(),
            ],
            env=tethered.environment(self._folder),
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )

    def done(self, *arguments: str) -> str:
        """What the command says, which succeeds."""
        ended = self.checkpoint(*arguments)
        assert ended.returncode == 0, ended.stderr
        return ended.stderr

    def shown(self) -> dict[str, dict[str, Any]]:
        ended = self.checkpoint("show", "--json")
        assert ended.returncode == 0, ended.stderr
        return {row["shard"]: row for row in map(json.loads, ended.stdout.splitlines())}

    def put(self, count: int, seed: int) -> None:
        logs = list(Logs(count=count, seed=seed, base_time=midnight_today(datetime.now(UTC))).lines())
        put(logs, Target(self.stack.client("kinesis"), self.stack.stream))
        self.records += logs

    def split(self, shard: str) -> None:
        kinesis = self.stack.client("kinesis")
        [found] = [
            each
            for each in kinesis.list_shards(StreamName=self.stack.stream)["Shards"]
            if each["ShardId"] == shard
        ]
        low, high = (int(found["HashKeyRange"][key]) for key in ("StartingHashKey", "EndingHashKey"))
        kinesis.split_shard(
            StreamName=self.stack.stream,
            ShardToSplit=shard,
            NewStartingHashKey=str((low + high) // 2),
        )

    def until(self, what: str, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not done():
            log = ""
            if self._worker is not None:
                self._worker.check()
                log = tail(self._worker.log, 15)
            assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS} s: {what}\n{log}"
            time.sleep(0.2)


def running(backend: Backend, folder: Path) -> Iterator[Application]:
    with stacks.running(folder, shards=2) as found, ExitStack() as at_end:
        yield Application(backend, found.stack, folder, at_end)


@pytest.fixture
def to_s3(tmp_path: Path) -> Iterator[Application]:
    yield from running("s3", tmp_path)


@pytest.fixture
def to_bigquery(tmp_path: Path) -> Iterator[Application]:
    yield from running("bigquery", tmp_path)


PARENT = "shardId-000000000000"


def delivered_in_halves(application: Application, has_all: Callable[[], bool]) -> str:
    """600 records before the moment that it returns, 600 behind it."""
    application.put(600, seed=1)
    application.start()
    application.until("the first half is delivered", has_all)
    middle = datetime.now(UTC).isoformat()
    application.put(600, seed=2)
    application.until("the second half is delivered", has_all)
    return middle


def undo_of(said: str) -> str:
    return f"--of={said.rpartition('--of=')[2].split()[0]}"


def test_set_back_into_a_parent_s3_holds_the_same_objects_and_an_undo_goes_back(to_s3: Application) -> None:
    """I2 from a place that no checkpoint has had."""
    app = to_s3
    reader = S3Reader(app.stack, PREFIX)

    def lines() -> Counter[bytes]:
        return Counter(reader.lines())

    def objects() -> dict[str, list[bytes]]:
        return dict(reader.objects())

    middle = delivered_in_halves(app, lambda: lines() >= Counter(app.records))
    app.split(PARENT)
    app.put(600, seed=3)
    app.until("what came after the split is delivered", lambda: lines() >= Counter(app.records))
    app.stop()
    before, was = objects(), app.shown()
    assert len(was) >= 3

    said = app.done("set", f"--to={middle}", "--yes", "--why=a test")
    assert "no chunk is known" not in said
    now = app.shown()
    assert sorted(now) == [PARENT, "shardId-000000000001"]
    assert all(row["next_record_at"] is not None for row in now.values())
    undo = undo_of(said)
    app.done("undo", undo, "--yes")
    assert positions(app.shown()) == positions(was)

    app.done("set", f"--to={middle}", "--yes")
    for key in before:
        app.stack.client("s3").delete_object(Bucket=app.stack.bucket, Key=key)
    reader.forget()
    app.start()
    app.until("all is delivered again", lambda: lines() >= Counter(app.records[600:]))
    app.stop()
    assert objects().items() <= before.items()
    assert lines().total() < len(app.records)


def positions(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, int]]:
    return {shard: (row["checkpoint"], row["sub_sequence"]) for shard, row in rows.items()}


def test_storage_write_writes_again_what_lies_behind_the_position_unless_it_is_taken_back(
    to_bigquery: Application,
) -> None:
    """I3, counted anew."""
    app = to_bigquery
    reader = BigQueryReader(app.stack, time_column="ts")

    def rows() -> int:
        return reader.count("player_log_")

    middle = delivered_in_halves(app, lambda: rows() >= len(app.records))
    app.stop()
    assert rows() == len(app.records)

    said = app.done("set", f"--to={middle}", "--yes")
    assert "storage_write: the counts of these shards are removed" in said
    app.done("undo", undo_of(said), "--yes")
    app.put(100, seed=4)
    app.start()
    app.until("it goes on where it was", lambda: rows() >= len(app.records))
    app.stop()
    assert rows() == len(app.records)

    app.done("set", f"--to={middle}", "--yes")
    app.start()
    twice = len(app.records) - 600
    app.until("all behind the moment is written again", lambda: rows() >= len(app.records) + twice)
    app.stop()
    assert rows() == len(app.records) + twice
