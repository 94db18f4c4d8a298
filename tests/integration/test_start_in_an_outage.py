"""A start with the real KCL while the backend is down and records wait on every shard: all shards are opened."""

import json
import time
from pathlib import Path

import pytest

from consumer.local import backends
from consumer.local import stack as stacks
from consumer.local.faults.control import FaultControl
from consumer.local.faults.rules import Answer, Rule

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]

SHARDS = 3
_SETTINGS = {
    "applicationName": "outage",
    "http.port": "0",
    # so that the first message of each shard has no room for all of its records
    "chunk.max_records": "1",
    "delivery.max_in_flight_chunks": "1",
    "failoverTimeMillis": "2000",
}
_SHOWS_SECONDS = 240


def test_a_shard_whose_first_records_find_no_room_keeps_no_other_from_being_opened(tmp_path: Path) -> None:
    """KCL 3.1.3 opens no shard while the first callback of another runs, nor the next one that follows at once."""
    with stacks.running(tmp_path, shards=SHARDS) as running:
        stack = running.stack
        entries = [{"Data": b'{"n":%d}' % number, "PartitionKey": str(number)} for number in range(100)]
        stack.client("kinesis").put_records(StreamName=stack.stream, Records=entries)
        control = FaultControl(stack.aws_endpoint)
        down = Rule(action=Answer(500, "InternalError", "down"), service="s3", operation="PutObject")
        settings = {**_SETTINGS, "worker.state_dir": str(tmp_path / "workers")}
        control.put("down", down)
        with backends.started(tmp_path, {"s3": settings}) as [backend]:
            file = tmp_path / "workers" / "outage" / "status.json"
            deadline = time.monotonic() + _SHOWS_SECONDS
            while True:
                backend.check()
                told = json.loads(file.read_bytes()) if file.exists() else {"shards": []}
                waiting = [shard["shard"] for shard in told["shards"] if shard["in_flight_records"]]
                if len(waiting) == SHARDS:
                    break
                assert time.monotonic() < deadline, f"only {waiting} are open"
                time.sleep(0.2)
            assert not [shard for shard in told["shards"] if shard["counters"].get("records")]
            control.lift("down")
