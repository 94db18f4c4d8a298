"""The header that says who asks, for every kind of request to BigQuery."""

from collections.abc import Callable
from typing import Any

import google.auth.exceptions
import urllib3
from google.auth.transport.urllib3 import Request

from consumer.domain.errors import DeliveryError, SetupError, TransientError
from consumer.sinks.http.proxies import Proxy, http_proxy_of, refused_tunnel


class BearerToken:
    """Fetched when first asked for, and anew when it is about to expire."""

    def __init__(
        self, credentials: Callable[[], Any], *, connect_timeout_seconds: float, read_timeout_seconds: float
    ) -> None:
        """`credentials` finds google-auth's; where there are none it is asked again at the next call."""
        self._find = credentials
        self._credentials: Any = None
        self._request = TokenRequest(
            urllib3.Timeout(connect=connect_timeout_seconds, read=read_timeout_seconds)
        )

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


class TokenRequest:
    """google-auth's way to ask for a token: by the proxy of each address, and no further than that address, for what a
    token is given for would go along with a redirect."""

    def __init__(self, timeout: urllib3.Timeout) -> None:
        self._timeout = timeout
        self._by_proxy: dict[Proxy | None, Any] = {}

    def __call__(self, url: str, *arguments: Any, **named: Any) -> Any:
        """google-auth's answer. Raises google.auth.exceptions.TransportError, or SetupError for a proxy."""
        proxy = http_proxy_of(url)
        request = self._by_proxy.get(proxy)
        if request is None:
            request = self._by_proxy[proxy] = Request(self._pools(proxy))  # type: ignore[no-untyped-call]
        try:
            return request(url, *arguments, **named, redirect=False)
        except google.auth.exceptions.TransportError as error:
            refused = refused_tunnel(error, url)
            if refused is None:
                raise
            raise refused from error

    def _pools(self, proxy: Proxy | None) -> urllib3.PoolManager:
        if proxy is None:
            return urllib3.PoolManager(retries=False, timeout=self._timeout)
        address = f"{proxy.scheme}://{proxy}"
        return urllib3.ProxyManager(
            address, retries=False, timeout=self._timeout, proxy_headers=proxy.headers()
        )


def _delivery_error(error: google.auth.exceptions.GoogleAuthError) -> DeliveryError:
    """A token endpoint that is out of reach, or answers 5xx or 429, passes; the rest has to be mended."""
    if isinstance(error, google.auth.exceptions.TransportError) or error.retryable:
        return TransientError(f"credentials: {error}")
    return SetupError(f"credentials: {error}", setting="bigquery.credentials")
