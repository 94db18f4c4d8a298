"""The header that gRPC calls carry."""

from collections.abc import Callable
from typing import Any

import google.auth.exceptions
import urllib3
from google.auth.transport.urllib3 import Request

from consumer.domain.errors import DeliveryError, SetupError, TransientError


class BearerToken:
    """Fetched when first asked for, and anew when it is about to expire."""

    def __init__(self, credentials: Callable[[], Any]) -> None:
        """`credentials` finds google-auth's."""
        self._find = credentials
        self._credentials: Any = None
        self._request = Request(urllib3.PoolManager(retries=False))  # type: ignore[no-untyped-call]

    def metadata(self) -> list[tuple[str, str]]:
        """Blocks for a new token; raises TransientError or SetupError."""
        headers: dict[str, str] = {}
        try:
            if self._credentials is None:
                self._credentials = self._find()
            self._credentials.before_request(self._request, "POST", "", headers)
        except google.auth.exceptions.GoogleAuthError as error:
            raise _delivery_error(error) from error
        return [(name.lower(), value) for name, value in headers.items()]


def _delivery_error(error: google.auth.exceptions.GoogleAuthError) -> DeliveryError:
    """A token endpoint that is out of reach, or answers 5xx or 429, passes; the rest has to be mended."""
    if isinstance(error, google.auth.exceptions.TransportError) or error.retryable:
        return TransientError(f"credentials: {error}")
    return SetupError(f"credentials: {error}", setting="bigquery.credentials")
