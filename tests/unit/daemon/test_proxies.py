"""What is told of proxies, and what the JVM gets."""

import os

import pytest
from botocore.utils import get_environ_proxies

from consumer.daemon.commands.check import check_main
from consumer.daemon.commands.questions import check_proxies
from consumer.daemon.commands.start import start_main
from consumer.daemon.prepare import proxies
from consumer.daemon.prepare.preparation import Unusable
from consumer.daemon.prepare.proxies import exempt_metadata, java_options, proxy_lines
from consumer.daemon.prepare.question import Answer
from consumer.domain.errors import SetupError
from consumer.settings import Backend, Settings, load
from consumer.sinks.bigquery.api.connection import DEFAULT_ENDPOINT
from consumer.sinks.bigquery.storage_write import writer
from consumer.sinks.http.proxies import proxy_of

OVERRIDES: dict[Backend, dict[str, str]] = {
    "s3": {"s3.bucket": "bucket"},
    "bigquery": {"bigquery.project": "project", "bigquery.dataset": "logs", "deadletter.bucket": "bucket"},
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No keys, and no trace of what commands add to it."""
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def settings(backend: Backend = "bigquery", **overrides: str) -> Settings:
    named = {key.replace("__", "."): text for key, text in overrides.items()}
    return load(backend, overrides={**OVERRIDES[backend], **named})


def test_the_addresses_are_those_that_shard_processes_ask() -> None:
    assert proxies.BIGQUERY == DEFAULT_ENDPOINT
    assert proxies.STORAGE_WRITE == writer.DEFAULT_ENDPOINT


def test_without_a_proxy_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "example.com")
    assert proxy_lines(settings()) == []
    assert check_proxies(settings()) == "none is used"


def test_each_service_is_told_with_its_proxy_and_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", ".amazonaws.com,169.254.169.254")
    assert proxy_lines(settings()) == [
        "HTTPS_PROXY: BigQuery, Google's tokens by the proxy proxy.example:3128",
        "without a proxy: Kinesis, DynamoDB, CloudWatch, STS, S3",
    ]
    assert proxy_lines(settings("s3")) == []
    monkeypatch.delenv("NO_PROXY")
    assert proxy_lines(settings("s3")) == [
        "HTTPS_PROXY: Kinesis, DynamoDB, CloudWatch, STS, S3 by the proxy proxy.example:3128"
    ]


def test_what_counts_for_all_is_unknown_to_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://proxy.example:3128")
    chosen = settings(bigquery__method="storage_write", bigquery__credentials="anonymous")
    assert proxy_lines(chosen) == [
        "ALL_PROXY: BigQuery, its Storage Write API by the proxy proxy.example:3128",
        "without a proxy: Kinesis, DynamoDB, CloudWatch, STS, S3",
    ]


def test_an_endpoint_of_ones_own_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "proxy.example:3128")
    chosen = settings("s3", s3__endpoint_url="http://s3.example:9000")
    assert proxy_lines(chosen) == [
        "http_proxy: S3 by the proxy proxy.example:3128",
        "without a proxy: Kinesis, DynamoDB, CloudWatch, STS",
    ]


def test_a_proxy_that_is_of_no_use_is_said_for_s3_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://proxy.example:1080")
    assert proxy_lines(settings("s3")) == []
    monkeypatch.setenv("HTTPS_PROXY", "socks5://proxy.example:1080")
    with pytest.raises(SetupError, match=r"socks5:// cannot be used for kinesis\..*HTTPS_PROXY"):
        proxy_lines(settings("s3"))
    monkeypatch.setenv("HTTPS_PROXY", "https://proxy.example")
    with pytest.raises(SetupError, match=r"https:// cannot be used for kinesis\."):
        proxy_lines(settings("s3"))
    monkeypatch.setenv("NO_PROXY", "amazonaws.com")
    chosen = settings("s3", s3__endpoint_url="https://s3.example")
    assert proxy_lines(chosen)[0] == "HTTPS_PROXY: S3 by the proxy proxy.example:443"


@pytest.mark.parametrize("value", ["socks5://proxy.example:1080", "http://me:secret@:1"])
def test_a_proxy_that_cannot_be_used_ends_the_start_and_the_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    with pytest.raises(SetupError):
        proxy_lines(settings())
    with pytest.raises(Unusable, match="HTTPS_PROXY"):
        check_proxies(settings())
    arguments = [f"--set={key}={text}" for key, text in OVERRIDES["bigquery"].items()]
    assert start_main(["bigquery", *arguments]) == 1
    said = capsys.readouterr().err
    assert "(see HTTPS_PROXY)" in said.splitlines()[-1]
    assert "secret" not in said


def test_the_credentials_of_an_instance_do_not_come_by_a_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address = "http://169.254.169.254/latest/meta-data/iam/security-credentials/"
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", ".example")
    assert proxy_of(address) is not None
    arguments = [f"--set={key}={text}" for key, text in OVERRIDES["s3"].items()]
    asked: list[object] = []

    def ask(settings: Settings) -> list[Answer]:
        asked.extend((proxy_of(address), get_environ_proxies(address), proxy_of("http://s3.example")))
        return []

    assert check_main(["s3", *arguments], ask_world=ask) == 0
    assert asked == [None, {}, None]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, None),
        ({"NO_PROXY": "a"}, None),
        ({"https_proxy": "http://p:1"}, "169.254.169.254,[fd00:ec2::254]"),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "a"}, "a,169.254.169.254,[fd00:ec2::254]"),
        (
            {"HTTP_PROXY": "http://p:1", "NO_PROXY": "a", "no_proxy": "b"},
            "b,169.254.169.254,[fd00:ec2::254]",
        ),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "*"}, None),
    ],
)
def test_what_is_asked_directly_stays_so_when_metadata_are(
    given: dict[str, str], expected: str | None
) -> None:
    assert exempt_metadata(given) == (
        {} if expected is None else {"no_proxy": expected, "NO_PROXY": expected}
    )


def test_the_kcl_has_the_proxy_of_https_and_not_that_of_http(monkeypatch: pytest.MonkeyPatch) -> None:
    assert java_options(settings()) == []
    monkeypatch.setenv("HTTP_PROXY", "http://other.example:1")
    assert java_options(settings()) == ["-Dhttp.proxyHost=none", "-Dhttp.nonProxyHosts=*"]
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example")
    monkeypatch.setenv("NO_PROXY", ".corp.example, sts.us-east-1.amazonaws.com:443 ,host(,10.0.0.0/8")
    hosts = "corp.example|*.corp.example|169.254.169.254|[fd00:ec2::254]|169.254.*"
    assert java_options(settings(regionName="us-east-1")) == [
        "-Dhttp.proxyHost=proxy.example",
        "-Dhttp.proxyPort=80",
        f"-Dhttp.nonProxyHosts={hosts}",
    ]
    chosen = settings(dynamoDBEndpoint="https://dynamodb.corp.example")
    assert java_options(chosen)[2] == f"-Dhttp.nonProxyHosts=dynamodb.corp.example|{hosts}"
    monkeypatch.setenv("HTTPS_PROXY", "http://me:s%3Ac@proxy.example:3128")
    assert java_options(settings())[3:] == ["-Dhttp.proxyUser=me", "-Dhttp.proxyPassword=s:c"]
    assert java_options(settings(jvm__options="-Dhttp.proxyHost=mine")) == []
    monkeypatch.setenv("NO_PROXY", "*")
    assert java_options(settings()) == ["-Dhttp.proxyHost=none", "-Dhttp.nonProxyHosts=*"]


def test_two_proxies_for_the_kcl_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("http_proxy", "http://other.example:3128")
    chosen = settings("s3", dynamoDBEndpoint="http://dynamodb.example")
    with pytest.raises(
        SetupError, match=r"not proxy\.example:3128 for Kinesis and other.*DynamoDB.*\(see http_proxy\)"
    ):
        proxy_lines(chosen)
    monkeypatch.setenv("HTTPS_PROXY", "http://other.example:3128")
    assert java_options(chosen)[0] == "-Dhttp.proxyHost=other.example"
