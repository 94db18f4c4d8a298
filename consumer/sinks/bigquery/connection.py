"""A kept-alive HTTP connection pool to BigQuery's REST API, with or without credentials."""

from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import google.auth.exceptions
import urllib3
from google.auth.transport.urllib3 import AuthorizedHttp

from consumer.domain.errors import SetupError, TransientError
from consumer.sinks.google_identity import GoogleIdentity

DEFAULT_ENDPOINT = "https://bigquery.googleapis.com"


class Connection(Protocol):
    """One attempt a call; no redirects, no hidden retries."""

    def post(self, path: str, body: bytes | bytearray) -> tuple[int, bytes]:
        """Status and body of the answer; raises TransientError or SetupError where there is none."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`location` is where the answer says to go on, if it does."""

    status: int
    body: bytes
    location: str | None = None


class HttpConnection:
    """Requests through one urllib3 pool."""

    def __init__(
        self,
        *,
        endpoint: str | None,
        identity: GoogleIdentity,
        connections: int,
        connect_timeout_seconds: float = 5,
        read_timeout_seconds: float = 60,
    ) -> None:
        """Credentials are looked for at the first request, and again at the next as long as there are none."""
        self._endpoint = (endpoint or DEFAULT_ENDPOINT).rstrip("/")
        self._pools = _Pools(
            self._endpoint,
            maxsize=connections,
            block=False,
            retries=False,
            timeout=urllib3.Timeout(connect=connect_timeout_seconds, read=read_timeout_seconds),
        )
        self._identity = identity
        self._http: Any = None

    def post(self, path: str, body: bytes | bytearray) -> tuple[int, bytes]:
        answer = self.request("POST", path, body)
        return answer.status, answer.body

    def request(
        self, method: str, path: str, body: bytes | bytearray = b"", content_type: str = "application/json"
    ) -> Answer:
        """`path` may be a whole address. Raises TransientError or SetupError where there is no answer."""
        url = path if path.startswith("http") else f"{self._endpoint}{path}"
        headers = {"Content-Type": content_type} if body else {}
        try:
            if self._http is None:
                self._http = self._authorized()
            answer = self._http.urlopen(method, url, body=body or None, headers=headers)
        except google.auth.exceptions.TransportError as error:
            raise TransientError(f"credentials: {error}") from error
        except google.auth.exceptions.GoogleAuthError as error:
            if error.retryable:  # the token endpoint answered 5xx or 429
                raise TransientError(f"credentials: {error}") from error
            raise SetupError(f"credentials: {error}", setting="bigquery.credentials") from error
        except urllib3.exceptions.HTTPError as error:
            raise TransientError(f"{url}: {error}") from error
        return Answer(int(answer.status), bytes(answer.data), answer.headers.get("Location"))

    def _authorized(self) -> Any:
        if self._identity.kind == "anonymous":
            return self._pools
        return AuthorizedHttp(self._identity.credentials(), http=self._pools)  # type: ignore[no-untyped-call]


class _Pools(urllib3.PoolManager):
    """Connections to BigQuery and, for credentials, to others. What is asked of BigQuery goes to its pool directly: to
    find the pool of an address takes a fifth of what a request costs otherwise."""

    def __init__(self, endpoint: str, **options: Any) -> None:
        super().__init__(**options)
        self._endpoint = endpoint
        self._base_path = urlsplit(endpoint).path
        self._pool = self.connection_from_url(endpoint)

    def urlopen(self, method: str, url: str, redirect: bool = True, **options: Any) -> Any:  # type: ignore[override]
        if not url.startswith(f"{self._endpoint}/"):
            return super().urlopen(method, url, redirect, **options)
        path = f"{self._base_path}{url[len(self._endpoint) :]}"
        return self._pool.urlopen(method, path, redirect=False, assert_same_host=False, **options)
