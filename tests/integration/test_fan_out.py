"""Enhanced fan-out through the real KCL: it registers as a consumer, and what is pushed to it is delivered once."""

import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from consumer.local import stack as stacks
from consumer.local import tethered
from consumer.local.child import tail
from consumer.local.faults.control import FaultControl
from consumer.local.faults.rules import Delay, Rule
from consumer.local.generate import Logs, midnight_today
from consumer.local.limits.table import Limits
from consumer.local.put import Target, put
from consumer.local.readback import S3Reader, dead_letters, records_named
from consumer.local.stack import Stack
from consumer.local.verify import Verifier

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

DEADLINE_SECONDS = 200
COUNTED = ("RegisterStreamConsumer", "SubscribeToShard", "GetRecords")


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with stacks.running(tmp_path, shards=1, limits=Limits()) as running:
        yield running.stack


def test_records_are_pushed_through_a_split_and_none_is_polled_for(stack: Stack, tmp_path: Path) -> None:
    control = FaultControl(stack.aws_endpoint)
    for operation in COUNTED:
        control.put(operation, Rule(service="kinesis", operation=operation, action=Delay(0)))
    kinesis = stack.client("kinesis")
    target = Target(kinesis, stack.stream)
    made = Logs(count=600, seed=4, base_time=midnight_today(datetime.now(UTC))).lines()
    logs = list(made)
    put(logs[:300], target)
    chosen = {"retrievalMode": "FANOUT", "chunk.window": "1s", "chunk.grace": "1s", "http.port": "0"}
    chosen["worker.state_dir"] = str(tmp_path / "state")
    log = tmp_path / "s3.log"
    reader = S3Reader(stack, "player-log/")
    with log.open("wb") as output:
        arguments = ("start", "s3", "--local", *(f"--set={key}={text}" for key, text in chosen.items()))
        daemon = tethered.spawn(*arguments, state_dir=tmp_path, stdout=output, stderr=output)
    deadline = time.monotonic() + DEADLINE_SECONDS

    def wait_for(count: int) -> None:
        while records_named(reader.keys()) < count:
            assert daemon.poll() is None, tail(log)
            assert time.monotonic() < deadline, tail(log)
            time.sleep(0.5)

    try:
        wait_for(300)
        middle = str(2**127)
        kinesis.split_shard(
            StreamName=stack.stream, ShardToSplit="shardId-000000000000", NewStartingHashKey=middle
        )
        put(logs[300:], target)
        wait_for(600)
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(60) == 0, tail(log)
    finally:
        daemon.kill()
        daemon.wait()
    result = Verifier(logs).s3(reader.lines(), dead_letters(()))
    assert result.clean, result
    hits = control.hits()
    assert hits["RegisterStreamConsumer"] == 1
    assert hits["SubscribeToShard"] >= 3  # of the parent and of both children
    assert hits["GetRecords"] == 0
    summary = kinesis.describe_stream_summary(StreamName=stack.stream)["StreamDescriptionSummary"]
    consumers = kinesis.list_stream_consumers(StreamARN=summary["StreamARN"])["Consumers"]
    assert [one["ConsumerName"] for one in consumers] == ["player-log-s3"]
