"""Connections for HTTP requests: opened, and written to, within a time that the other end cannot stretch.

A socket's timeout is for one wait, and who sends or takes a byte now and then begins another.
"""

import select
import socket
import ssl
from collections.abc import Sequence
from time import monotonic
from typing import Protocol

from consumer.sinks.http_answers import check_time

_PIECE_BYTES = 64 * 1024
"""TLS sends all that it is given before it returns, in as many waits as that takes."""


class Connection(Protocol):
    """A socket, with TLS or without."""

    def sendmsg(self, buffers: Sequence[bytes | bytearray]) -> int: ...
    def send(self, data: memoryview) -> int: ...
    def recv(self, size: int) -> bytes: ...
    def settimeout(self, seconds: float | None) -> None: ...
    def close(self) -> None: ...


def open_connection(
    host: str, port: int, *, tls: ssl.SSLContext | None, connect_seconds: float, read_seconds: float
) -> Connection:
    """Up to `connect_seconds` for each address of the host, and once more for TLS. Raises OSError."""
    plain = socket.create_connection((host, port), connect_seconds)
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = _shake_hands(plain, tls, host, connect_seconds) if tls else plain
    except BaseException:
        plain.close()
        raise
    connection.settimeout(read_seconds)
    return connection


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
