"""Exactly once on the embedded stack: shard processes that are killed, replaced and put back, counted by SQL."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from consumer.daemon.prepare import positions
from consumer.daemon.prepare.bigquery_tables import BigQueryTables
from consumer.daemon.prepare.preparation import NotReady
from consumer.local import stack as stacks
from consumer.local.faults.control import FaultControl
from consumer.local.faults.rules import LoseAnswer, Rule
from consumer.local.stack import Stack
from consumer.settings import Settings, load
from tests.functional.harness.kcl import Kcl, Message, record

RECORDS = 600
_SETTINGS = {
    "streamName": "player-logs",
    "AwsCredentialsProvider": "DefaultCredentialsProvider",
    "bigquery.method": "storage_write",
    "retry.base": "1ms",
    "retry.max": "100ms",
    "checkpoint.interval": "100ms",
    "chunk.max_records": "50",
    "bigquery.key_digits": "0",
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stacks.running(tmp_path_factory.mktemp("stack"), shards=1) as running:
        yield running.stack
        running.check()


@pytest.fixture(scope="module")
def settings(stack: Stack) -> Settings:
    """Of shard processes, with everything there that the supervisor makes."""
    chosen = load("bigquery", overrides={**stacks.overrides(stack, "bigquery"), **_SETTINGS})
    with pytest.MonkeyPatch.context() as patch:
        for name, value in stacks.environment(stack).items():
            patch.setenv(name, value)
        with pytest.raises(NotReady):
            positions.ensure_table(chosen)
        assert "is there" in positions.ensure_table(chosen)
    tables = BigQueryTables(chosen)
    tables.ensure_dataset()
    for name in tables.names():
        tables.ensure_table(name)
    return chosen


def logs(first: int, last: int) -> list[Message]:
    now = int(time.time() * 1000)
    return [
        record(
            number,
            json.dumps({"player_id": f"{number % 16:x}{'0' * 31}", "n": number}).encode(),
            arrival_ms=now,
        )
        for number in range(first, last + 1)
    ]


def numbers(stack: Stack) -> list[int]:
    client = bigquery.Client(
        project=stack.project,
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options=ClientOptions(api_endpoint=stack.bigquery_endpoint),
    )
    sql = f"SELECT INT64(log.n) FROM `{stack.project}.{stack.dataset}.player_log` ORDER BY 1"
    return [number for (number,) in (row.values() for row in client.query_and_wait(sql))]


def test_rows_are_there_once_after_lost_answers_a_kill_two_owners_and_a_replay(
    stack: Stack, settings: Settings, tmp_path: Path
) -> None:
    faults = FaultControl(stack.bigquery_endpoint)
    faults.put("lost", Rule(action=LoseAnswer(), operation="AppendRows", probability=0.3))
    first = Kcl(settings, tmp_path / "first")
    second = Kcl(settings, tmp_path / "second")
    third = Kcl(settings, tmp_path / "third")
    try:
        first.initialize()
        first.process(logs(1, 200))
        first.tick_until_confirmed(200)
        first.give(logs(201, 300))
        second.initialize("200")
        first.kill()
        second.process(logs(201, 400))
        second.tick_until_confirmed(400)
        third.initialize("100")
        second.give(logs(401, 450))
        third.process(logs(101, RECORDS))
        third.tick_until_confirmed(RECORDS)
    finally:
        for one in (first, second, third):
            one.kill()
        assert faults.lift("lost") > 0
    assert numbers(stack) == list(range(1, RECORDS + 1))
