"""The connection to BigQuery, against a server on the loopback interface."""

import gzip
import socket
from collections.abc import Callable, Iterator
from typing import Any

import google.auth
import pytest
from google.auth import exceptions as google_exceptions
from google.oauth2 import credentials as google_credentials

from consumer.domain.errors import SetupError, TransientError
from consumer.settings import load
from consumer.sinks.bigquery.api.connection import DEFAULT_ENDPOINT, HttpConnection, is_trusted
from consumer.sinks.bigquery.api.identity import GoogleIdentity
from tests.unit.sinks.bigquery import loopback
from tests.unit.sinks.bigquery.loopback import Loopback, loopback_server, status, unused_port

# google-auth has hardly any types
exceptions: Any = google_exceptions
make_credentials: Any = google_credentials.Credentials

PATH = "/bigquery/v2/projects/p/datasets/d/tables/t/insertAll"


@pytest.fixture
def server() -> Iterator[Loopback]:
    with loopback_server() as running:
        yield running


def connection(
    endpoint: str | None,
    *,
    credentials: str = "anonymous",
    read_seconds: float = 10,
    compresses: bool = False,
) -> HttpConnection:
    identity = GoogleIdentity(kind=credentials, aws_region="eu-west-1")
    return HttpConnection(
        endpoint=endpoint,
        identity=identity,
        connections=2,
        read_timeout_seconds=read_seconds,
        compresses=compresses,
    )


class Renewable(make_credentials):  # type: ignore[misc]
    """Its tokens are counted: the next one comes with the next refresh."""

    def __init__(self) -> None:
        super().__init__(token="0")
        self.renewals = 0

    def refresh(self, request: object) -> None:
        self.renewals += 1
        self.token = str(self.renewals)


def give(credentials: object) -> Callable[..., tuple[object, str]]:
    return lambda **_: (credentials, "project")


def test_status_and_body_come_back(server: Loopback) -> None:
    server.answers = [status(200, b'{"kind":"k"}')]
    assert connection(server.url).post(PATH, b'{"rows":[]}') == (200, b'{"kind":"k"}')
    (seen,) = server.seen
    assert (seen.path, seen.body) == (PATH, b'{"rows":[]}')
    assert seen.headers["content-type"] == "application/json"
    assert "authorization" not in seen.headers


def test_what_is_posted_is_packed_where_that_is_worth_it(server: Loopback) -> None:
    server.answers = [status(200)] * 3
    large, small = b'{"rows":[%b]}' % (b"1," * 5000), b'{"rows":[]}'
    packing = connection(server.url, compresses=True)
    for body in (large, bytearray(large), small):
        packing.post(PATH, body)
    packed, also_packed, plain = server.seen
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == gzip.decompress(also_packed.body) == large
    assert len(packed.body) < len(large) / 4
    assert plain.body == small
    assert "content-encoding" not in plain.headers


@pytest.mark.parametrize(
    ("chosen", "compresses"),
    [
        ({}, True),
        ({"bigquery.api_endpoint": "http://127.0.0.1:1"}, False),
        ({"bigquery.api_endpoint": "http://127.0.0.1:1", "bigquery.compression": "gzip"}, True),
        ({"bigquery.compression": "none"}, False),
    ],
)
def test_googles_own_endpoint_is_sent_packed_bodies(chosen: dict[str, str], compresses: bool) -> None:
    places = {"bigquery.project": "project", "bigquery.dataset": "dataset", "deadletter.bucket": "bucket"}
    assert HttpConnection.of(load("bigquery", overrides=places | chosen))._compresses is compresses


def test_requests_share_one_kept_alive_connection(server: Loopback) -> None:
    bigquery = connection(server.url)
    server.answers = [status(200), status(503), status(400), status(200)]
    assert [bigquery.post(PATH, b"x")[0] for _ in range(4)] == [200, 503, 400, 200]
    assert len({seen.connection for seen in server.seen}) == 1


@pytest.mark.parametrize("code", [302, 400, 401, 403, 404, 413, 429, 500, 503])
def test_one_call_is_one_attempt_whatever_the_answer(server: Loopback, code: int) -> None:
    server.answers = [status(code, b"no", Location=f"{server.url}/elsewhere", Retry_After="0")]
    assert connection(server.url).post(PATH, b"x") == (code, b"no")
    assert len(server.seen) == 1


def test_a_slash_at_the_end_of_the_endpoint_does_not_matter(server: Loopback) -> None:
    connection(f"{server.url}/").post(PATH, b"x")
    assert server.seen[0].path == PATH


def test_nobody_listening_is_waited_out() -> None:
    with pytest.raises(TransientError, match=r"127\.0\.0\.1"):
        connection(f"http://127.0.0.1:{unused_port()}").post(PATH, b"x")


@pytest.mark.parametrize(
    "failing", [loopback.hang_up, loopback.hang_up_in_the_body, loopback.speak_something_else]
)
def test_a_broken_answer_is_waited_out_and_the_next_request_works(
    server: Loopback, failing: loopback.Answer
) -> None:
    server.answers = [failing]
    bigquery = connection(server.url)
    with pytest.raises(TransientError):
        bigquery.post(PATH, b"x")
    assert bigquery.post(PATH, b"x")[0] == 200
    assert len(server.seen) == 2


def test_a_server_that_stays_silent_is_given_up_after_the_read_timeout(server: Loopback) -> None:
    server.answers = [loopback.silence]
    bigquery = connection(server.url, read_seconds=0.05)
    with pytest.raises(TransientError, match="timed out"):
        bigquery.post(PATH, b"x")


def test_credentials_are_sent_and_asked_for_once(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def default(**arguments: Any) -> tuple[object, str]:
        asked.append(arguments)
        return make_credentials(token="secret"), "project"

    monkeypatch.setattr(google.auth, "default", default)
    bigquery = connection(server.url, credentials="default")
    assert asked == []
    bigquery.post(PATH, b"x")
    bigquery.post(PATH, b"x")
    assert [seen.headers["authorization"] for seen in server.seen] == ["Bearer secret"] * 2
    assert asked == [{"scopes": ("https://www.googleapis.com/auth/bigquery",)}]
    assert len({seen.connection for seen in server.seen}) == 1


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (exceptions.DefaultCredentialsError("none found"), SetupError),
        (exceptions.MalformedError("not a key file"), SetupError),
        (exceptions.RefreshError("invalid_grant"), SetupError),
        (exceptions.RefreshError("busy", retryable=True), TransientError),
        (exceptions.TransportError("metadata server"), TransientError),
        (exceptions.OAuthError("invalid_client"), SetupError),
    ],
)
def test_credentials_that_cannot_be_had(
    monkeypatch: pytest.MonkeyPatch, error: Exception, expected: type[Exception]
) -> None:
    def default(**_: Any) -> None:
        raise error

    monkeypatch.setattr(google.auth, "default", default)
    with pytest.raises(expected, match="credentials:") as caught:
        connection("http://bigquery.example", credentials="default").post(PATH, b"x")
    if isinstance(caught.value, SetupError):
        assert caught.value.setting == "bigquery.credentials"


def test_missing_credentials_are_looked_for_again_at_the_next_request(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    def default(**_: Any) -> None:
        raise exceptions.DefaultCredentialsError("none found")

    bigquery = connection(server.url, credentials="default")
    monkeypatch.setattr(google.auth, "default", default)
    with pytest.raises(SetupError):
        bigquery.post(PATH, b"x")
    monkeypatch.setattr(google.auth, "default", give(make_credentials(token="late")))
    assert bigquery.post(PATH, b"x")[0] == 200


def test_a_token_that_was_refused_is_renewed_once(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answers = [status(401), status(200, b"in"), status(401), status(401, b"no")]
    monkeypatch.setattr(google.auth, "default", give(Renewable()))
    bigquery = connection(server.url, credentials="default")
    assert bigquery.post(PATH, b"x") == (200, b"in")
    assert bigquery.post(PATH, b"x") == (401, b"no")
    assert [seen.headers["authorization"] for seen in server.seen] == [
        "Bearer 0",
        "Bearer 1",
        "Bearer 1",
        "Bearer 2",
    ]


def test_a_token_that_was_refused_and_cannot_be_renewed_asks_for_a_person(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers = [status(401)]
    monkeypatch.setattr(google.auth, "default", give(make_credentials(token="old")))
    with pytest.raises(SetupError, match="credentials:"):
        connection(server.url, credentials="default").post(PATH, b"x")


def test_without_an_endpoint_google_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []

    def create_connection(address: tuple[str, int], timeout: float) -> None:
        asked.append(address)
        raise TimeoutError("not here")

    monkeypatch.setattr(socket, "create_connection", create_connection)
    with pytest.raises(TransientError, match=f"{DEFAULT_ENDPOINT}{PATH}: not here"):
        connection(None).post(PATH, b"x")
    assert asked == [("bigquery.googleapis.com", 443)]


def test_an_endpoint_may_have_a_path_of_its_own(server: Loopback) -> None:
    connection(f"{server.url}/proxy/").post(PATH, b"x")
    assert server.seen[0].path == f"/proxy{PATH}"


def test_any_method_and_type_can_be_sent_and_an_address_to_go_on_at_comes_back(server: Loopback) -> None:
    server.answers = [status(200, b"begun", Location=f"{server.url}/there?id=1"), status(200, b"done")]
    bigquery = connection(server.url)
    begun = bigquery.request("POST", "/jobs", b"{}")
    assert (begun.status, begun.body, begun.location) == (200, b"begun", f"{server.url}/there?id=1")
    assert begun.location is not None
    done = bigquery.request("POST", begun.location, b"content", "application/octet-stream")
    assert (done.body, done.location) == (b"done", None)
    first, second = server.seen
    assert (first.path, first.headers["content-type"]) == ("/jobs", "application/json")
    assert (second.path, second.body) == ("/there?id=1", b"content")
    assert second.headers["content-type"] == "application/octet-stream"


REGIONAL = "https://europe-west3-bigquery.googleapis.com"
OWN = "https://gateway.example:8443"
TEST = "http://127.0.0.1:9050"


@pytest.mark.parametrize(
    ("endpoint", "url", "trusted"),
    [
        (DEFAULT_ENDPOINT, "https://bigquery.googleapis.com/upload?upload_id=x", True),
        (DEFAULT_ENDPOINT, "https://www.googleapis.com/upload?upload_id=x", True),
        (DEFAULT_ENDPOINT, "https://www.googleapis.com:443/upload", True),
        (REGIONAL, "https://bigquery.googleapis.com/upload", True),
        (OWN, "https://gateway.example:8443/upload", True),
        (TEST, "http://127.0.0.1:9050/upload", True),
        (DEFAULT_ENDPOINT, "http://bigquery.googleapis.com/upload", False),
        (DEFAULT_ENDPOINT, "https://bigquery.googleapis.com:8443/upload", False),
        (DEFAULT_ENDPOINT, "https://evil.example/bigquery.googleapis.com", False),
        (DEFAULT_ENDPOINT, "https://evil.example?.googleapis.com", False),
        (DEFAULT_ENDPOINT, "https://evil.example#.googleapis.com", False),
        (DEFAULT_ENDPOINT, "https://evil.example\\.googleapis.com/", False),
        (DEFAULT_ENDPOINT, "https://evilgoogleapis.com/upload", False),
        (DEFAULT_ENDPOINT, "https://googleapis.com.evil.example/upload", False),
        (DEFAULT_ENDPOINT, "https://bigquery.googleapis.com@evil.example/upload", False),
        (DEFAULT_ENDPOINT, "https://x@bigquery.googleapis.com/upload", False),
        (DEFAULT_ENDPOINT, "https://bigquery.googleapis.com:port/upload", False),
        (DEFAULT_ENDPOINT, "https://[bigquery.googleapis.com/upload", False),
        (DEFAULT_ENDPOINT, "ftp://bigquery.googleapis.com/upload", False),
        (DEFAULT_ENDPOINT, "bigquery.googleapis.com/upload", False),
        (DEFAULT_ENDPOINT, "", False),
        (OWN, "https://www.googleapis.com/upload", False),
        (OWN, "https://gateway.example/upload", False),
        (OWN, "http://gateway.example:8443/upload", False),
        (TEST, "http://127.0.0.1:9051/upload", False),
        (TEST, "https://127.0.0.1:9050/upload", False),
        (TEST, "https://www.googleapis.com/upload", False),
    ],
)
def test_an_answer_leads_to_the_endpoint_or_from_google_to_google_alone(
    endpoint: str, url: str, trusted: bool
) -> None:
    assert is_trusted(url, endpoint=endpoint) == trusted


def test_a_token_goes_where_an_answer_leads_only_if_that_is_trusted(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(google.auth, "default", give(make_credentials(token="secret")))
    bigquery = connection(server.url, credentials="default")
    assert bigquery.request("PUT", f"{server.url}/upload?upload_id=x", b"rows").status == 200
    with loopback_server() as other:
        expected = f"says to go on at {other.url}, which is not BigQuery's"
        with pytest.raises(SetupError, match=expected) as caught:
            bigquery.request("PUT", f"{other.url}/upload?upload_id=x", b"rows")
        assert other.seen == []
    assert caught.value.setting == "bigquery.api_endpoint"
    assert "upload_id" not in str(caught.value)
