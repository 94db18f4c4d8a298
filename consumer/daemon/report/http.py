"""A small HTTP server: GET of what a table of routes names. One request a connection, nothing is read past its head.

Whoever reaches the port can take no more of the daemon than its places: what is beyond waits in the kernel, and a new
connection takes the place of an old one, so that a probe is answered while others hold all they can.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

from consumer.daemon.errors import StartFailed

_CONNECTIONS = 64
"""At once: more than health checks and people open, and few of the 256 descriptors that a process has where it has
least. The rest is for what the supervisor opens itself, above all to start a JVM or a fork server."""
_WAITING = 1024
"""Connections that the kernel keeps until they are accepted; they take no descriptor."""
_HEAD_BYTES = 8 * 1024
_SECONDS = 5.0
"""For a whole connection, however slowly it asks and reads."""
_PAUSE_SECONDS = 1.0
_SILENCE_SECONDS = 600.0
"""Between two lines about connections that cannot be accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    body: bytes
    content_type: str = "application/json"
    code: HTTPStatus = HTTPStatus.OK


type Route = Callable[[object], Answer]


@asynccontextmanager
async def serving(
    host: str, port: int, routes: Mapping[str, Route], warn: Callable[[str], None]
) -> AsyncIterator[None]:
    """Serves as long as the block runs. `warn` gets a line when connections cannot be accepted, ten minutes apart at
    least. Raises StartFailed when the address cannot be had."""
    places = _Places(routes)
    listeners = await _listeners(host, port)
    accepting = [asyncio.create_task(_accept(listener, places, warn)) for listener in listeners]
    try:
        yield
    finally:
        for task in accepting:
            task.cancel()
        await asyncio.gather(*accepting, return_exceptions=True)
        await places.close()
        for listener in listeners:
            listener.close()


async def _listeners(host: str, port: int) -> list[socket.socket]:
    """One for each address of the host. asyncio finds and binds them; its own way of accepting has no limits."""
    try:
        server = await asyncio.get_running_loop().create_server(
            asyncio.Protocol, host, port, start_serving=False
        )
        listeners = [bound.dup() for bound in server.sockets]
        server.close()
        for listener in listeners:
            listener.setblocking(False)
            listener.listen(_WAITING)
    except OSError as error:
        key = "http.port" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "http.host"
        raise StartFailed(f"{key}: cannot listen on {host} port {port}: {_reason(error)}") from error
    return listeners


async def _accept(listener: socket.socket, places: _Places, warn: Callable[[str], None]) -> None:
    """For ever. One connection in a turn of the event loop, so that a flood of them leaves the rest its turns."""
    loop = asyncio.get_running_loop()
    silent_until = 0.0
    while True:
        try:
            connection, peer = await loop.sock_accept(listener)
        except OSError as error:
            if loop.time() >= silent_until:
                silent_until = loop.time() + _SILENCE_SECONDS
                warn(
                    f"http.port: a connection cannot be accepted now, and is asked for again: {error.strerror}"
                )
            await asyncio.sleep(_PAUSE_SECONDS)
        else:
            places.give(connection, peer[0])
            await asyncio.sleep(0)


class _Places:
    """The connections that are attended to."""

    def __init__(self, routes: Mapping[str, Route]) -> None:
        self._routes = routes
        self._held: dict[asyncio.Task[None], str] = {}
        """The peer's address by connection, the oldest first."""

    def give(self, connection: socket.socket, host: str) -> None:
        """When all places are taken, the oldest connection of the address that holds most of them loses its own: who
        opens many closes those, and who sends a request at once has his answer by then."""
        if len(self._held) >= _CONNECTIONS:
            ((most, _),) = Counter(self._held.values()).most_common(1)
            oldest = next(task for task, peer in self._held.items() if peer == most)
            del self._held[oldest]
            oldest.cancel()
        task = asyncio.create_task(_attend(connection, self._routes))
        self._held[task] = host
        task.add_done_callback(partial(self._free, connection))

    def _free(self, connection: socket.socket, ended: asyncio.Task[None]) -> None:
        self._held.pop(ended, None)
        connection.close()

    async def close(self) -> None:
        tasks = list(self._held)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _attend(connection: socket.socket, routes: Mapping[str, Route]) -> None:
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(_SECONDS):
            answer = _answer(await _head(connection), routes)
            await asyncio.get_running_loop().sock_sendall(connection, answer)


async def _head(connection: socket.socket) -> bytes | None:
    """The head of a request and what came with it; None for one that does not end, or not within the limit."""
    loop = asyncio.get_running_loop()
    head = b""
    while b"\r\n\r\n" not in head:
        some = await loop.sock_recv(connection, _HEAD_BYTES - len(head))
        if not some:
            return None
        head += some
    return head


def _answer(head: bytes | None, routes: Mapping[str, Route]) -> bytes:
    if head is None:
        return _response(Answer(body=b"{}", code=HTTPStatus.BAD_REQUEST))
    method, _, rest = head.partition(b" ")
    route = routes.get(rest.partition(b" ")[0].partition(b"?")[0].decode("latin-1"))
    if route is None:
        return _response(Answer(body=b"{}", code=HTTPStatus.NOT_FOUND))
    if method not in (b"GET", b"HEAD"):
        return _response(Answer(body=b"{}", code=HTTPStatus.METHOD_NOT_ALLOWED))
    return _response(route(None), with_body=method == b"GET")


def _response(answer: Answer, *, with_body: bool = True) -> bytes:
    head = (
        f"HTTP/1.1 {answer.code.value} {answer.code.phrase}\r\nContent-Type: {answer.content_type}\r\n"
        f"Content-Length: {len(answer.body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + (answer.body if with_body else b"")


def _reason(error: OSError) -> str:
    return "another process has it" if error.errno == errno.EADDRINUSE else (error.strerror or str(error))
