"""One HTTP/1.1 connection, whose answers the standard library's http.client reads, within bounds of size and time.

http.client begins a new wait at every byte, reads whatever a server sends, and takes a head that is cut off for a whole
one. Requests are written here: http.client takes ten times as long for the same bytes, and sends head and body apart.
"""

import io
import select
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from time import monotonic
from typing import Any, Self
from urllib.parse import urlsplit

from consumer.sinks.http.proxies import PASSING, Proxy, http_proxy_of, refused_by

HEAD_BYTES = 64 * 1024
"""Limit for what comes before the body. Google's heads take 1 KiB."""

ANSWER_BYTES = 32 * 1024 * 1024
"""Limit for a whole answer. The longest honest one names each of 50,000 rows of an insertAll, the most that a request
may hold, in some 250 bytes of JSON: 12 MiB."""

_PORTS = {"http": 80, "https": 443}
_PROXY_WANTS_A_PASSWORD = 407
_WAITS = 5
"""A request as a whole may take so many times the longest wait in it: whoever sends a byte now and then must not hold
it for ever, and one that has taken so long is better begun anew."""
_IDLE_SECONDS = 300
"""AWS's NAT gateways and load balancers forget a connection that was idle for 350 s, and tell neither end."""
_READ_BYTES = 16 * 1024
_PIECE_BYTES = 64 * 1024
"""TLS sends all that it is given before it returns, in as many waits as that takes."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`location` is where the answer says to go on, if it does."""

    status: int
    body: bytes
    location: str | None = None


class Connection:
    """To one server, by the proxy that the environment names for it. Takes one request at a time, and none after an
    error."""

    def __init__(
        self,
        scheme: str,
        netloc: str,
        tls: ssl.SSLContext | None,
        *,
        connect_seconds: float,
        read_seconds: float,
    ) -> None:
        """Raises ValueError if the address is invalid, SetupError if the proxy is."""
        server = urlsplit(f"//{netloc}")
        if scheme not in _PORTS or not server.hostname:
            raise ValueError("not an address of http or https")
        self._host, self._port, self._tls = server.hostname, server.port or _PORTS[scheme], tls
        self._connect_seconds, self._read_seconds = connect_seconds, read_seconds
        self.proxy = http_proxy_of(f"{scheme}://{netloc}")
        self._headers, self._target_prefix = (
            {"Host": netloc, "User-Agent": "kinesis-consumer", "Accept-Encoding": "identity"},
            "",
        )
        if self.proxy and not tls:  # it is asked itself, with the whole address
            self._headers |= self.proxy.headers()
            self._target_prefix = f"{scheme}://{netloc}"
        self._wire: _Wire | None = None
        self.is_kept = False

    def ask(self, method: str, target: str, headers: Mapping[str, str], body: bytes | bytearray) -> Answer:
        """Opens the connection first if need be. Raises OSError, ValueError or HTTPException where there is no answer,
        SetupError for what a proxy refuses."""
        head = _head(method, self._target_prefix + target, {**self._headers, **headers}, len(body))
        wire = self._wire or self._open()
        wire.expect_head(_WAITS * self._read_seconds)
        self.is_kept = False
        try:
            wire.send(head, body)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError) as error:
            # who refuses a request may say so, and hang up, before all of it has come
            with suppress(OSError, HTTPException):
                answer = self._read_answer(wire, method)
                self.is_kept = False
                return answer
            raise error
        answer = self._read_answer(wire, method)
        wire.expect_head(_IDLE_SECONDS)
        return answer

    def is_reusable(self) -> bool:
        """Of a connection that `is_kept`: whether it was not idle for long, and the server has neither closed it nor
        said anything unasked."""
        if self._wire is None:
            return False
        self._wire.socket.settimeout(0)
        try:
            self._wire.reader.peek()
        except (BlockingIOError, ssl.SSLWantReadError):
            self._wire.socket.settimeout(self._read_seconds)
            return True
        except OSError:
            return False
        return False

    def hang_up(self) -> None:
        if self._wire is not None:
            self._wire.socket.close()

    def _open(self) -> "_Wire":
        """Takes up to `connect_seconds` for each address of the host, and once more for a proxy and for TLS each."""
        nearest = (self.proxy.host, self.proxy.port) if self.proxy else (self._host, self._port)
        plain = socket.create_connection(nearest, self._connect_seconds)
        wire = self._wire = _Wire(plain)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls:
            if self.proxy:
                wire.expect_head(self._connect_seconds)
                self._tunnel(wire, self.proxy)
            tls = self._tls.wrap_socket(plain, server_hostname=self._host, do_handshake_on_connect=False)
            wire = self._wire = _Wire(tls)
            _shake_hands(tls, self._connect_seconds)
        wire.socket.settimeout(self._read_seconds)
        return wire

    def _tunnel(self, wire: "_Wire", proxy: Proxy) -> None:
        """Lets the proxy connect to the server."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        server = f"{host}:{self._port}"
        wire.send(_head("CONNECT", server, {"Host": server, **proxy.headers()}))
        with HTTPResponse(wire.reader, method="CONNECT") as response:
            response.begin()
            if 400 <= response.status < 500 and response.status not in PASSING:
                raise refused_by(proxy, response.status, self._host)
            if response.status != 200:
                raise ConnectionError(f"it does not connect, but answers {response.status}")

    def _read_answer(self, wire: "_Wire", method: str) -> Answer:
        with HTTPResponse(wire.reader, method=method) as response:
            response.begin()
            if response.status < 200:
                raise ConnectionError(f"an answer of status {response.status}, which was not asked for")
            if response.status == _PROXY_WANTS_A_PASSWORD and self.proxy:
                raise refused_by(self.proxy, response.status, self._host)
            has_end = response.chunked or "Content-Length" in response.headers
            wire.expect_body(response.length or 0, may_end=not has_end)
            body = response.read(ANSWER_BYTES if response.length is None else None)
            self.is_kept = not response.will_close
            return Answer(response.status, body, response.getheader("Location"))


class _Wire(io.RawIOBase):
    """A socket, used up to a moment of the monotonic clock and read up to a number of bytes."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.reader: Any = _Reader(self, _READ_BYTES)

    def expect_head(self, seconds: float) -> None:
        self._until, self._may_end = monotonic() + seconds, False
        self._received, self._limit, self._part = 0, HEAD_BYTES, "the head of the answer"

    def expect_body(self, length: int, *, may_end: bool) -> None:
        """`length` is 0 where it is not known; `may_end`: the body ends where the connection does."""
        self._may_end, self._limit, self._part = may_end, ANSWER_BYTES, "the answer"
        self._check_size(length)  # http.client takes memory for all of it at once

    def send(self, *parts: bytes | bytearray) -> None:
        sent = 0 if isinstance(self.socket, ssl.SSLSocket) else self.socket.sendmsg(parts)
        for part in parts:
            rest = memoryview(part)[sent:]
            sent = max(0, sent - len(part))
            while rest:
                self._check_time()
                rest = rest[self.socket.send(rest[:_PIECE_BYTES]) :]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._check_time()
        size = self.socket.recv_into(buffer)
        if not size and not self._may_end:
            raise ConnectionError("the connection ended before the answer did")
        self._received += size
        self._check_size(self._received)
        return size

    def _check_time(self) -> None:
        if monotonic() > self._until:
            raise TimeoutError("the request has taken longer than it may as a whole")

    def _check_size(self, size: int) -> None:
        if size > self._limit:
            raise ConnectionError(f"{self._part} is longer than {self._limit >> 10} KiB")


class _Reader(io.BufferedReader):
    """What http.client takes for a socket, and for the file of each answer, which it closes at the answer's end."""

    def makefile(self, mode: str) -> Self:
        return self

    def close(self) -> None:
        pass


def _head(method: str, target: str, headers: Mapping[str, str], size: int = 0) -> bytes:
    """Raises ValueError for what would end a line of it."""
    lines = [f"{method} {target} HTTP/1.1", *[f"{name}: {value}" for name, value in headers.items()]]
    if size or method in ("POST", "PUT"):
        lines.append(f"Content-Length: {size}")
    if " " in target or not "".join(lines).isprintable():
        raise ValueError("a request with characters that HTTP does not allow")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _shake_hands(connection: ssl.SSLSocket, seconds: float) -> None:
    until = monotonic() + seconds
    connection.settimeout(0)
    while True:
        try:
            connection.do_handshake()
        except ssl.SSLWantReadError:
            if not select.select([connection], [], [], max(0.0, until - monotonic()))[0]:
                raise TimeoutError("the TLS handshake timed out") from None
        else:
            return
