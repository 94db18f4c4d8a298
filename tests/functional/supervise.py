"""Runs the daemon without a backend to prepare: supervise.py JAVA KEY=VALUE…"""

import os
import resource
import sys
import threading
import time

from consumer.daemon.errors import StartFailed
from consumer.daemon.prepare.preparation import NotReady, Patience, Stopped
from consumer.daemon.report.leases import SHARD_END, Lease
from consumer.daemon.report.log import Log
from consumer.daemon.report.pause import Pause, Paused
from consumer.daemon.supervise.service import Services, serve
from consumer.settings import Settings, load


def prepare(settings: Settings, patience: Patience, log: Log) -> int | None:
    if os.environ.get("PREPARE") == "waits":
        log.info("preparing")
        if patience.pause(60):
            raise Stopped
    if os.environ.get("PREPARE") == "hangs":
        log.info("preparing")
        threading.Event().wait(60)
    return int(os.environ.get("OPEN_SHARDS", "1"))


def count_shards(settings: Settings) -> int | None:
    if os.environ.get("COUNT") == "hangs":
        threading.Event().wait(60)
    if os.environ.get("COUNT") == "fails":
        raise NotReady("Kinesis does not answer in time")
    return int(os.environ["OPEN_SHARDS_LATER"]) if "OPEN_SHARDS_LATER" in os.environ else None


def read_leases() -> list[Lease]:
    """Of a shard that nobody has to read, or that LEASE_OWNER reads."""
    owner = os.environ.get("LEASE_OWNER")
    checkpoint = SHARD_END if owner is None else "123"
    return [Lease(shard="shardId-000000000000", owner=owner, counter=0, checkpoint=checkpoint)]


def release_lock(settings: Settings, worker_id: str) -> bool:
    """As LOCK says."""
    if os.environ.get("LOCK") == "fails":
        raise NotReady("DynamoDB does not answer in time")
    return os.environ.get("LOCK") == "ours"


class Flag:
    """An application that is paused as PAUSED says."""

    def read(self) -> Paused | None:
        why = os.environ.get("PAUSED")
        return None if why is None else Paused(Pause(who="ops@host", why=why, at_ms=1_000))

    def stopped(self, pause: Pause, worker: str, at_ms: int) -> None:
        raise AssertionError("its shard process takes records")


def main(java: str, assignments: list[str]) -> int:
    overrides = dict(word.split("=", 1) for word in assignments)
    own = {"s3.bucket": "bucket", "jvm.java": java, "http.port": "0", "shard.fork_server": "false"}
    settings = load("s3", overrides={**own, **overrides})
    if "DESCRIPTORS" in os.environ:
        soft, hard = map(int, os.environ["DESCRIPTORS"].split(":"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    log = Log(backend="s3", level="DEBUG", clock=time.time)
    try:
        return serve(
            settings,
            environment=os.environ,
            log=log,
            services=Services(
                prepare=prepare,
                count_shards=count_shards,
                lease_reader=lambda _: read_leases,
                pause_flag=lambda _: Flag(),
                release_lock=release_lock,
            ),
        )
    except StartFailed as error:
        log.error(str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
