"""A small HTTP/1.1 client over kept-alive connections, for requests that are made thousands of times.

urllib3 takes four times the CPU time a request, most of it for choices that nobody makes here: headers in any shape,
redirects, retries, proxies, decoding. The answers are parsed by llhttp.
"""

import socket
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

import httptools

from consumer.domain.errors import TransientError

_PORTS = {"http": 80, "https": 443}
_READ_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """`location` is where the answer says to go on, if it does."""

    status: int
    body: bytes
    location: str | None = None


class HttpClient:
    """Keeps up to `connections` idle connections to each server; opens as many more as are needed."""

    def __init__(
        self, *, connections: int, connect_timeout_seconds: float, read_timeout_seconds: float
    ) -> None:
        """The read timeout is for each wait: to send more, and for more of an answer."""
        self._limits = _Limits(connections, connect_timeout_seconds, read_timeout_seconds)
        self._servers: dict[tuple[str, str], _Server] = {}

    def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes | bytearray) -> Answer:
        """One attempt; follows no redirect. Raises TransientError where there is no answer."""
        try:
            parts = urlsplit(url)
            target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
            server = self._server(parts.scheme, parts.netloc)
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


class _Connection(Protocol):
    """A socket, with TLS or without."""

    def sendmsg(self, buffers: Sequence[bytes | bytearray]) -> int: ...
    def sendall(self, data: bytes | bytearray | memoryview) -> None: ...
    def recv(self, size: int) -> bytes: ...
    def settimeout(self, seconds: float | None) -> None: ...
    def close(self) -> None: ...


class _Server:
    """One server and the connections to it that wait for a request, the one used last at the end."""

    def __init__(self, scheme: str, netloc: str, limits: _Limits) -> None:
        """Raises ValueError for an address that is none."""
        self._idle: list[_Connection] = []
        address = urlsplit(f"//{netloc}")
        if scheme not in _PORTS or not address.hostname:
            raise ValueError("not an address of http or https")
        self._host = address.hostname
        self._port = address.port or _PORTS[scheme]
        self._tls = _tls() if scheme == "https" else None
        self._limits = limits

    def __del__(self) -> None:
        for connection in self._idle:
            connection.close()

    def request(self, head: bytes, body: bytes | bytearray) -> Answer:
        connection = self._take()
        reader = _AnswerReader()
        try:
            answer = self._ask(connection, head, body, reader)
        except BaseException:
            # a request that is given up, too, leaves an answer behind that nobody waits for
            connection.close()
            raise
        if reader.keeps_alive and len(self._idle) < self._limits.connections:
            self._idle.append(connection)
        else:
            connection.close()
        return answer

    def _take(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if _is_silent(connection):
                connection.settimeout(self._limits.read_seconds)
                return connection
            connection.close()
        return self._open()

    def _ask(
        self, connection: _Connection, head: bytes, body: bytes | bytearray, reader: "_AnswerReader"
    ) -> Answer:
        try:
            self._send(connection, head, body)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError) as error:
            # who refuses a request may say so, and hang up, before all of it has come
            with suppress(OSError, httptools.HttpParserError):
                answer = reader.read(connection)
                reader.keeps_alive = False
                return answer
            raise error
        return reader.read(connection)

    def _send(self, connection: _Connection, head: bytes, body: bytes | bytearray) -> None:
        if self._tls:
            connection.sendall(head)
            connection.sendall(body)
            return
        sent = connection.sendmsg([head, body])
        if sent < len(head):
            connection.sendall(head[sent:])
        if sent < len(head) + len(body):
            connection.sendall(memoryview(body)[max(0, sent - len(head)) :])

    def _open(self) -> _Connection:
        plain = socket.create_connection((self._host, self._port), self._limits.connect_seconds)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = self._tls.wrap_socket(plain, server_hostname=self._host) if self._tls else plain
        except BaseException:
            plain.close()
            raise
        connection.settimeout(self._limits.read_seconds)
        return connection


class _AnswerReader:
    """Reads one answer. The methods that begin with `on_` are called by the parser."""

    def __init__(self) -> None:
        self.keeps_alive = False
        self._parser = httptools.HttpResponseParser(self)
        self._status = 0
        self._location: str | None = None
        self._body: list[bytes] = []
        self._says_where_it_ends = False
        self._is_whole = False

    def read(self, connection: _Connection) -> Answer:
        """Raises OSError or httptools.HttpParserError."""
        try:
            while not self._is_whole:
                some = connection.recv(_READ_BYTES)
                if some:
                    self._parser.feed_data(some)
                elif self._status >= 200 and not self._says_where_it_ends:
                    break  # it ends with the connection
                else:
                    raise ConnectionError("the connection ended before the answer did")
        except httptools.HttpParserError:
            self.keeps_alive = False
            if not self._is_whole:  # else it is about what came behind the answer
                raise
        finally:
            del self._parser  # each of the two holds the other
        return Answer(self._status, b"".join(self._body), self._location)

    def on_message_begin(self) -> None:
        if self._is_whole:
            raise ConnectionError("more than one answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"location":
            self._location = value.decode("latin-1")
        elif name in (b"content-length", b"transfer-encoding"):
            self._says_where_it_ends = True

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()

    def on_body(self, some: bytes) -> None:
        self._body.append(some)

    def on_message_complete(self) -> None:
        if self._status >= 200:  # others announce that the answer is to follow
            self._is_whole = True
            self.keeps_alive = self._parser.should_keep_alive()


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


def _is_silent(connection: _Connection) -> bool:
    """Whether an idle connection is still open: the server has neither closed it nor said anything unasked."""
    connection.settimeout(0)
    try:
        connection.recv(1)
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    except OSError:
        return False
    return False


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
