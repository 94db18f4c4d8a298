"""The supervisor's client of BigQuery against servers on the loopback interface."""

from collections.abc import Iterator
from typing import Any

import google.auth.exceptions
import pytest
import requests.exceptions

from consumer.daemon.prepare.bigquery_api import BigQueryApi, NotFound, blame_proxy, token_request
from consumer.daemon.prepare.preparation import Mendable, Unusable
from consumer.settings import load
from tests.unit.sinks.bigquery.loopback import Loopback, loopback_server, status

make_error: Any = google.auth.exceptions.TransportError  # google-auth has hardly any types


@pytest.fixture
def server() -> Iterator[Loopback]:
    with loopback_server() as running:
        yield running


@pytest.fixture
def other() -> Iterator[Loopback]:
    with loopback_server() as running:
        yield running


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_what_a_token_is_given_for_does_not_follow_a_redirect(
    server: Loopback, other: Loopback, code: int
) -> None:
    server.answers = [status(code, Location=f"{other.url}/token")]
    with pytest.raises(google.auth.exceptions.TransportError, match="redirects"):
        token_request()(f"{server.url}/token", method="POST", body=b"grant")
    assert other.seen == []


def test_a_request_does_not_follow_a_redirect(server: Loopback, other: Loopback) -> None:
    server.answers = [status(307, Location=f"{other.url}/bigquery")]
    overrides = {
        "bigquery.project": "project",
        "bigquery.dataset": "logs",
        "deadletter.bucket": "bucket",
        "bigquery.credentials": "anonymous",
        "bigquery.api_endpoint": server.url,
    }
    api = BigQueryApi(load("bigquery", overrides=overrides))
    with pytest.raises(Unusable, match=r"^bigquery.api_endpoint: .* a redirect, which is not followed"):
        api.ask(lambda: api.client.get_dataset("project.logs", **api.once))
    assert other.seen == []


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"error":{"code":404,"message":"no dataset","errors":[{"reason":"notFound"}]}}', NotFound),
        (b"<html>nothing here</html>", Unusable),
    ],
)
def test_what_answers_in_bigquerys_place_is_not_taken_for_a_missing_dataset(
    server: Loopback, body: bytes, found: type[Exception]
) -> None:
    server.answers = [status(404, body)]
    overrides = {
        "bigquery.project": "project",
        "bigquery.dataset": "logs",
        "deadletter.bucket": "bucket",
        "bigquery.credentials": "anonymous",
        "bigquery.api_endpoint": server.url,
    }
    api = BigQueryApi(load("bigquery", overrides=overrides))
    with pytest.raises(found) as caught:
        api.ask(lambda: api.client.get_dataset("project.logs", **api.once))
    assert found is NotFound or str(caught.value).startswith("bigquery.api_endpoint: what answers 404 is not")


@pytest.mark.parametrize("error", [requests.exceptions.ProxyError, make_error])
def test_a_proxy_that_refuses_is_told_and_asked_again(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    said = "Tunnel connection failed: 407 Proxy Authentication Required"
    blame_proxy(error(said))
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@proxy.example:3128")
    with pytest.raises(Mendable, match=r"proxy\.example:3128 wants a user.*\(see HTTPS_PROXY\)") as caught:
        blame_proxy(error(said))
    assert "secret" not in str(caught.value)
    blame_proxy(error("Connection reset by peer"))
