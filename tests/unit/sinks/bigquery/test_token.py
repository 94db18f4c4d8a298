"""How a token is asked for: by the environment's proxy, and no further than the address that is named."""

from collections.abc import Iterator

import pytest
import urllib3
from google.auth.credentials import Credentials

from consumer.domain.errors import SetupError, TransientError
from consumer.sinks.bigquery.api.token import BearerToken, TokenRequest
from tests.unit.sinks.bigquery.forward_proxy import ForwardProxy, forward_proxy
from tests.unit.sinks.bigquery.loopback import Loopback, loopback_server, status


@pytest.fixture
def server() -> Iterator[Loopback]:
    with loopback_server() as running:
        yield running


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[ForwardProxy]:
    with forward_proxy() as running:
        for variable in ("HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(variable, f"http://me:secret@{running.address}")
        yield running


@pytest.fixture
def request_token() -> TokenRequest:
    return TokenRequest(urllib3.Timeout(connect=5, read=10))


def test_the_proxy_of_the_environment_is_asked(
    request_token: TokenRequest, server: Loopback, proxy: ForwardProxy
) -> None:
    url = server.url.replace("127.0.0.1", "tokens.example")
    assert request_token(url=f"{url}/token", method="POST", body=b"grant").status == 200
    (asked,) = proxy.seen
    assert asked.target == f"{url}/token"
    assert asked.headers["proxy-authorization"] == "Basic bWU6c2VjcmV0"
    assert [seen.body for seen in server.seen] == [b"grant"]


def test_a_host_that_is_to_be_asked_directly_is(
    request_token: TokenRequest, server: Loopback, proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert request_token(f"{server.url}/token").status == 200
    assert proxy.seen == []


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_what_a_token_is_given_for_does_not_follow_a_redirect(
    request_token: TokenRequest, server: Loopback, code: int
) -> None:
    with loopback_server() as other:
        server.answers = [status(code, Location=f"{other.url}/token")]
        assert request_token(f"{server.url}/token", method="POST", body=b"grant").status == code
        assert other.seen == []


class Refreshed(Credentials):  # type: ignore[misc, unused-ignore]
    """Its token comes from an address."""

    def __init__(self, url: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.url = url

    def refresh(self, request: TokenRequest) -> None:
        request(self.url, method="POST")
        self.token = "fetched"


@pytest.mark.parametrize(("code", "error"), [(407, SetupError), (403, SetupError), (503, TransientError)])
def test_a_proxy_that_refuses_is_said(proxy: ForwardProxy, code: int, error: type[Exception]) -> None:
    proxy.answer = f"HTTP/1.1 {code} No\r\nContent-Length: 0\r\n\r\n".encode()
    token = BearerToken(
        lambda: Refreshed("https://tokens.example/token"), connect_timeout_seconds=5, read_timeout_seconds=5
    )
    with pytest.raises(error, match=str(code)) as caught:
        token.headers()
    assert "secret" not in str(caught.value)
    if isinstance(caught.value, SetupError):
        assert caught.value.setting == "HTTPS_PROXY"
