"""storage_write where Google's limits hold: tables quiet for days, stops of a week, crash loops of many shards."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import urllib3
from botocore.exceptions import ClientError
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from consumer.daemon.prepare import positions
from consumer.daemon.prepare.bigquery_tables import BigQueryTables
from consumer.daemon.prepare.preparation import NotReady
from consumer.local import stack as stacks
from consumer.local.limits import control
from consumer.local.limits.table import Limits
from consumer.local.stack import Stack
from consumer.settings import Settings, load
from tests.functional.harness.kcl import Kcl, Message, record

APPEND = "/google.cloud.bigquery.storage.v1.BigQueryWrite/AppendRows"
HOUR, DAY = 3600, 86_400
TABLES, CRASHES = 16, 3
AHEAD = Path(__file__).parents[1] / "functional" / "harness" / "ahead.py"
_SETTINGS = {
    "streamName": "player-logs",
    "AwsCredentialsProvider": "DefaultCredentialsProvider",
    "bigquery.method": "storage_write",
    "retry.base": "1ms",
    "retry.max": "100ms",
    "checkpoint.interval": "100ms",
    "chunk.max_records": str(TABLES),
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    # a byte a second, so that a shard is closed for long enough to be seen
    limits = Limits(given={"kinesis.read_bytes": 1})
    with stacks.running(tmp_path_factory.mktemp("stack"), shards=1, limits=limits) as running:
        yield running.stack
        running.check()


@pytest.fixture(scope="module")
def settings(stack: Stack) -> Settings:
    """Of shard processes, with everything there that the supervisor makes: sixteen tables."""
    chosen = load("bigquery", overrides={**stacks.overrides(stack, "bigquery"), **_SETTINGS})
    with pytest.MonkeyPatch.context() as patch:
        for name, value in stacks.environment(stack).items():
            patch.setenv(name, value)
        with pytest.raises(NotReady):
            positions.ensure_table(chosen)
        positions.ensure_table(chosen)
    tables = BigQueryTables(chosen)
    tables.ensure_dataset()
    for name in tables.names():
        tables.ensure_table(name)
    return chosen


def log(number: int, key: int, shard: int) -> Message:
    content = {"player_id": f"{key:x}{'0' * 31}", "n": number, "shard": shard}
    return record(number, json.dumps(content).encode(), arrival_ms=int(time.time() * 1000))


def counted(stack: Stack, shard: int) -> Counter[int]:
    """How often each number is in the tables."""
    client = bigquery.Client(
        project=stack.project,
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options=ClientOptions(api_endpoint=stack.bigquery_endpoint),
    )
    found: Counter[int] = Counter()
    for key in range(TABLES):
        table = f"`{stack.project}.{stack.dataset}.player_log_{key:x}`"
        sql = f"SELECT INT64(log.n), COUNT(*) FROM {table} WHERE INT64(log.shard) = {shard} GROUP BY 1"
        found.update(dict(row.values() for row in client.query_and_wait(sql)))
    return found


def once(last: int) -> Counter[int]:
    return Counter(range(1, last + 1))


def test_the_embedded_kinesis_closes_a_shard_until_an_answer_is_paid_for(stack: Stack) -> None:
    client = stack.client("kinesis", retries={"total_max_attempts": 1})
    client.put_record(StreamName=stack.stream, Data=bytes(100_000), PartitionKey="p")
    shard = client.list_shards(StreamName=stack.stream)["Shards"][0]["ShardId"]
    found = client.get_shard_iterator(
        StreamName=stack.stream, ShardId=shard, ShardIteratorType="TRIM_HORIZON"
    )
    iterator = found["ShardIterator"]
    assert len(client.get_records(ShardIterator=iterator)["Records"]) == 1
    with pytest.raises(ClientError, match=f"Rate exceeded for shard {shard} in stream") as failure:
        client.get_records(ShardIterator=iterator)
    assert failure.value.response["Error"]["Code"] == "ProvisionedThroughputExceededException"
    control.let_pass(stack.aws_endpoint, 100_000)
    assert len(client.get_records(ShardIterator=iterator)["Records"]) == 1


def test_the_embedded_bigquery_takes_no_rows_of_far_away_partitions(stack: Stack, settings: Settings) -> None:
    rows = [
        {"json": {"player_id": "0", "time": moment, "log": "{}"}} for moment in ("1999-01-01T00:00:00Z", None)
    ]
    path = f"/bigquery/v2/projects/{stack.project}/datasets/{stack.dataset}/tables/player_log_0/insertAll"
    answer = urllib3.request("POST", f"{stack.bigquery_endpoint}{path}", json={"rows": rows}).json()
    errors = [one["errors"][0] for one in answer["insertErrors"]]
    assert [error["reason"] for error in errors] == ["invalid", "stopped"]
    assert "for field time of the destination table" in errors[0]["message"]


def test_the_embedded_bigquery_ends_calls_without_a_request(stack: Stack) -> None:
    never = threading.Event()
    with grpc.insecure_channel(stack.bigquery_grpc) as channel:
        call = channel.stream_stream(APPEND)(iter(never.wait, True), timeout=60)
        while call.is_active():
            control.let_pass(stack.bigquery_endpoint, 601)
        never.set()
    assert call.code() is grpc.StatusCode.ABORTED
    assert "inactive for 600 seconds" in call.details()


def test_tables_that_see_a_row_every_three_days_hold_nobody(
    stack: Stack, settings: Settings, tmp_path: Path
) -> None:
    """The shard process lives on, and days pass for it and for BigQuery alike: it gives the streams up in time."""
    clock = tmp_path / "ahead"
    ahead = 0

    def let_pass(seconds: int) -> None:
        nonlocal ahead
        ahead += seconds
        clock.write_text(str(ahead))
        control.let_pass(stack.bigquery_endpoint, seconds)

    let_pass(0)
    expired = limit(stack, "storage_write.idle_stream")["refused"]
    opened = limit(stack, "storage_write.creates")["counted"]
    kcl = Kcl(settings, tmp_path, program=(str(AHEAD), str(clock)))
    try:
        for start in range(3):
            deliver(kcl, 3, start, initialize=start == 0)
            let_pass(7 * HOUR)
            kcl.process([], behind_ms=0)
            let_pass(3 * DAY)
            kcl.process([], behind_ms=0)
        kcl.shut_down()
    finally:
        kcl.kill()
    assert counted(stack, 3) == once(3 * TABLES)
    assert limit(stack, "storage_write.idle_stream")["refused"] == expired
    assert limit(stack, "storage_write.creates")["counted"] - opened == 3 * TABLES


@pytest.mark.parametrize("orderly", [True, False])
def test_after_a_week_a_shard_goes_on_where_it_was(
    stack: Stack, settings: Settings, tmp_path: Path, orderly: bool
) -> None:
    shard = 1 if orderly else 2
    for start in range(3):
        kcl = Kcl(settings, tmp_path / str(start))
        try:
            deliver(kcl, shard, start)
            if orderly:
                kcl.shut_down()
        finally:
            kcl.kill()
        control.let_pass(stack.bigquery_endpoint, 7 * DAY)
    assert counted(stack, shard) == once(3 * TABLES)


def test_a_crash_loop_opens_no_more_streams_than_a_shards_share_of_the_quota(
    stack: Stack, settings: Settings, tmp_path: Path
) -> None:
    """Each start of a shard ends by SIGKILL, after it has written to every table: twenty starts of eight shards open
    2,560 streams, of 10,000 an hour."""
    before = limit(stack, "storage_write.creates")
    for start in range(CRASHES):
        kcl = Kcl(settings, tmp_path / str(start))
        try:
            deliver(kcl, 4, start)
        finally:
            kcl.kill()
    after = limit(stack, "storage_write.creates")
    assert TABLES <= after["counted"] - before["counted"] <= CRASHES * TABLES
    assert after["limit"] >= 20 * 8 * TABLES
    assert after["refused"] == 0
    assert counted(stack, 4) == once(CRASHES * TABLES)


def deliver(kcl: Kcl, shard: int, start: int, *, initialize: bool = True) -> None:
    """A row to each table, from where the start before it has left off."""
    first = start * TABLES
    if initialize:
        kcl.initialize(str(first) if start else "TRIM_HORIZON", shard=f"shardId-{shard:012}")
    kcl.process([log(first + 1 + key, key, shard) for key in range(TABLES)])
    kcl.tick_until_confirmed(first + TABLES)


def limit(stack: Stack, name: str) -> dict[str, Any]:
    """What was counted and refused so far."""
    found: dict[str, Any] = control.report(stack.bigquery_endpoint)["limits"].get(name)
    return found or {"counted": 0, "refused": 0}
