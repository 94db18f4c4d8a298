"""No client ignores the proxy of the environment, and all of them read NO_PROXY alike: those of bin/start and bin/check
as those of shard processes. The KCL's are in tests/integration/test_behind_a_proxy.py."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import urllib3
from google.auth.credentials import AnonymousCredentials

from consumer.daemon.prepare import aws
from consumer.daemon.prepare.bigquery_api import BigQueryApi, token_request
from consumer.settings import Settings, load
from consumer.sinks.aws import dynamodb_client, s3_client_of
from consumer.sinks.bigquery.api.connection import HttpConnection
from consumer.sinks.bigquery.api.token import BearerToken, TokenRequest
from consumer.sinks.bigquery.storage_write.writer import GrpcWriter
from tests.unit.sinks.bigquery.forward_proxy import ForwardProxy, forward_proxy

KEYS = {"AWS_ACCESS_KEY_ID": "some", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true"}
TIMEOUTS = {"connect_timeout_seconds": 5.0, "read_timeout_seconds": 5.0}


def settings() -> Settings:
    chosen = {
        "bigquery.project": "project",
        "bigquery.dataset": "logs",
        "deadletter.bucket": "bucket",
        "bigquery.credentials": "anonymous",
        "bigquery.api_endpoint": "https://bigquery.invalid",
        "s3.endpoint_url": "https://s3.invalid",
        "kinesisEndpoint": "https://kinesis.invalid",
        "dynamoDBEndpoint": "https://dynamodb.invalid",
    }
    return load("bigquery", overrides=chosen)


def supervisors_bigquery() -> object:
    api = BigQueryApi(settings())
    return api.client.get_dataset("project.logs", **api.once)


def kcls(name: str, key: str) -> Any:
    return aws.client(aws.kcl_service(settings(), name, key))


def row_counts() -> object:
    dynamodb = dynamodb_client(region="us-east-1", endpoint_url="https://dynamodb.invalid", **TIMEOUTS)
    return dynamodb.list_tables()


def storage_write() -> object:
    token = BearerToken(AnonymousCredentials, **TIMEOUTS)
    return GrpcWriter(endpoint="https://storage.invalid", token=token, compresses=False, **TIMEOUTS).create(
        "table"
    )


CLIENTS: dict[str, tuple[str, Callable[[], Any]]] = {
    "objects": ("s3", lambda: s3_client_of(settings()).list_buckets()),
    "the supervisor's buckets": ("s3", lambda: aws.bucket_client(settings()).list_buckets()),
    "row counts": ("dynamodb", row_counts),
    "the supervisor's stream": (
        "kinesis",
        lambda: kcls("Kinesis", "kinesisEndpoint").list_streams(),
    ),
    "the supervisor's tables": (
        "dynamodb",
        lambda: kcls("DynamoDB", "dynamoDBEndpoint").list_tables(),
    ),
    "roles": ("sts", lambda: aws.client(aws.sts_service(settings())).get_caller_identity()),
    "insertAll": ("bigquery", lambda: HttpConnection.of(settings()).post("/insertAll", b"{}")),
    "load jobs": ("bigquery", lambda: HttpConnection.of(settings()).request("GET", "/jobs/1")),
    "the supervisor's BigQuery": ("bigquery", supervisors_bigquery),
    "tokens": ("oauth", lambda: TokenRequest(urllib3.Timeout(5))("https://oauth.invalid/token")),
    "the supervisor's tokens": ("oauth", lambda: token_request()("https://oauth.invalid/token")),
    "the Storage Write API": ("storage", storage_write),
}


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[ForwardProxy]:
    """Lets nobody through, which is enough to see who asks it."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "https://sts.invalid")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with forward_proxy() as running:
        running.answer = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
        yield running


@pytest.mark.parametrize("client", CLIENTS)
def test_https_proxy_is_honoured(proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch, client: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:s%3Acret@{proxy.address}")
    host, ask = CLIENTS[client]
    with pytest.raises(Exception, match=r"407|[Pp]roxy"):
        ask()
    assert {(asked.method, asked.target) for asked in proxy.seen} == {("CONNECT", f"{host}.invalid:443")}
    assert {asked.headers["proxy-authorization"] for asked in proxy.seen} == {"Basic bWU6czpjcmV0"}


@pytest.mark.parametrize("no_proxy", ["invalid", "some.example,.invalid", "{}.invalid:443,{}.invalid", "*"])
@pytest.mark.parametrize("client", CLIENTS)
def test_no_proxy_is_honoured(
    proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch, client: str, no_proxy: str
) -> None:
    host, ask = CLIENTS[client]
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", no_proxy.format(host, host))
    with pytest.raises(Exception):  # noqa: B017 - there is no such host
        ask()
    assert proxy.seen == []
