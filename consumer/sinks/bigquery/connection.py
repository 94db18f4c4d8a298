"""BigQuery's REST API over HTTP, with or without credentials."""

from typing import Protocol

from consumer.sinks.bigquery.token import BearerToken
from consumer.sinks.google_identity import GoogleIdentity
from consumer.sinks.http_answers import Answer
from consumer.sinks.http_client import HttpClient

DEFAULT_ENDPOINT = "https://bigquery.googleapis.com"


class Connection(Protocol):
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
    ) -> None:
        """Credentials are looked for at the first request, and again at the next as long as there are none."""
        self._endpoint = (endpoint or DEFAULT_ENDPOINT).rstrip("/")
        timeouts = {
            "connect_timeout_seconds": connect_timeout_seconds,
            "read_timeout_seconds": read_timeout_seconds,
        }
        self._http = HttpClient(connections=connections, **timeouts)
        needs_token = identity.kind != "anonymous"
        self._token = BearerToken(identity.credentials, **timeouts) if needs_token else None

    def post(self, path: str, body: bytes | bytearray) -> tuple[int, bytes]:
        answer = self.request("POST", path, body)
        return answer.status, answer.body

    def request(
        self, method: str, path: str, body: bytes | bytearray = b"", content_type: str = "application/json"
    ) -> Answer:
        """`path` may be a whole address. Raises TransientError or SetupError where there is no answer."""
        url = path if path.startswith("http") else f"{self._endpoint}{path}"
        headers = {"Content-Type": content_type} if body else {}
        if self._token is None:
            return self._http.request(method, url, headers, body)
        answer = self._http.request(method, url, headers | self._token.headers(), body)
        if answer.status == 401:
            self._token.renew()
            answer = self._http.request(method, url, headers | self._token.headers(), body)
        return answer
