"""The first start of an application through the real KCL: its tables are there before it, the index among them."""

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
from consumer.local.put import Target, put
from consumer.local.readback import S3Reader, records_named
from consumer.local.stack import Stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

DEADLINE_SECONDS = 150
INDEX = "LeaseOwnerToLeaseKeyIndex"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with stacks.running(tmp_path) as running:
        yield running.stack


def test_the_kcl_finds_its_tables_and_the_index_and_uses_them(stack: Stack, tmp_path: Path) -> None:
    control = FaultControl(stack.aws_endpoint)
    for operation in ("CreateTable", "UpdateTable", "Query"):
        control.put(operation, Rule(service="dynamodb", operation=operation, action=Delay(0)))
    logs = list(Logs(count=100, seed=4, base_time=midnight_today(datetime.now(UTC))).lines())
    put(logs, Target(stack.client("kinesis"), stack.stream))
    chosen = {"chunk.window": "1s", "chunk.grace": "1s", "http.port": "0"}
    chosen["worker.state_dir"] = str(tmp_path / "state")
    log = tmp_path / "s3.log"
    reader = S3Reader(stack, "player-log/")
    with log.open("wb") as output:
        arguments = ("start", "s3", "--local", *(f"--set={key}={text}" for key, text in chosen.items()))
        daemon = tethered.spawn(*arguments, state_dir=tmp_path, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while records_named(reader.keys()) < len(logs) or not control.hits()["Query"]:
            assert daemon.poll() is None, tail(log)
            assert time.monotonic() < deadline, tail(log)
            time.sleep(0.5)
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(60) == 0, tail(log)
    finally:
        daemon.kill()
        daemon.wait()
    hits = control.hits()
    assert (hits["CreateTable"], hits["UpdateTable"]) == (3, 0)
    table = stack.client("dynamodb").describe_table(TableName="player-log-s3")["Table"]
    [index] = table["GlobalSecondaryIndexes"]
    assert (index["IndexName"], index["Projection"]) == (INDEX, {"ProjectionType": "KEYS_ONLY"})
    assert [key["AttributeName"] for key in index["KeySchema"]] == ["leaseOwner", "leaseKey"]
