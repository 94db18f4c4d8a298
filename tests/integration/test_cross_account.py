"""A stream of another account, read through the real KCL with a role of that account; all else with our own."""

import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest

from consumer.daemon.commands.questions import ask_all, checks_of
from consumer.local import stack as stacks
from consumer.local import tethered
from consumer.local.child import tail
from consumer.local.generate import Logs, midnight_today
from consumer.local.put import Target, put
from consumer.local.readback import S3Reader, dead_letters, records_named
from consumer.local.stack import Stack
from consumer.local.verify import Verifier
from consumer.settings import load

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

ROLE = "arn:aws:iam::222222222222:role/stream-reader"
STREAM = "their-logs"
DEADLINE_SECONDS = 120


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with stacks.running(tmp_path) as running:
        yield running.stack


def theirs(stack: Stack, service: str) -> Any:
    """A client in the stream's account."""
    keys = stack.client("sts").assume_role(RoleArn=ROLE, RoleSessionName="test")["Credentials"]
    return boto3.client(
        service,
        endpoint_url=stack.aws_endpoint,
        region_name=stack.region,
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )


def test_a_role_reads_the_stream_and_our_own_keeps_leases_and_delivers(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinesis = theirs(stack, "kinesis")
    kinesis.create_stream(StreamName=STREAM, ShardCount=1)
    logs = list(Logs(count=300, seed=4, base_time=midnight_today(datetime.now(UTC))).lines())
    put(logs, Target(kinesis, STREAM))
    chosen = {
        "streamName": STREAM,
        "kinesis.role_arn": ROLE,
        "kinesis.role_external_id": "agreed/1",
        "chunk.window": "1s",
        "chunk.grace": "1s",
        "http.port": "0",
        "worker.state_dir": str(tmp_path / "state"),
    }
    for name, value in stacks.environment(stack).items():
        monkeypatch.setenv(name, value)
    overrides = {**stacks.overrides(stack, "s3"), **chosen}
    answers = {one.name: one for one in ask_all(checks_of(load("s3", overrides=overrides), now=time.time))}
    assert answers["stream"].ok
    assert answers["stream"].message.endswith(f"and can be read as {ROLE}")
    without = {key: text for key, text in overrides.items() if not key.startswith("kinesis.")}
    answers = {one.name: one for one in ask_all(checks_of(load("s3", overrides=without), now=time.time))}
    assert not answers["stream"].ok

    log = tmp_path / "s3.log"
    reader = S3Reader(stack, "player-log/")
    with log.open("wb") as output:
        arguments = ("start", "s3", "--local", *(f"--set={key}={text}" for key, text in chosen.items()))
        daemon = tethered.spawn(*arguments, state_dir=tmp_path, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while records_named(reader.keys()) < len(logs):
            assert daemon.poll() is None, tail(log)
            assert time.monotonic() < deadline, tail(log)
            time.sleep(0.5)
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(60) == 0, tail(log)
    finally:
        daemon.kill()
        daemon.wait()
    result = Verifier(logs).s3(reader.lines(), dead_letters(()))
    assert result.clean, result
    assert stack.client("dynamodb").scan(TableName="player-log-s3")["Count"] == 1
    assert theirs(stack, "dynamodb").list_tables()["TableNames"] == []
