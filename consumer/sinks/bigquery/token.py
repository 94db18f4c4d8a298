"""The header that says who asks, for every kind of request to BigQuery."""

from collections.abc import Callable
from typing import Any

import google.auth.exceptions
import urllib3
from google.auth.transport.urllib3 import Request

from consumer.domain.errors import DeliveryError, SetupError, TransientError


class BearerToken:
    """Fetched when first asked for, and anew when it is about to expire."""

    def __init__(
        self, credentials: Callable[[], Any], *, connect_timeout_seconds: float, read_timeout_seconds: float
    ) -> None:
        """`credentials` finds google-auth's; where there are none it is asked again at the next call."""
        self._find = credentials
        self._credentials: Any = None
        timeout = urllib3.Timeout(connect=connect_timeout_seconds, read=read_timeout_seconds)
        pools = urllib3.PoolManager(retries=False, timeout=timeout)
        self._request = Request(pools)  # type: ignore[no-untyped-call]

    def headers(self) -> dict[str, str]:
        """Blocks for a new token; raises TransientError or SetupError."""
        headers: dict[str, str] = {}
        try:
            if self._credentials is None:
                self._credentials = self._find()
            self._credentials.before_request(self._request, "POST", "", headers)
        except google.auth.exceptions.GoogleAuthError as error:
            raise _delivery_error(error) from error
        return headers

    def renew(self) -> None:
        """After the one of `headers` was refused, whatever it says of its age. Raises as `headers` does."""
        try:
            self._credentials.refresh(self._request)
        except google.auth.exceptions.GoogleAuthError as error:
            raise _delivery_error(error) from error


def _delivery_error(error: google.auth.exceptions.GoogleAuthError) -> DeliveryError:
    """A token endpoint that is out of reach, or answers 5xx or 429, passes; the rest has to be mended."""
    if isinstance(error, google.auth.exceptions.TransportError) or error.retryable:
        return TransientError(f"credentials: {error}")
    return SetupError(f"credentials: {error}", setting="bigquery.credentials")
