"""What is pushed, as an OTLP receiver on loopback decodes it."""

import hashlib
import hmac
import logging
from collections.abc import Iterator

import pytest
import requests
from botocore.credentials import Credentials

from consumer.daemon.metrics.cloudwatch import cloudwatch_endpoint, sign, signing_session
from consumer.daemon.metrics.otlp import OtlpPush, PushFailed
from consumer.daemon.metrics.table import METRICS
from consumer.daemon.metrics.text import render
from consumer.settings import BACKENDS
from consumer.settings.table import Backend
from tests.unit.daemon.metric_readers import as_series, receiving, series
from tests.unit.daemon.statuses import NOW, snapshot


@pytest.fixture(autouse=True)
def _loggers_as_they_were() -> Iterator[None]:
    logger = logging.getLogger("opentelemetry")
    kept = logger.propagate, logger.handlers
    yield
    logger.propagate, logger.handlers = kept


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shards", [0, 2, 64])
def test_what_is_pushed_agrees_with_metrics(backend: Backend, shards: int) -> None:
    now = snapshot(shards, backend=backend)
    with receiving() as receiver:
        OtlpPush(receiver.url, timeout_seconds=5, session=None).push(now)
    assert as_series(receiver) == series(render(now))
    assert set(receiver.paths) == {"/v1/metrics"}


def test_kinds_units_and_beginnings_are_said() -> None:
    with receiving() as receiver:
        OtlpPush(f"{receiver.url}/v1/metrics", timeout_seconds=5, session=None).push(snapshot())
    by_name = {metric.name: metric for metric in METRICS}
    for found in receiver.metrics():
        declared = by_name[found.name]
        assert (found.unit, found.description) == (declared.unit, declared.meaning)
        assert found.WhichOneof("data") == {"counter": "sum"}.get(declared.kind, declared.kind)
        for point in found.sum.data_points:
            assert found.sum.is_monotonic
            since = NOW - 3600 if declared.of_shard else NOW - 7200  # its process, or the daemon
            assert point.start_time_unix_nano == since * 10**9
    resource = receiver.requests[0].resource_metrics[0].resource
    attributes = {pair.key: pair.value.string_value for pair in resource.attributes}
    assert attributes["service.name"] == "consumer"
    assert attributes["service.instance.id"] == "s3-host"
    assert attributes["service.version"] == "1.2.3"


def test_a_refused_push_fails_with_the_reason() -> None:
    with receiving() as receiver:
        receiver.code = 403
        with pytest.raises(PushFailed, match="403"):
            OtlpPush(receiver.url, timeout_seconds=5, session=None).push(snapshot())


def test_an_endpoint_that_is_not_there_fails() -> None:
    with receiving() as receiver:
        pass
    with pytest.raises(PushFailed, match=r"(?i)timeout|refused"):
        OtlpPush(receiver.url, timeout_seconds=0.5, session=None).push(snapshot())


def test_cloudwatch_gets_signed_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    with receiving() as receiver:
        OtlpPush(receiver.url, timeout_seconds=5, session=signing_session("eu-west-1")).push(snapshot())
    headers = receiver.headers[0]
    day = headers["x-amz-date"][:8]
    method, credential, signed, signature = headers["authorization"].replace(",", "").split(" ")
    assert (method, credential) == (
        "AWS4-HMAC-SHA256",
        f"Credential=AKIDEXAMPLE/{day}/eu-west-1/monitoring/aws4_request",
    )
    names = signed.removeprefix("SignedHeaders=").split(";")
    assert {"host", "x-amz-date", "x-amz-security-token"} <= set(names)
    expected = _signature("secret", day, names, headers, receiver.bodies[0])
    assert signature == f"Signature={expected}"


def _signature(secret: str, day: str, names: list[str], headers: dict[str, str], body: bytes) -> str:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html"""
    scope = (day, "eu-west-1", "monitoring", "aws4_request")
    lines = [f"{name}:{headers[name].strip()}" for name in names]
    digest = hashlib.sha256(body).hexdigest()
    request = "\n".join(("POST", "/v1/metrics", "", *lines, "", ";".join(names), digest))
    hashed = hashlib.sha256(request.encode()).hexdigest()
    to_sign = "\n".join(("AWS4-HMAC-SHA256", headers["x-amz-date"], "/".join(scope), hashed))
    key = f"AWS4{secret}".encode()
    for part in scope:
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, to_sign.encode(), "sha256").hex()


@pytest.mark.parametrize(
    ("region", "endpoint"),
    [
        ("eu-west-1", "https://monitoring.eu-west-1.amazonaws.com/v1/metrics"),
        ("cn-north-1", "https://monitoring.cn-north-1.amazonaws.com.cn/v1/metrics"),
    ],
)
def test_the_endpoint_is_that_of_the_region_and_its_partition(region: str, endpoint: str) -> None:
    assert cloudwatch_endpoint(region) == endpoint


def test_a_signature_covers_the_body() -> None:
    def signature(body: bytes) -> str:
        request = requests.Request("POST", "https://example.com/v1/metrics", data=body).prepare()
        sign(request, Credentials("key", "secret"), region="eu-west-1")
        return str(request.headers["Authorization"])

    assert signature(b"one") != signature(b"two")
