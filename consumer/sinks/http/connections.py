"""Connections for HTTP requests: opened, and written to, within a time that the other end cannot stretch.

A socket's timeout is for one wait, and who sends or takes a byte now and then begins another.
"""

import re
import select
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from consumer.sinks.http.answers import HEAD_BYTES, check_time
from consumer.sinks.http.proxies import PASSING, Proxy, refused_by

_PIECE_BYTES = 64 * 1024
"""TLS sends all that it is given before it returns, in as many waits as that takes."""


class Connection(Protocol):
    """A socket, with TLS or without."""

    def sendmsg(self, buffers: Sequence[bytes | bytearray]) -> int: ...
    def send(self, data: memoryview) -> int: ...
    def recv(self, size: int) -> bytes: ...
    def settimeout(self, seconds: float | None) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The way to a server. What is asked without TLS is asked of the proxy; it passes on what goes by TLS unread."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    proxy: Proxy | None


def open_connection(route: Route, *, connect_seconds: float, read_seconds: float) -> Connection:
    """Up to `connect_seconds` for each address of the host, and once more for a proxy and for TLS each. Raises OSError,
    or SetupError for what a proxy refuses."""
    nearest = route.proxy or route
    plain = socket.create_connection((nearest.host, nearest.port), connect_seconds)
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if route.proxy and route.tls:
            _tunnel(plain, route, route.proxy, monotonic() + connect_seconds)
        connection = _shake_hands(plain, route.tls, route.host, connect_seconds) if route.tls else plain
    except BaseException:
        plain.close()
        raise
    connection.settimeout(read_seconds)
    return connection


def _tunnel(connection: socket.socket, route: Route, proxy: Proxy, until: float) -> None:
    """Lets the proxy connect to the server. Its answer ends with its head; a body comes only with a refusal."""
    host = f"[{route.host}]" if ":" in route.host else route.host
    server = f"{host}:{route.port}"
    lines = [f"CONNECT {server} HTTP/1.1", f"Host: {server}"]
    lines += [f"{name}: {value}" for name, value in proxy.headers().items()]
    connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
    head = b""
    while b"\r\n\r\n" not in head:
        some = connection.recv(4096)
        if not some:
            raise ConnectionError(f"the proxy {proxy} has ended the connection")
        head += some
        if len(head) > HEAD_BYTES:
            raise ConnectionError(f"the head of the proxy's answer is longer than {HEAD_BYTES >> 10} KiB")
        check_time(until)
    _check_tunnel(head, route, proxy)


def _check_tunnel(answer: bytes, route: Route, proxy: Proxy) -> None:
    head, _, behind = answer.partition(b"\r\n\r\n")
    found = re.match(rb"HTTP/1\.[01] (\d{3})\b", head)
    status = int(found[1]) if found else 0
    if 200 <= status < 300 and not behind:
        return
    if 400 <= status < 500 and status not in PASSING:
        raise refused_by(proxy, status, route.host)
    raise ConnectionError(
        f"the proxy {proxy} does not connect: it answers {status or 'something else than HTTP'}"
    )


def _shake_hands(plain: socket.socket, tls: ssl.SSLContext, host: str, seconds: float) -> ssl.SSLSocket:
    until = monotonic() + seconds
    connection = tls.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
    try:
        connection.settimeout(0)
        while True:
            try:
                connection.do_handshake()
                return connection
            except ssl.SSLWantReadError:
                reads, writes = [connection], []
            except ssl.SSLWantWriteError:
                reads, writes = [], [connection]
            if not any(select.select(reads, writes, [], max(0.0, until - monotonic()))):
                raise TimeoutError("the TLS handshake timed out")
    except BaseException:
        connection.close()
        raise


def send_all(connection: Connection, data: bytes | bytearray | memoryview, until: float) -> None:
    """Up to a moment of the monotonic clock, and for as long as a piece takes after that. Raises OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[connection.send(rest[:_PIECE_BYTES]) :]
        if rest:
            check_time(until)


def is_silent(connection: Connection) -> bool:
    """Whether an idle connection is still open: the server has neither closed it nor said anything unasked."""
    connection.settimeout(0)
    try:
        connection.recv(1)
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    except OSError:
        return False
    return False


def tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
