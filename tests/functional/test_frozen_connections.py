"""Connections that take everything and answer nothing, as behind a firewall that has forgotten them: each request is
repeated over a fresh connection and arrives once. Times are scaled; what they add up to is tested below."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import botocore.exceptions
import pytest
import urllib3
from google.auth.exceptions import TransportError

from consumer.daemon.prepare import aws as of_the_daemon
from consumer.daemon.prepare.bigquery_api import token_request
from consumer.domain.errors import TransientError
from consumer.sinks.aws import dynamodb_client, s3_client_of
from consumer.sinks.bigquery.api.token import TokenRequest
from consumer.sinks.bigquery.storage_write.writer import CHANNEL_OPTIONS
from consumer.sinks.http.client import HttpClient
from tests.functional.conftest import StartShard
from tests.functional.harness.bigquery_stub import BigQueryStub
from tests.functional.harness.dynamodb_stub import DynamoStub
from tests.functional.harness.freezing_proxy import FreezingProxy, freezing_proxy
from tests.functional.harness.http_stub import HttpStub, Reply
from tests.functional.harness.kcl import Kcl, Message, record
from tests.functional.harness.s3_stub import S3Stub
from tests.functional.harness.shard_settings import bigquery_settings, s3_settings, storage_write_settings
from tests.functional.harness.storage_write_stub import StorageWriteStub

SCALED = {
    "bigquery.read_timeout": "500ms",
    "bigquery.connect_timeout": "500ms",
    "chunk.max_records": "1",
}
SCALED_S3 = {"s3.read_timeout": "2s", "s3.connect_timeout": "2s", "chunk.max_records": "1"}
REPLACED_SECONDS = 70
SIDE_BY_SIDE = 3


@pytest.fixture
def google() -> Iterator[StorageWriteStub]:
    stub = StorageWriteStub()
    yield stub
    stub.close()


def log(number: int) -> Message:
    return record(number, json.dumps({"player_id": f"0{number:031x}", "n": number}).encode())


def deliver_around_a_freeze(kcl: Kcl, proxy: FreezingProxy) -> None:
    kcl.initialize()
    kcl.process([log(1), log(2)])
    kcl.tick_until_confirmed(2)
    before = proxy.opened
    assert before
    proxy.freeze()
    kcl.process([log(3), log(4)])
    kcl.tick_until_confirmed(4)
    assert proxy.opened > before


def test_insert_all(bigquery: BigQueryStub, s3: S3Stub, start_shard: StartShard) -> None:
    with freezing_proxy(bigquery.url) as proxy:
        settings = bigquery_settings(bigquery, s3, {**SCALED, "bigquery.api_endpoint": proxy.url})
        deliver_around_a_freeze(start_shard(settings), proxy)
    assert sorted(json.loads(row["log"])["n"] for _, _, row in bigquery.rows) == [1, 2, 3, 4]


def test_storage_write(
    google: StorageWriteStub, dynamodb: DynamoStub, s3: S3Stub, start_shard: StartShard
) -> None:
    with freezing_proxy(google.url) as proxy:
        settings = storage_write_settings(proxy.url, dynamodb.url, s3, SCALED)
        deliver_around_a_freeze(start_shard(settings), proxy)
    assert sorted(json.loads(row["log"])["n"] for row in google.rows()) == [1, 2, 3, 4]


def test_storage_write_when_the_answer_alone_is_lost(
    google: StorageWriteStub, dynamodb: DynamoStub, s3: S3Stub, start_shard: StartShard
) -> None:
    with freezing_proxy(google.url) as proxy:
        kcl = start_shard(storage_write_settings(proxy.url, dynamodb.url, s3, SCALED))

        def freeze_at_the_third(append: object) -> None:
            if len(google.appends) == 3:
                proxy.freeze()

        google.fault = freeze_at_the_third
        kcl.initialize()
        kcl.process([log(number) for number in range(1, 6)])
        kcl.tick_until_confirmed(5)
    assert sorted(json.loads(row["log"])["n"] for row in google.rows()) == [1, 2, 3, 4, 5]


def test_positions_in_dynamodb(
    google: StorageWriteStub, dynamodb: DynamoStub, s3: S3Stub, start_shard: StartShard
) -> None:
    with freezing_proxy(dynamodb.url) as proxy:
        settings = storage_write_settings(google.url, proxy.url, s3, SCALED)
        deliver_around_a_freeze(start_shard(settings), proxy)
    assert sorted(json.loads(row["log"])["n"] for row in google.rows()) == [1, 2, 3, 4]


def test_s3(s3: S3Stub, start_shard: StartShard) -> None:
    with freezing_proxy(s3.url) as proxy:
        settings = s3_settings(s3, {**SCALED_S3, "s3.endpoint_url": proxy.url})
        deliver_around_a_freeze(start_shard(settings), proxy)
    assert sorted(json.loads(line)["n"] for line in s3.lines) == [1, 2, 3, 4]
    assert s3.one_content_per_key()


class Meeting(HttpStub):
    """Answers once so many requests are there that each has a connection of its own."""

    def __init__(self) -> None:
        self._all_there = threading.Barrier(SIDE_BY_SIDE)
        super().__init__()

    def handle(self, path: str, body: bytes, number: int) -> Reply:
        self._all_there.wait()
        return Reply(200)


@pytest.fixture
def meeting() -> Iterator[Meeting]:
    stub = Meeting()
    yield stub
    stub.close()


def ask_around_a_freeze(proxy: FreezingProxy, ask: Callable[[], object], error: type[Exception]) -> None:
    """One time-out for all connections that lie idle, not one for each."""
    ask_side_by_side(ask)
    assert proxy.opened == SIDE_BY_SIDE
    proxy.freeze()
    with pytest.raises(error):
        ask()
    ask_side_by_side(ask)


def ask_side_by_side(ask: Callable[[], object]) -> None:
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        for asked in [pool.submit(ask) for _ in range(SIDE_BY_SIDE)]:
            asked.result()


def test_one_time_out_gives_up_all_idle_connections_to_bigquery(meeting: Meeting) -> None:
    with freezing_proxy(meeting.url) as proxy:
        client = HttpClient(connections=SIDE_BY_SIDE, connect_timeout_seconds=2, read_timeout_seconds=2)
        ask_around_a_freeze(proxy, lambda: client.request("POST", proxy.url, {}, b"{}"), TransientError)


def test_one_time_out_gives_up_all_idle_connections_to_aws(
    meeting: Meeting, s3: S3Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "some")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with freezing_proxy(meeting.url) as proxy:
        client = s3_client_of(s3_settings(s3, {**SCALED_S3, "s3.endpoint_url": proxy.url}))
        ask_around_a_freeze(
            proxy,
            lambda: client.put_object(Bucket="bucket", Key="key", Body=b"body"),
            botocore.exceptions.ReadTimeoutError,
        )


def test_a_token_is_fetched_over_a_fresh_connection() -> None:
    class Tokens(HttpStub):
        def handle(self, path: str, body: bytes, number: int) -> Reply:
            return Reply(200, b"{}")

    tokens = Tokens()
    try:
        with freezing_proxy(tokens.url) as proxy:
            request = TokenRequest(urllib3.Timeout(connect=2, read=2))

            def ask() -> Any:
                return request(proxy.url, method="POST", body=b"{}")

            assert ask().status == 200
            proxy.freeze()
            with pytest.raises(TransportError):
                ask()
            assert ask().status == 200
            assert tokens.requests == 2
    finally:
        tokens.close()


def test_the_times_that_are_set_replace_a_frozen_connection_soon_enough(
    bigquery: BigQueryStub, s3: S3Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "some")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    for_s3, for_bigquery = s3_settings(s3), bigquery_settings(bigquery, s3)
    timeouts = {
        "connect_timeout_seconds": for_bigquery.seconds("bigquery.connect_timeout"),
        "read_timeout_seconds": for_bigquery.seconds("bigquery.read_timeout"),
    }
    # insertAll, appends, streams, tokens
    assert sum(timeouts.values()) < REPLACED_SECONDS
    configurations = [
        s3_client_of(for_s3).meta.config,
        dynamodb_client(region="us-east-1", endpoint_url=None, **timeouts).meta.config,
        of_the_daemon.client(of_the_daemon.kcl_service(for_s3, "DynamoDB", "dynamoDBEndpoint")).meta.config,
    ]
    for each in configurations:
        assert each.connect_timeout + each.read_timeout < REPLACED_SECONDS
        assert each.retries["total_max_attempts"] == 1
    assert token_request().keywords["timeout"] < REPLACED_SECONDS
    options = dict(CHANNEL_OPTIONS)
    assert options["grpc.keepalive_time_ms"] + options["grpc.keepalive_timeout_ms"] < REPLACED_SECONDS * 1000
    assert options["grpc.keepalive_permit_without_calls"]
