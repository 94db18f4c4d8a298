"""BigQuery's API for the supervisor: its answers as what preparation can do about them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import google.auth.exceptions
import requests
import requests.adapters
import requests.exceptions
import urllib3.exceptions
from google.api_core import exceptions as google_exceptions
from google.auth.transport.requests import AuthorizedSession, Request
from google.cloud import bigquery

from consumer.daemon.prepare.preparation import Mendable, NotReady, Unreachable, Unusable
from consumer.daemon.prepare.proxies import BIGQUERY
from consumer.daemon.prepare.rights import advice, refused_actions
from consumer.settings import Settings
from consumer.sinks.bigquery.api.identity import GoogleIdentity
from consumer.sinks.http.proxies import refused_tunnel

NotFound = google_exceptions.NotFound

_TRANSIENT = (
    google_exceptions.ServerError,
    google_exceptions.TooManyRequests,
    google_exceptions.RetryError,
    requests.exceptions.Timeout,
)
_TOKEN_RETRIES = 3
_TOKEN_SECONDS = 20
_RATE_REASONS = ("rateLimitExceeded", "quotaExceeded")


class BigQueryApi:
    """A client that makes one attempt a call."""

    def __init__(self, settings: Settings, client: bigquery.Client | None = None) -> None:
        self.client = client or _client(settings)
        self._settings = settings
        self._where = settings.optional_text("bigquery.api_endpoint") or "Google"
        timeout = (settings.seconds("bigquery.connect_timeout"), settings.seconds("bigquery.read_timeout"))
        self.once: dict[str, Any] = {"retry": None, "timeout": timeout}
        """Arguments of every call."""

    def ask[Answer](self, ask: Callable[[], Answer], *needs: str, about: str = "") -> Answer:
        """The answer; lets NotFound through, turns everything else into Unusable or NotReady.

        `needs` are the permissions that the question takes, for a refusal that names none. `about` is the path of one
        table of several: what Google says of each of them becomes one message.
        """
        try:
            return ask()
        except NotFound as error:
            if error.response is None or error.errors:
                raise
            raise Unusable(
                f"bigquery.api_endpoint: what answers 404 is not BigQuery (at {self._where})"
            ) from error
        except _TRANSIENT as error:
            raise NotReady(f"BigQuery at {self._where} answers {_one_line(error)}") from error
        except requests.exceptions.ConnectionError as error:
            blame_proxy(error)
            if _was_cut(error):
                raise NotReady(f"BigQuery at {self._where}: {_one_line(error)}") from error
            key = "bigquery.api_endpoint"
            raise Unreachable(f"{key}: nothing answers for BigQuery at {self._where}") from error
        except requests.exceptions.TooManyRedirects as error:
            raise Unusable(
                f"bigquery.api_endpoint: BigQuery at {self._where} answers with a redirect, which is not followed"
            ) from error
        except google.auth.exceptions.GoogleAuthError as error:
            blame_proxy(error)
            raise Unusable(f"bigquery.credentials: {_one_line(error)}") from error
        except google_exceptions.Forbidden as error:
            if any(reason in str(error.errors) for reason in _RATE_REASONS):
                raise NotReady(f"BigQuery at {self._where} answers {_one_line(error)}") from error
            said = _one_line(error)
            advised = advice(self._settings, *refused_actions(error, *needs))
            if about:
                said = said.replace(about.rpartition(".")[2], "<table>")
            subject = f"table {about}" if about else ""
            raise Mendable(
                f"bigquery.project, bigquery.dataset: not allowed: {said}: {advised}", subject=subject
            ) from error
        except google_exceptions.GoogleAPICallError as error:
            raise Unusable(f"bigquery: {_one_line(error)}") from error


def blame_proxy(error: Exception) -> None:
    """Raises Mendable where it was a proxy that refused to connect to Google."""
    refused = refused_tunnel(error, BIGQUERY)
    if refused is not None:
        raise Mendable(str(refused)) from error


def _was_cut(error: requests.exceptions.ConnectionError) -> bool:
    """Whether there was a connection: then it was not the address that was wrong."""
    return bool(error.args) and isinstance(error.args[0], urllib3.exceptions.ProtocolError)


def _client(settings: Settings) -> bigquery.Client:
    endpoint = settings.optional_text("bigquery.api_endpoint")
    options: dict[str, Any] = {"client_options": {"api_endpoint": endpoint}} if endpoint else {}
    try:
        credentials = GoogleIdentity.of(settings).credentials()
        return bigquery.Client(
            project=settings.text("bigquery.project"),
            location=settings.text("bigquery.location"),
            credentials=credentials,
            _http=_session(credentials),
            **options,
        )
    except google.auth.exceptions.GoogleAuthError as error:
        raise Unusable(f"bigquery.credentials: {_one_line(error)}") from error


def _session(credentials: Any) -> AuthorizedSession:
    """As the library makes one, but for redirects."""
    session = AuthorizedSession(credentials, auth_request=token_request())  # type: ignore[no-untyped-call]
    session.max_redirects = 0
    return session


def token_request() -> partial[Any]:
    """google-auth's way to ask for a token, which follows no redirect: what a token is given for would go along. By
    itself it waits for two minutes where nothing comes back."""
    session = requests.Session()
    session.max_redirects = 0
    session.mount("https://", requests.adapters.HTTPAdapter(max_retries=_TOKEN_RETRIES))
    return partial(Request(session), timeout=_TOKEN_SECONDS)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
