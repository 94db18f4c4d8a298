"""Everything that a test starts, and ends again however the test ends."""

import os
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from consumer.local.child import Process
from consumer.settings import Settings
from tests.functional.harness.bigquery_stub import BigQueryStub
from tests.functional.harness.daemon import FUNCTIONAL, Daemon
from tests.functional.harness.dynamodb_stub import DynamoStub
from tests.functional.harness.event_log import EventLog
from tests.functional.harness.kcl import Kcl
from tests.functional.harness.s3_stub import S3Stub

type StartShard = Callable[..., Kcl]
type StartDaemon = Callable[..., Daemon]


@pytest.fixture
def s3() -> Iterator[S3Stub]:
    stub = S3Stub()
    yield stub
    stub.close()


@pytest.fixture
def dynamodb() -> Iterator[DynamoStub]:
    stub = DynamoStub()
    yield stub
    stub.close()


@pytest.fixture
def bigquery() -> Iterator[BigQueryStub]:
    stub = BigQueryStub()
    yield stub
    stub.close()


@pytest.fixture
def events(tmp_path: Path) -> Iterator[EventLog]:
    log = EventLog(tmp_path / "events")
    yield log
    log.close()


@pytest.fixture
def start_shard(tmp_path: Path) -> Iterator[StartShard]:
    """Starts a shard process; several in one test may follow each other."""
    started: list[Kcl] = []

    def start(settings: Settings, **options: object) -> Kcl:
        kcl = Kcl(settings, tmp_path / f"shard-{len(started)}", **options)  # type: ignore[arg-type]
        started.append(kcl)
        return kcl

    yield start
    for kcl in started:
        kcl.kill()


@pytest.fixture
def java(tmp_path: Path) -> Path:
    path = tmp_path / "java"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{FUNCTIONAL / "fake_java.py"}" "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def start(java: Path, tmp_path: Path) -> Iterator[StartDaemon]:
    daemons: list[Daemon] = []

    def start(*assignments: str, **environment: str) -> Daemon:
        state = f"worker.state_dir={tmp_path / 'state'}"
        daemon = Daemon.supervised(java, state, "jvm.options=", *assignments, **environment)
        daemons.append(daemon)
        return daemon

    yield start
    for daemon in daemons:
        daemon.__exit__()


@dataclass(frozen=True)
class Embedded:
    """The addresses of an embedded BigQuery: REST and gRPC."""

    url: str
    storage_url: str


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    folder = tmp_path_factory.mktemp("bigquery")
    process = Process.spawn(
        "consumer.local.bigquery",
        str(folder / "data"),
        "--dataset",
        "player_logs",
        log=folder / "log",
        environment=os.environ,
    )
    try:
        ports = process.wait_ready(60)
        yield Embedded(f"http://127.0.0.1:{ports['port']}", f"http://127.0.0.1:{ports['grpc_port']}")
    finally:
        process.stop()
