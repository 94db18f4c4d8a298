"""Everything that a test of the shard process starts, and ends again however the test ends."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from consumer.settings import Settings
from tests.functional.harness.bigquery_stub import BigQueryStub
from tests.functional.harness.event_log import EventLog
from tests.functional.harness.kcl import Kcl
from tests.functional.harness.s3_stub import S3Stub

type StartShard = Callable[..., Kcl]


@pytest.fixture
def s3() -> Iterator[S3Stub]:
    stub = S3Stub()
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
