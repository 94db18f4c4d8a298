"""A kept-alive HTTP connection pool to BigQuery's REST API, with or without credentials."""

from typing import Any, Protocol

import google.auth.exceptions
import urllib3
from google.auth.transport.urllib3 import AuthorizedHttp

from consumer.domain.errors import SetupError, TransientError
from consumer.sinks.google_identity import GoogleIdentity

DEFAULT_ENDPOINT = "https://bigquery.googleapis.com"


class Connection(Protocol):
    """One attempt a call; no redirects, no hidden retries."""

    def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Status and body of the answer; raises TransientError or SetupError where there is none."""


class HttpConnection:
    """Posts JSON through one urllib3 pool."""

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
        pool = urllib3.PoolManager(
            maxsize=connections,
            block=False,
            retries=False,
            timeout=urllib3.Timeout(connect=connect_timeout_seconds, read=read_timeout_seconds),
        )
        self._pool = pool
        self._identity = identity
        self._http: Any = None

    def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        url = f"{self._endpoint}{path}"
        try:
            if self._http is None:
                self._http = self._authorized()
            answer = self._http.request("POST", url, body=body, headers={"Content-Type": "application/json"})
        except google.auth.exceptions.TransportError as error:
            raise TransientError(f"credentials: {error}") from error
        except google.auth.exceptions.GoogleAuthError as error:
            if error.retryable:  # the token endpoint answered 5xx or 429
                raise TransientError(f"credentials: {error}") from error
            raise SetupError(f"credentials: {error}", setting="bigquery.credentials") from error
        except urllib3.exceptions.HTTPError as error:
            raise TransientError(f"{url}: {error}") from error
        return int(answer.status), bytes(answer.data)

    def _authorized(self) -> Any:
        if self._identity.kind == "anonymous":
            return self._pool
        return AuthorizedHttp(self._identity.credentials(), http=self._pool)  # type: ignore[no-untyped-call]
