"""What is told of proxies, and what the JVM gets."""

import os

import pytest

from consumer.daemon.commands.questions import check_proxies
from consumer.daemon.commands.start import start_main
from consumer.daemon.prepare import proxies
from consumer.daemon.prepare.preparation import Unusable
from consumer.daemon.prepare.proxies import metadata_warning, no_proxy_for_java, proxy_lines
from consumer.domain.errors import SetupError
from consumer.settings import Backend, Settings, load
from consumer.sinks.bigquery.api.connection import DEFAULT_ENDPOINT
from consumer.sinks.bigquery.storage_write import writer

OVERRIDES: dict[Backend, dict[str, str]] = {
    "s3": {"s3.bucket": "bucket"},
    "bigquery": {"bigquery.project": "project", "bigquery.dataset": "logs", "deadletter.bucket": "bucket"},
}


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("AWS_"):
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
        "without a proxy: Kinesis, DynamoDB, STS, S3",
    ]
    assert proxy_lines(settings("s3")) == []
    monkeypatch.delenv("NO_PROXY")
    assert proxy_lines(settings("s3")) == [
        "HTTPS_PROXY: Kinesis, DynamoDB, STS, S3 by the proxy proxy.example:3128"
    ]


def test_what_counts_for_all_is_unknown_to_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://proxy.example:3128")
    chosen = settings(bigquery__method="storage_write", bigquery__credentials="anonymous")
    assert proxy_lines(chosen) == [
        "ALL_PROXY: BigQuery, its Storage Write API by the proxy proxy.example:3128",
        "without a proxy: Kinesis, DynamoDB, STS, S3",
    ]


def test_an_endpoint_of_ones_own_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "proxy.example:3128")
    chosen = settings("s3", s3__endpoint_url="http://s3.example:9000")
    assert proxy_lines(chosen) == [
        "http_proxy: S3 by the proxy proxy.example:3128",
        "without a proxy: Kinesis, DynamoDB, STS",
    ]


def test_a_proxy_that_is_of_no_use_is_said_for_s3_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://proxy.example:1080")
    assert proxy_lines(settings("s3")) == []
    monkeypatch.setenv("HTTPS_PROXY", "socks5://proxy.example:1080")
    with pytest.raises(SetupError, match=r"socks5:// cannot be used for kinesis\..*HTTPS_PROXY"):
        proxy_lines(settings("s3"))
    monkeypatch.setenv("HTTPS_PROXY", "https://proxy.example")
    assert proxy_lines(settings("s3"))[0].endswith("by the proxy proxy.example:443")


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


def test_the_credentials_of_an_instance_do_not_come_by_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert metadata_warning({}) is None
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    warning = metadata_warning({})
    assert warning is not None
    assert warning.endswith("add 169.254.169.254 to NO_PROXY")
    with pytest.raises(Unusable, match=r"169\.254\.169\.254"):
        check_proxies(settings())
    assert metadata_warning({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/role"}) is None
    assert metadata_warning({"AWS_EC2_METADATA_DISABLED": "true"}) is None
    monkeypatch.setenv("NO_PROXY", "169.254.169.254")
    assert metadata_warning({}) is None


def test_names_that_stand_for_all_that_end_with_them_have_a_star_for_java() -> None:
    given = {
        "NO_PROXY": ".amazonaws.com, example.com,host:8080,10.0.0.0/8,*.other",
        "no_proxy": "*",
        "HTTP_PROXY": "http://p:1",
    }
    assert no_proxy_for_java(given) == {
        "NO_PROXY": ".amazonaws.com,amazonaws.com,*.amazonaws.com,example.com,*.example.com,"
        "host:8080,10.0.0.0/8,*.other",
        "no_proxy": "*",
    }
    assert no_proxy_for_java({"NO_PROXY": ""}) == {}
