"""Health with the real KCL, while nobody reads: ill soon, with a reason that names the cause, and well again."""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from consumer.local import backends
from consumer.local import stack as stacks
from consumer.local.backends import Running
from consumer.local.faults.control import FaultControl
from consumer.local.faults.rules import Action, Answer, Reset, Rule
from consumer.local.stack import Stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]

APPLICATION = "health"
_SETTINGS = {
    "applicationName": APPLICATION,
    "http.port": "0",
    "health.unread_after": "1s",  # four times failoverTimeMillis at least: 8 s here
    "failoverTimeMillis": "2000",
}
_SHOWS_SECONDS = 60


@dataclass(frozen=True)
class Daemon:
    """One backend's supervisor on a stack of its own."""

    stack: Stack
    running: Running
    state_dir: Path

    def status(self) -> dict[str, Any]:
        """As status.json has it; empty before there is one."""
        file = self.state_dir / APPLICATION / "status.json"
        return json.loads(file.read_bytes()) if file.exists() else {}

    def until(self, *, healthy: bool, reason: str = "") -> dict[str, Any]:
        """Waits for a status like this, in which a reason says so."""
        deadline = time.monotonic() + _SHOWS_SECONDS
        while True:
            self.running.check()
            status = self.status()
            named = any(reason in line for line in status.get("reasons", [])) or not reason
            if status.get("healthy") is healthy and named and (not healthy or status["shards"]):
                return status
            assert time.monotonic() < deadline, f"not {healthy=} for {reason!r} within a minute: {status}"
            time.sleep(0.2)

    def says(self, text: str) -> None:
        """Waits for a line like this in its log."""
        deadline = time.monotonic() + _SHOWS_SECONDS
        while text not in self.running.log.read_text():
            assert time.monotonic() < deadline, f"{text!r} is not in the log within a minute"
            time.sleep(0.2)

    @contextmanager
    def broken(self, action: Action, **scope: Any) -> Iterator[None]:
        control = FaultControl(self.stack.aws_endpoint)
        control.put("test", Rule(action=action, **scope))
        try:
            yield
        finally:
            control.lift("test")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("health")
    with stacks.running(folder, shards=2) as running:
        settings = {**_SETTINGS, "worker.state_dir": str(folder / "workers")}
        with backends.started(folder, {"s3": settings}) as [backend]:
            daemon = Daemon(running.stack, backend, folder / "workers")
            daemon.until(healthy=True)
            yield daemon


def test_a_stream_whose_key_is_denied_is_no_stream_that_is_read(daemon: Daemon) -> None:
    daemon.until(healthy=True)
    refusal = Answer(400, "KMSAccessDeniedException", "the key is not yours")
    with daemon.broken(refusal, service="kinesis", operation="GetRecords"):
        status = daemon.until(healthy=False, reason="not read for")
        assert any("shardId-000000000000: not read" in line for line in status["reasons"])
        assert (
            "the key is not yours"
            in daemon.until(healthy=False, reason="last error")["jvm"]["last_error"]["message"]
        )
    daemon.until(healthy=True)


def test_one_shard_that_cannot_be_opened_is_told_beside_one_that_is_read(daemon: Daemon) -> None:
    daemon.until(healthy=True)
    refusal = Answer(400, "InvalidArgumentException", "Invalid StartingSequenceNumber")
    with daemon.broken(refusal, service="kinesis", operation="GetShardIterator", body="shardId-000000000001"):
        jvm = daemon.status()["jvm"]["pid"]
        os.kill(jvm, 9)  # iterators are asked for at a start
        status = daemon.until(
            healthy=False, reason="this worker has its lease, and the KCL has started no process for it"
        )
        assert [shard["shard"] for shard in status["shards"]] == ["shardId-000000000000"]
    daemon.until(healthy=True)


def test_a_killed_jvms_successor_leads_at_once(daemon: Daemon) -> None:
    """Otherwise nobody assigns leases until the lock has run out, two minutes later."""
    daemon.until(healthy=True)
    before = _led(daemon, lambda lock: True)
    os.kill(daemon.status()["jvm"]["pid"], 9)
    _led(daemon, lambda lock: lock["recordVersionNumber"] != before["recordVersionNumber"])
    assert "which this worker's last JVM has left behind" in daemon.running.log.read_text()
    daemon.until(healthy=True)


def test_a_leader_that_has_lost_dynamodb_leads_soon_after_it_is_back(daemon: Daemon) -> None:
    """The KCL gives the lock up without an answer, and would wait for it to run out; the shards that it has lost
    meanwhile would wait with it."""
    daemon.until(healthy=True)
    before = _led(daemon, lambda lock: True)
    with daemon.broken(Reset(), service="dynamodb"):
        daemon.until(healthy=False)
        daemon.says("Failed to complete releaseLeadershipIfHeld call")
    daemon.says("which the JVM gave up without DynamoDB's answer")
    _led(daemon, lambda lock: lock["recordVersionNumber"] != before["recordVersionNumber"])
    daemon.until(healthy=True)


def _led(daemon: Daemon, suits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The lock of the KCL's leader, once somebody holds it and it suits."""
    dynamodb = daemon.stack.client("dynamodb")
    deadline = time.monotonic() + _SHOWS_SECONDS
    while True:
        found = dynamodb.get_item(
            TableName=f"{APPLICATION}-CoordinatorState", Key={"key": {"S": "Leader"}}, ConsistentRead=True
        )
        lock: dict[str, Any] = found.get("Item", {})
        if "ownerName" in lock and "isReleased" not in lock and suits(lock):
            return lock
        assert time.monotonic() < deadline, lock
        time.sleep(0.2)


def test_a_lease_table_that_is_gone_is_told(daemon: Daemon) -> None:
    daemon.until(healthy=True)
    daemon.stack.client("dynamodb").delete_table(TableName=APPLICATION)
    daemon.until(healthy=False, reason=f'lease table "{APPLICATION}" does not exist')
