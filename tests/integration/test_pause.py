"""A paused application, by the real KCL: two workers, one of them killed and started again meanwhile."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
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
from consumer.local.readback import S3Reader
from consumer.local.stack import Stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

APPLICATION = "paused"
PREFIX = "logs/"
DEADLINE_SECONDS = 150
SETTINGS = {
    "applicationName": APPLICATION,
    "http.port": "0",
    "s3.prefix": PREFIX,
    "chunk.window": "1s",
    "chunk.grace": "500ms",
    "chunk.max_records": "50",
    "failoverTimeMillis": "6000",
    "maxLeasesForWorker": "1",  # or the KCL moves a lease to where less flows, were it to one that is just killed
    "supervisor.lock": "worker",
}


class Application:
    """Some workers of one application on a stack of its own, and the commands for it."""

    def __init__(self, stack: Stack, folder: Path, stack_of_workers: ExitStack) -> None:
        self.stack = stack
        self._folder = folder
        self._exit = stack_of_workers
        self.workers: dict[str, Running] = {}
        self.records: list[bytes] = []
        self._reader = S3Reader(stack, PREFIX)

    def start(self, worker: str) -> None:
        log = self._folder / f"{worker}-{time.monotonic_ns()}.log"
        with log.open("wb") as output:
            popen = tethered.spawn(
                "start", "s3", *self._options(worker), state_dir=self._folder, stdout=output, stderr=output
            )
        self.workers[worker] = Running("s3", popen, log)
        self._exit.callback(self.workers[worker].abandon)

    def kill(self, worker: str) -> None:
        popen = self.workers[worker].popen
        os.killpg(popen.pid, signal.SIGKILL)
        popen.wait()

    def _options(self, worker: str | None = None) -> list[str]:
        own = {"worker.state_dir": str(self._folder / "workers")}
        if worker is not None:
            own["worker.id"] = worker
        return ["--local", *(f"--set={key}={value}" for key, value in {**SETTINGS, **own}.items())]

    def command(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "consumer", command, "s3", *self._options(), *arguments],
            env=tethered.environment(self._folder),
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )

    def put(self, count: int, seed: int) -> None:
        logs = list(Logs(count=count, seed=seed, base_time=midnight_today(datetime.now(UTC))).lines())
        put(logs, Target(self.stack.client("kinesis"), self.stack.stream))
        self.records += logs

    def leases(self) -> dict[str, tuple[str | None, int]]:
        """Owner and counter of each shard's lease."""
        dynamodb = self.stack.client("dynamodb")
        try:
            items = dynamodb.scan(TableName=APPLICATION, ConsistentRead=True)["Items"]
        except dynamodb.exceptions.ResourceNotFoundException:
            return {}
        return {
            item["leaseKey"]["S"]: (
                item.get("leaseOwner", {}).get("S"),
                int(item.get("leaseCounter", {}).get("N", 0)),
            )
            for item in items
        }

    def owners(self) -> set[str | None]:
        return {owner for owner, _ in self.leases().values()}

    def delivered(self) -> Counter[bytes]:
        self._reader.forget()
        return Counter(self._reader.lines())

    def status(self, worker: str) -> dict[str, Any]:
        file = self._folder / "workers" / f"{APPLICATION}@{worker}" / "status.json"
        found: dict[str, Any] = json.loads(file.read_bytes()) if file.exists() else {}
        return found

    def until(self, what: str, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not done():
            for one in self.workers.values():
                one.check()
            logs = "\n".join(tail(one.log, 15) for one in self.workers.values())
            assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS} s: {what}\n{logs}"
            time.sleep(0.2)


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Application]:
    with stacks.running(tmp_path, shards=2) as running, ExitStack() as workers:
        yield Application(running.stack, tmp_path, workers)


def test_paused_for_longer_than_the_leases_nothing_is_taken_lost_or_doubled(application: Application) -> None:
    """I1 and I2 over a pause."""
    refused = application.command("pause", "--yes")
    assert refused.returncode == 1
    assert "no worker of this application has ever started" in refused.stderr

    application.start("first")
    application.start("second")
    application.put(1_000, seed=1)
    application.until("both workers read", lambda: application.owners() == {"first", "second"})
    application.until("a first record is delivered", lambda: bool(application.delivered()))

    paused = application.command("pause", "--yes", "--reason=a migration", "--who=ops")
    assert paused.returncode == 0, paused.stderr
    assert "2 of 2 workers with leases have stopped taking records" in paused.stderr
    application.until("what was taken is delivered", lambda: application.status("first")["shards"] != [])
    before = application.leases()
    application.put(1_000, seed=2)
    settled = application.delivered()

    application.kill("second")
    del application.workers["second"]
    kept = [shard for shard, (owner, _) in before.items() if owner == "first"]
    assert kept

    def renewed() -> bool:
        now = application.leases()
        assert {now[shard][0] for shard in kept} == {"first"}
        return all(now[shard][1] > before[shard][1] + 6 for shard in kept)

    application.until("the leases are renewed for longer than they last", renewed)
    application.start("second")
    application.until("the second is back", lambda: application.status("second").get("phase") == "running")
    application.until("it has its lease again", lambda: application.owners() == {"first", "second"})
    application.until("the first is well", lambda: application.status("first").get("healthy") is True)
    status = application.status("first")
    assert status["paused"]["why"] == "a migration"
    assert status["notes"][0] == "paused by ops: a migration"
    assert application.delivered() == settled
    assert not settled & Counter(application.records[1_000:])

    assert "is paused already, by ops" in application.command("pause", "--yes").stderr
    resumed = application.command("resume", "--yes")
    assert resumed.returncode == 0, resumed.stderr
    application.until("all is delivered", lambda: application.delivered().total() >= len(application.records))
    assert application.delivered() == Counter(application.records)
    assert "is not paused" in application.command("resume", "--yes").stderr
    for one in application.workers.values():
        one.popen.terminate()
    for one in application.workers.values():
        one.end()
    audits = S3Reader(application.stack, "deadletter/audit/").keys()
    assert len(audits) == 2
