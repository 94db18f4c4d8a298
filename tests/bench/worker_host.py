"""The host of level `workers`: a stack, a feed into its stream, and workers of one application that share it."""

import json
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from consumer.local import stack as stacks
from consumer.local.backends import STOP_SECONDS
from consumer.local.child import tail
from consumer.local.stack import Running
from consumer.settings.table import Backend
from tests.bench.kcl import BenchError
from tests.chaos.checker import Tally
from tests.chaos.feed import Feed, feeding
from tests.chaos.holdings import Holdings
from tests.chaos.journal import records
from tests.chaos.leases import LeaseTable
from tests.chaos.processes import Proc
from tests.chaos.workers import Worker
from tests.chaos.world import effective

BACKEND: Backend = "s3"
_SEED = 64
_STOPPED_POLL_SECONDS = 0.1


class HostWorker(Worker):
    """One of several that share a state directory, by `supervisor.lock = worker`."""

    @property
    def state_dir(self) -> Path:
        return self.stack_dir / "workers"

    def status_file(self) -> Path | None:
        return next(self.state_dir.glob(f"*@{self.id}/status.json"), None)

    def status(self) -> dict[str, Any]:
        """What its supervisor says; empty while it says nothing."""
        path = self.status_file()
        status: dict[str, Any] = json.loads(path.read_bytes()) if path else {}
        return status


@dataclass(slots=True, kw_only=True)
class Host:
    """`workers` are those that should run, in the order in which they came."""

    stack: Running
    feed: Feed
    leases: LeaseTable
    holdings: Holdings
    folder: Path
    settings: Mapping[str, str]
    workers: list[HostWorker] = field(default_factory=list)
    gone: list[HostWorker] = field(default_factory=list)

    def start(self, name: str) -> None:
        worker = HostWorker(backend=BACKEND, name=name, stack_dir=self.folder, settings=self.settings)
        self.workers.append(worker)
        worker.start()

    def stop(self, worker: HostWorker) -> None:
        """SIGTERM; it is looked at no more."""
        assert worker.popen is not None
        self.workers.remove(worker)
        self.gone.append(worker)
        worker.popen.send_signal(signal.SIGTERM)

    def await_stopped(self) -> None:
        """Raises BenchError when a worker that was stopped does not end in order."""
        deadline = time.monotonic() + STOP_SECONDS
        for worker in self.gone:
            while not worker.ended() and time.monotonic() < deadline:
                time.sleep(_STOPPED_POLL_SECONDS)
            code = worker.popen.returncode if worker.popen else None
            if code != 0:
                raise BenchError(f"{worker.id} ended with code {code} after SIGTERM:\n{tail(worker.log, 30)}")

    def check(self) -> None:
        """Raises BenchError when a worker has ended or has had to start its JVM again, ChildError for the stack."""
        self.stack.check()
        for worker in self.workers:
            jvm = worker.status().get("jvm", {})
            if worker.ended() or jvm.get("restarts"):
                raise BenchError(f"{worker.id} or its JVM has ended:\n{tail(worker.log, 30)}")

    def trees(self) -> list[list[Proc]]:
        return [worker.processes() for worker in self.workers]

    def running(self) -> dict[str, set[str]]:
        """The shards that each worker's processes report."""
        return {
            worker.id: {shard["shard"] for shard in worker.status().get("shards", ())}
            for worker in self.workers
        }

    def open_shards(self) -> list[dict[str, Any]]:
        """As ListShards tells of them."""
        stack = self.stack.stack
        listed: list[dict[str, Any]] = stack.client("kinesis").list_shards(StreamName=stack.stream)["Shards"]
        return [shard for shard in listed if "EndingSequenceNumber" not in shard["SequenceNumberRange"]]

    def split_all(self) -> None:
        """Two shards in the place of each, one split after the other."""
        stack = self.stack.stack
        client = stack.client("kinesis")
        for shard in self.open_shards():
            keys = shard["HashKeyRange"]
            middle = (int(keys["StartingHashKey"]) + int(keys["EndingHashKey"])) // 2 + 1
            client.split_shard(
                StreamName=stack.stream, ShardToSplit=shard["ShardId"], NewStartingHashKey=str(middle)
            )

    def delivered(self) -> int:
        """Records in the backend, by the names of its objects."""
        return self.holdings.count(BACKEND)

    def tally(self) -> Tally:
        """Everything there is, compared with everything that was put; after the feed has ended."""
        return self.holdings.tally(BACKEND, self.feed.journal)


@contextmanager
def hosting(folder: Path, *, shards: int, rate: float, settings: Mapping[str, str]) -> Iterator[Host]:
    """A fresh stack and a feed of so many records/s. No worker outlives the block."""
    with (
        stacks.running(folder, shards=shards) as running,
        feeding(running.stack, records(_SEED), rate=rate) as feed,
    ):
        loaded = effective(running.stack, {BACKEND: settings, "bigquery": {}})
        host = Host(
            stack=running,
            feed=feed,
            leases=LeaseTable(running.stack.client("dynamodb"), loaded[BACKEND].text("applicationName")),
            holdings=Holdings(running.stack, loaded),
            folder=folder,
            settings=settings,
        )
        try:
            yield host
        finally:
            _abandon([*host.workers, *host.gone])


def _abandon(workers: Sequence[HostWorker]) -> None:
    for worker in workers:
        worker.abandon()
