"""A small HTTP/1.1 client over kept-alive connections, for requests that are made thousands of times.

urllib3 takes four times the CPU time a request, most of it for choices that nobody makes here: headers in any shape,
redirects, retries, decoding. The answers are parsed by llhttp.
"""

import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from urllib.parse import urlsplit

import httptools

from consumer.domain.errors import TransientError
from consumer.sinks.http.answers import Answer, AnswerReader
from consumer.sinks.http.connections import (
    Connection,
    Route,
    is_silent,
    open_connection,
    send_all,
    tls_context,
)
from consumer.sinks.http.proxies import http_proxy_of, refused_by

_PORTS = {"http": 80, "https": 443}
_PROXY_WANTS_A_PASSWORD = 407
_WAITS = 5
"""A request as a whole may take so many times the longest wait in it: whoever sends a byte now and then must not hold
it for ever, and one that has taken so long is better begun anew."""


class HttpClient:
    """Keeps up to `connections` idle connections to each server; opens as many more as are needed."""

    def __init__(
        self, *, connections: int, connect_timeout_seconds: float, read_timeout_seconds: float
    ) -> None:
        """The read timeout is for each wait: to send more, and for more of an answer. A request as a whole may take
        five times as long."""
        self._limits = _Limits(
            connections, connect_timeout_seconds, read_timeout_seconds, _WAITS * read_timeout_seconds
        )
        self._servers: dict[tuple[str, str], _Server] = {}

    def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes | bytearray) -> Answer:
        """One attempt; follows no redirect. Raises TransientError where there is no answer, or SetupError where a proxy
        lets none through."""
        try:
            parts = urlsplit(url)
            target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
            server = self._server(parts.scheme, parts.netloc)
            if server.asks_proxy is not None:
                target = f"{parts.scheme}://{parts.netloc}{target}"
                headers = {**headers, **server.asks_proxy}
            return server.request(_head(method, target, parts.netloc, headers, len(body)), body)
        except (OSError, ValueError, httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            said = str(error) or type(error).__name__
            raise TransientError(f"{url.partition('?')[0]}: {said}") from error

    def _server(self, scheme: str, netloc: str) -> "_Server":
        server = self._servers.get((scheme, netloc))
        if server is None:
            server = self._servers[scheme, netloc] = _Server(scheme, netloc, self._limits)
        return server


@dataclass(frozen=True, slots=True)
class _Limits:
    connections: int
    connect_seconds: float
    read_seconds: float
    request_seconds: float


class _Server:
    """One server and the connections to it that wait for a request, the one used last at the end."""

    def __init__(self, scheme: str, netloc: str, limits: _Limits) -> None:
        """Raises ValueError for an address that is none, and SetupError for a proxy that is none."""
        self._idle: list[Connection] = []
        address = urlsplit(f"//{netloc}")
        if scheme not in _PORTS or not address.hostname:
            raise ValueError("not an address of http or https")
        proxy = http_proxy_of(f"{scheme}://{netloc}")
        tls = tls_context() if scheme == "https" else None
        self._route = Route(host=address.hostname, port=address.port or _PORTS[scheme], tls=tls, proxy=proxy)
        self._limits = limits
        self.asks_proxy = proxy.headers() if proxy and not tls else None
        """The headers for a proxy that is asked itself, with the whole address; None where the server is."""

    def __del__(self) -> None:
        for connection in self._idle:
            connection.close()

    def request(self, head: bytes, body: bytes | bytearray) -> Answer:
        connection = self._take()
        reader = AnswerReader()
        try:
            answer = self._ask(connection, head, body, reader)
        except BaseException:
            # a request that is given up, too, leaves an answer behind that nobody waits for
            connection.close()
            raise
        if answer.status == _PROXY_WANTS_A_PASSWORD and self._route.proxy:
            connection.close()
            raise refused_by(self._route.proxy, answer.status, self._route.host)
        if reader.keeps_alive and len(self._idle) < self._limits.connections:
            self._idle.append(connection)
        else:
            connection.close()
        return answer

    def _take(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if is_silent(connection):
                connection.settimeout(self._limits.read_seconds)
                return connection
            connection.close()
        return self._open()

    def _ask(
        self, connection: Connection, head: bytes, body: bytes | bytearray, reader: AnswerReader
    ) -> Answer:
        until = monotonic() + self._limits.request_seconds
        try:
            self._send(connection, head, body, until)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError) as error:
            # who refuses a request may say so, and hang up, before all of it has come
            with suppress(OSError, httptools.HttpParserError):
                answer = reader.read(connection, until)
                reader.keeps_alive = False
                return answer
            raise error
        return reader.read(connection, until)

    def _send(self, connection: Connection, head: bytes, body: bytes | bytearray, until: float) -> None:
        if self._route.tls:
            send_all(connection, head, until)
            send_all(connection, body, until)
            return
        sent = connection.sendmsg([head, body])
        if sent < len(head):
            send_all(connection, head[sent:], until)
        if sent < len(head) + len(body):
            send_all(connection, memoryview(body)[max(0, sent - len(head)) :], until)

    def _open(self) -> Connection:
        return open_connection(
            self._route,
            connect_seconds=self._limits.connect_seconds,
            read_seconds=self._limits.read_seconds,
        )


def _head(method: str, target: str, host: str, headers: Mapping[str, str], size: int) -> bytes:
    """Raises ValueError for what would end a line of it."""
    lines = [
        f"{method} {target} HTTP/1.1",
        f"Host: {host}",
        "User-Agent: kinesis-consumer",
        "Accept-Encoding: identity",
        *[f"{name}: {value}" for name, value in headers.items()],
    ]
    if size or method != "GET":
        lines.append(f"Content-Length: {size}")
    text = "".join(lines)
    if not text.isprintable() or " " in target:
        raise ValueError("a request with characters that HTTP does not allow")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
