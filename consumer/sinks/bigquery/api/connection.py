"""BigQuery's REST API over HTTP, with or without credentials."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol
from urllib.parse import urlsplit

from consumer.domain.errors import SetupError
from consumer.settings import Settings
from consumer.sinks.bigquery.api.compression import WORTH_IT_BYTES, compresses, pack
from consumer.sinks.bigquery.api.identity import GoogleIdentity
from consumer.sinks.bigquery.api.token import BearerToken
from consumer.sinks.http.client import HttpClient
from consumer.sinks.http.connection import Answer

_PACKED = MappingProxyType({"Content-Encoding": "gzip"})

DEFAULT_ENDPOINT = "https://bigquery.googleapis.com"


class RestApi(Protocol):
    """One attempt a call; no redirects, no hidden retries."""

    def post(self, path: str, body: bytes | bytearray) -> tuple[int, bytes]:
        """Status and body of the answer; raises TransientError or SetupError where there is none."""


class HttpConnection:
    """Requests to one endpoint."""

    def __init__(
        self,
        *,
        endpoint: str | None,
        identity: GoogleIdentity,
        connections: int,
        connect_timeout_seconds: float = 5,
        read_timeout_seconds: float = 60,
        compresses: bool = False,
    ) -> None:
        """Credentials are looked for at the first request, and again at the next as long as there are none. What is
        posted is packed where the connection `compresses`."""
        self._compresses = compresses
        self._endpoint = (endpoint or DEFAULT_ENDPOINT).rstrip("/")
        timeouts = {
            "connect_timeout_seconds": connect_timeout_seconds,
            "read_timeout_seconds": read_timeout_seconds,
        }
        self._http = HttpClient(connections=connections, **timeouts)
        needs_token = identity.kind != "anonymous"
        self._token = BearerToken(identity.credentials, **timeouts) if needs_token else None

    @classmethod
    def of(cls, settings: Settings) -> "HttpConnection":
        return cls(
            endpoint=settings.optional_text("bigquery.api_endpoint"),
            identity=GoogleIdentity.of(settings),
            connections=settings.integer("delivery.concurrency"),
            connect_timeout_seconds=settings.seconds("bigquery.connect_timeout"),
            read_timeout_seconds=settings.seconds("bigquery.read_timeout"),
            compresses=compresses(settings, "bigquery.api_endpoint"),
        )

    def post(self, path: str, body: bytes | bytearray) -> tuple[int, bytes]:
        if not self._compresses or len(body) < WORTH_IT_BYTES:
            answer = self.request("POST", path, body)
        else:
            answer = self.request("POST", path, pack(body), more_headers=_PACKED)
        return answer.status, answer.body

    def request(
        self,
        method: str,
        path: str,
        body: bytes | bytearray = b"",
        content_type: str = "application/json",
        more_headers: Mapping[str, str] = MappingProxyType({}),
    ) -> Answer:
        """`path` may be a whole address, where an answer has named one. Raises TransientError or SetupError where there
        is no answer, or where that address is none for a token to go to."""
        url = f"{self._endpoint}{path}" if path.startswith("/") else self._trusted(path)
        headers = {"Content-Type": content_type, **more_headers} if body else {}
        if self._token is None:
            return self._http.request(method, url, headers, body)
        answer = self._http.request(method, url, headers | self._token.headers(), body)
        if answer.status == 401:
            self._token.renew()
            answer = self._http.request(method, url, headers | self._token.headers(), body)
        return answer

    def _trusted(self, url: str) -> str:
        if not is_trusted(url, endpoint=self._endpoint):
            raise SetupError(
                f"an answer of {self._endpoint} says to go on at {_place(url)}, which is not BigQuery's: nothing is"
                " sent there",
                setting="bigquery.api_endpoint",
            )
        return url


def is_trusted(url: str, *, endpoint: str) -> bool:
    """Whether an address that an answer names is for what is sent to the endpoint: its own host and port, or one of
    Google's where the endpoint is, and never without TLS where the endpoint has it."""
    try:
        there, here = urlsplit(url), urlsplit(endpoint)
        same_place = (there.hostname, there.port) == (here.hostname, here.port)
        plain_port = there.port in (None, 443)
    except ValueError:
        return False
    if "@" in there.netloc or there.scheme not in ("https", here.scheme):
        return False
    if same_place and there.scheme == here.scheme:
        return True
    return (
        there.scheme == "https" and plain_port and _is_googles(there.hostname) and _is_googles(here.hostname)
    )


def _is_googles(host: str | None) -> bool:
    return re.fullmatch(r"([a-z0-9-]+\.)+googleapis\.com", host or "") is not None


def _place(url: str) -> str:
    """Without path and query, which let whoever has them go on."""
    found = re.match(r"[^/?#]*//[^/?#]*", url)
    return found[0] if found else "no address"
