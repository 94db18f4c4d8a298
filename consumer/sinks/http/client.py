"""A small HTTP/1.1 client over kept-alive connections, for requests that are made thousands of times.

urllib3 takes five times the CPU time a request, for choices that nobody makes here: redirects, retries, decoding.
"""

import ssl
from collections.abc import Mapping
from functools import cached_property
from http.client import HTTPException
from urllib.parse import urlsplit

from consumer.domain.errors import TransientError
from consumer.sinks.http.connection import Answer, Connection
from consumer.sinks.http.proxies import refused_tunnel

_MESSAGE_CHARACTERS = 300
"""http.client puts into its messages what it could not parse."""


class HttpClient:
    """Keeps up to `connections` idle connections to each server; opens as many more as are needed."""

    def __init__(
        self, *, connections: int, connect_timeout_seconds: float, read_timeout_seconds: float
    ) -> None:
        """The read timeout is for each wait: to send more, and for more of an answer. A request as a whole may take
        five times as long."""
        self._connections = connections
        self._timeouts = {"connect_seconds": connect_timeout_seconds, "read_seconds": read_timeout_seconds}
        self._idle: dict[tuple[str, str], list[Connection]] = {}
        """The connection used last at the end."""

    def __del__(self) -> None:
        for idle in self._idle.values():
            for connection in idle:
                connection.hang_up()

    def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes | bytearray) -> Answer:
        """One attempt; follows no redirect. Raises TransientError where there is no answer, or SetupError where a proxy
        lets none through."""
        place = url.partition("?")[0]
        try:
            parts = urlsplit(url)
            target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
            idle = self._idle.setdefault((parts.scheme, parts.netloc), [])
            connection = self._reusable(idle) or self._new(parts.scheme, parts.netloc)
            if connection.proxy:
                place = f"{place} by the proxy {connection.proxy}"
            try:
                answer = connection.ask(method, target, headers, body)
            except BaseException as error:
                # a request that is given up, too, leaves an answer behind that nobody waits for
                connection.hang_up()
                if isinstance(error, TimeoutError):
                    # what has frozen this connection may have frozen the others, and each would cost as much time
                    while idle:
                        idle.pop().hang_up()
                raise
        except (OSError, ValueError, HTTPException) as error:
            said = " ".join(str(error).split())[:_MESSAGE_CHARACTERS] or type(error).__name__
            raise refused_tunnel(error, url) or TransientError(f"{place}: {said}") from error
        if connection.is_kept and len(idle) < self._connections:
            idle.append(connection)
        else:
            connection.hang_up()
        return answer

    def _reusable(self, idle: list[Connection]) -> Connection | None:
        while idle:
            connection = idle.pop()
            if connection.is_reusable():
                return connection
            connection.hang_up()
        return None

    def _new(self, scheme: str, netloc: str) -> Connection:
        return Connection(scheme, netloc, self._tls if scheme == "https" else None, **self._timeouts)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        return context
