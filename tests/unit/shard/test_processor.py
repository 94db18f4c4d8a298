"""The callbacks of the KCL and the signal to drain, in any order that may happen."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from consumer.domain.columns import Records
from consumer.domain.errors import ProtocolError
from consumer.domain.events import Event, LogEvent, StatusEvent
from consumer.native import library
from consumer.settings import load
from consumer.shard.kcl.processor import ShardProcessor
from consumer.shard.kcl.protocol import RecordsMessage
from consumer.shard.kcl.tip import POLLED_AHEAD, Tip
from consumer.shard.process.assembly import DRAIN_SHARE_OF_GRACE, build_pipeline, drain_seconds
from tests.unit.builders import record


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def processor(events: list[Event]) -> ShardProcessor:
    settings = load(
        "s3",
        overrides={
            "applicationName": "app",
            "streamName": "stream",
            "regionName": "us-east-1",
            "AwsCredentialsProvider": "DefaultCredentialsProvider",
            "s3.bucket": "bucket",
            "shutdownGraceMillis": "10000",
        },
    )
    assert drain_seconds(settings) == 10 * DRAIN_SHARE_OF_GRACE
    return ShardProcessor(partial(build_pipeline, settings, events.append), Tip(POLLED_AHEAD))


INITIALIZE: Any = SimpleNamespace(shard_id="shardId-7", sequence_number="1", sub_sequence_number=0)


def test_a_shard_without_the_C_library_says_why(
    processor: ShardProcessor, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "found", lambda: "it is gone")
    processor.initialize(INITIALIZE)
    warnings = [each.message for each in events if isinstance(each, LogEvent) and each.level == "WARNING"]
    assert warnings == ["without the C library, which takes more CPU time: it is gone"]


def test_a_callback_before_initialize_is_a_fault_of_the_protocol(processor: ShardProcessor) -> None:
    with pytest.raises(ProtocolError):
        processor.shutdown_requested(SimpleNamespace(checkpointer=None))


def test_a_drain_that_comes_before_initialize_is_heeded(processor: ShardProcessor) -> None:
    processor.drain()
    assert processor.pipeline is None
    processor.initialize(INITIALIZE)
    assert processor.pipeline is not None
    assert processor.pipeline.state == "draining"


def test_a_drain_after_initialize_is_heeded_at_once(processor: ShardProcessor) -> None:
    processor.initialize(INITIALIZE)
    assert processor.pipeline is not None
    assert processor.pipeline.state == "running"
    processor.drain()
    assert processor.pipeline.state == "draining"


def test_the_status_tells_a_silent_kcl_from_a_callback_that_takes_long(
    processor: ShardProcessor, events: list[Event]
) -> None:
    processor.initialize(INITIALIZE)
    pipeline, status = processor.pipeline, processor.status
    assert pipeline is not None
    assert status is not None
    status.report(pipeline, waiting_since=12.5)
    status.report(pipeline, waiting_since=None)
    silent, busy = (event for event in events if isinstance(event, StatusEvent))
    assert silent.last_callback_ms == 12_500
    assert busy.last_callback_ms is not None
    assert busy.last_callback_ms > 1_600_000_000_000


def test_records_of_a_message_that_is_still_coming_count_as_read_once(processor: ShardProcessor) -> None:
    processor.initialize(INITIALIZE)
    assert processor.status is not None
    early, rest = (Records.of([record(b"{}", sequence=str(number))] * 3) for number in (1, 2))
    processor.take_early(early)
    assert processor.status.counters["records_read"] == 3
    processor.process_records(RecordsMessage(rest, 7))
    assert processor.status.counters["records_read"] == 6
    assert processor.status.counters["bytes_read"] == 6 * len(b"{}")
    assert processor.status.millis_behind_latest == 7
