"""`status` with the real KCL: of workers that run, of several, and once they are stopped."""

import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from consumer.local import stack as stacks
from consumer.local import tethered
from consumer.local.child import tail
from consumer.local.stack import Stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]

APPLICATION = "status"
_SECONDS = 120
_END_SECONDS = 45
_SETTINGS = {
    "applicationName": APPLICATION,
    "http.port": "0",
    "chunk.window": "1s",
    "chunk.grace": "1s",
    "checkpoint.interval": "1s",
    "failoverTimeMillis": "2000",
    "supervisor.lock": "worker",
    "maxLeasesForWorker": "1",
}


@dataclass(frozen=True)
class World:
    """A stack of two shards, on which a worker takes one shard at most."""

    stack: Stack
    folder: Path

    def settings(self, worker: str) -> list[str]:
        own = {**_SETTINGS, "worker.id": worker, "worker.state_dir": str(self.folder / "workers")}
        return [f"--set={key}={value}" for key, value in own.items()]

    @contextmanager
    def worker(self, name: str) -> Iterator[None]:
        """Runs within the block, and ends in order."""
        log = self.folder / f"{name}.log"
        with log.open("wb") as output:
            command = ("start", "s3", "--local", *self.settings(name))
            process = tethered.spawn(*command, state_dir=self.folder, stdout=output, stderr=output)
        try:
            yield
            process.terminate()
            assert process.wait(_END_SECONDS) == 0, tail(log, 30)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def put(self, count: int) -> None:
        records = [{"Data": json.dumps({"n": n}), "PartitionKey": str(n)} for n in range(count)]
        self.stack.client("kinesis").put_records(StreamName=self.stack.stream, Records=records)

    def status(self, *, elsewhere: bool = False) -> tuple[int, dict[str, Any]]:
        """The exit code and what is told: on this host, or on one where no daemon has ever run."""
        folder = self.folder / ("elsewhere" if elsewhere else "workers")
        chosen = [*self.settings("me"), f"--set=worker.state_dir={folder}"]
        done = subprocess.run(
            self.command(chosen, "--json"),
            env=self.environment,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
        (told,) = json.loads(done.stdout or "[{}]")
        return done.returncode, told

    def watch(self) -> int:
        """The exit code of `--watch` in a terminal, in which the table is looked at and `q` is pressed."""
        ours, theirs = pty.openpty()
        watching = subprocess.Popen(
            self.command(self.settings("me"), "--watch"),
            env={**self.environment, "TERM": "xterm", "COLUMNS": "160", "LINES": "40"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        try:
            seen = b""
            deadline = time.monotonic() + _SECONDS
            while b"q or Ctrl-C ends" not in seen or b"shardId-000000000001" not in seen:
                assert time.monotonic() < deadline, seen
                if select.select([ours], [], [], 1)[0]:
                    seen += os.read(ours, 65536)
            os.write(ours, b"q")
            while watching.poll() is None:
                assert time.monotonic() < deadline
                with suppress(OSError):  # its side is closed
                    if select.select([ours], [], [], 0.1)[0]:
                        os.read(ours, 65536)
            return watching.returncode
        finally:
            watching.kill()
            watching.wait()
            os.close(ours)

    def command(self, chosen: Sequence[str], *options: str) -> list[str]:
        return [sys.executable, "-P", "-m", "consumer", "status", "s3", "--local", *chosen, *options]

    @property
    def environment(self) -> dict[str, str]:
        return tethered.environment(self.folder)

    def until(self, fits: Callable[[int, dict[str, Any]], bool], **options: bool) -> dict[str, Any]:
        deadline = time.monotonic() + _SECONDS
        while True:
            code, told = self.status(**options)
            if fits(code, told):
                return told
            assert time.monotonic() < deadline, (code, told)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("status")
    with stacks.running(folder, shards=2) as running:
        yield World(running.stack, folder)


def checkpoints(told: dict[str, Any]) -> dict[str, str]:
    return {shard["shard"]: shard["checkpoint"] for shard in told["shards"]}


def owners(told: dict[str, Any]) -> dict[str, str]:
    return {shard["shard"]: shard["owner"] for shard in told["shards"]}


def are_at(checkpoint_of: dict[str, str]) -> bool:
    return all(str(checkpoint).isdecimal() for checkpoint in checkpoint_of.values())


def test_status_of_workers_that_run_and_of_none(world: World) -> None:
    code, never = world.status()
    assert (code, never["state"]) == (1, "down")
    assert "does not exist" in never["todo"]

    world.put(40)
    with world.worker("one"), world.worker("two"):
        both = world.until(
            lambda code, told: (
                code == 0
                and set(owners(told).values()) == {"one", "two"}
                and are_at(checkpoints(told))
                and told["freshness_seconds"] == 0
            )
        )
        assert sorted(both["workers_here"]) == ["one", "two"]
        assert both["state"] == "running"
        assert "2 shards are read by 2 workers" in both["says"]
        # another host knows the same from the lease table and the stream
        code, there = world.status(elsewhere=True)
        assert code == 0
        assert there["workers_here"] == []
        assert owners(there) == owners(both)
        assert checkpoints(there) == checkpoints(both)
        assert [shard["freshness_seconds"] for shard in there["shards"]] == [0, 0]
        assert world.watch() == 0

    code, stopped = world.status()
    assert (code, stopped["state"]) == (1, "down")
    assert checkpoints(stopped) == checkpoints(both)
    assert stopped["freshness_seconds"] == 0

    world.put(40)
    code, waiting = world.status()
    assert code == 1
    assert checkpoints(waiting) == checkpoints(both)
    assert waiting["freshness_seconds"] > 0

    with world.worker("one"):
        half = world.until(
            lambda code, told: told["workers_here"] == ["one"] and sum(map(is_read, told["shards"])) == 1
        )
        assert half["state"] in ("running", "stuck")
        assert "no reader" in half["says"] or any("not read for" in reason for reason in half["reasons"])


def is_read(shard: dict[str, Any]) -> bool:
    return shard["is_read"] is True
