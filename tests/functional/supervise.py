"""Runs the daemon without a backend to prepare: supervise.py JAVA KEY=VALUE…

The environment says how the services fare: each function here says by which variable. A variable that names a file is
looked at whenever the service is asked.
"""

import os
import resource
import sys
import threading
import time
from pathlib import Path

import msgspec

from consumer.daemon.errors import StartFailed
from consumer.daemon.prepare import preparation
from consumer.daemon.prepare.preparation import Mendable, NotReady, Patience, Stopped
from consumer.daemon.report.leases import SHARD_END, Lease
from consumer.daemon.report.log import Format, Log
from consumer.daemon.report.pause import Pause, Paused
from consumer.daemon.supervise.service import Services, serve
from consumer.settings import Backend, Settings, load


def prepare(settings: Settings, patience: Patience, log: Log) -> int | None:
    if os.environ.get("PREPARE") == "waits":
        log.info("preparing")
        if patience.pause(60):
            raise Stopped
    if os.environ.get("PREPARE") == "hangs":
        log.info("preparing")
        threading.Event().wait(60)
    preparation.prepare([bucket], patience=patience, log=log)
    return int(os.environ.get("OPEN_SHARDS", "1"))


def bucket() -> str:
    """Missing while the file is there that NO_BUCKET names, and silent while that of SILENT_BUCKET is."""
    if _is_there("NO_BUCKET"):
        raise Mendable('s3.bucket: there is no bucket "bucket"')
    if _is_there("SILENT_BUCKET"):
        raise NotReady("s3.bucket: S3 does not answer in time")
    return "the bucket is there"


def count_shards(settings: Settings) -> int | None:
    if os.environ.get("COUNT") == "hangs":
        threading.Event().wait(60)
    if os.environ.get("COUNT") == "fails":
        raise NotReady("Kinesis does not answer in time")
    return int(os.environ["OPEN_SHARDS_LATER"]) if "OPEN_SHARDS_LATER" in os.environ else None


def read_leases() -> list[Lease]:
    """Those of the file that LEASES names, once it is there; else of a shard that nobody has to read, or that
    LEASE_OWNER reads."""
    if _is_there("LEASES"):
        return msgspec.json.decode(Path(os.environ["LEASES"]).read_bytes(), type=list[Lease])
    owner = os.environ.get("LEASE_OWNER")
    checkpoint = SHARD_END if owner is None else "123"
    return [Lease(shard="shardId-000000000000", owner=owner, counter=0, checkpoint=checkpoint)]


def release_lock(settings: Settings, worker_id: str) -> bool:
    """As LOCK says; not before the file that LOCK_BUSY names is gone."""
    while _is_there("LOCK_BUSY"):
        time.sleep(0.01)
    if os.environ.get("LOCK") == "fails":
        raise NotReady("DynamoDB does not answer in time")
    return os.environ.get("LOCK") == "ours"


class Flag:
    """An application that is paused as PAUSED says, or while the file is there that PAUSED_WHILE names."""

    def read(self) -> Paused | None:
        why = "a file" if _is_there("PAUSED_WHILE") else os.environ.get("PAUSED")
        return None if why is None else Paused(Pause(who="ops@host", why=why, at_ms=1_000))

    def stopped(self, pause: Pause, worker: str, at_ms: int) -> None:
        if "PAUSED" in os.environ:
            raise AssertionError("its shard process takes records")


def _is_there(variable: str) -> bool:
    return variable in os.environ and Path(os.environ[variable]).exists()


def main(java: str, assignments: list[str]) -> int:
    overrides = dict(word.split("=", 1) for word in assignments)
    own = {"s3.bucket": "bucket", "jvm.java": java, "http.port": "0", "shard.fork_server": "false"}
    backend: Backend = "bigquery" if os.environ.get("BACKEND") == "bigquery" else "s3"
    if backend == "bigquery":
        del own["s3.bucket"]
    settings = load(backend, overrides={**own, **overrides})
    if "DESCRIPTORS" in os.environ:
        soft, hard = map(int, os.environ["DESCRIPTORS"].split(":"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    form: Format = "json" if os.environ.get("LOG") == "json" else "text"
    log = Log(backend=backend, level="DEBUG", clock=time.time, form=form)
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
