"""A small HTTP server: GET of what a table of routes names, and streams of events. One request a connection, nothing is
read past its head.

Whoever reaches the port can take no more of the daemon than its places: what is beyond waits in the kernel, and a new
connection takes the place of an old one, so that a probe is answered while others hold all they can. Streams, which
last, have places of their own.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus

from consumer.daemon.errors import StartFailed

_CONNECTIONS = 64
"""At once: more than health checks and people open, and few of the 256 descriptors that a process has where it has
least. The rest is for what the supervisor opens itself, above all to start a JVM or a fork server."""
_STREAMS = 8
"""At once, beside the connections. Who comes later gets the first event alone, and asks again after _RETRY."""
_RETRY = b"retry: 5000\n\n"
"""After how many milliseconds a browser asks again for a stream that has ended."""
_WAITING = 1024
"""Connections that the kernel keeps until they are accepted; they take no descriptor."""
_HEAD_BYTES = 8 * 1024
_SECONDS = 5.0
"""For a whole connection, however slowly it asks and reads; on a stream for each event."""
_PAUSE_SECONDS = 1.0
_SILENCE_SECONDS = 600.0
"""Between two lines about connections that cannot be accepted, or answers that cannot be made."""
_HEADERS = (
    "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\nConnection: close\r\n\r\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked for. `host` is the Host header, without the port; None where there is none."""

    query: str
    host: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    body: bytes
    content_type: str = "application/json"
    code: HTTPStatus = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)


type Route = Callable[[Request], Answer]

type Stream = Callable[[], AsyncGenerator[bytes]]
"""The events for one reader, in the form of text/event-stream. Each is made when the one before it is sent, so a slow
reader has fewer of them, and none wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What is served, by path."""

    routes: Mapping[str, Route]
    streams: Mapping[str, Stream] = field(default_factory=dict)


@asynccontextmanager
async def serving(host: str, port: int, site: Site, warn: Callable[[str], None]) -> AsyncIterator[None]:
    """Serves as long as the block runs. `warn` gets a line when connections cannot be accepted or an answer cannot be
    made, ten minutes apart at least. Raises StartFailed when the address cannot be had.

    On a loopback address only requests that name this host so are answered: a page of somebody else's whose name was
    made to point here (DNS rebinding) names its own.
    """
    listeners = await _listeners(host, port)
    tell = _Seldom(warn, asyncio.get_running_loop().time)
    places = _Places(site, own_name=host, tell=tell)
    accepting = [asyncio.create_task(_accept(listener, places, tell)) for listener in listeners]
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


class _Seldom:
    """Passes a line on unless another was told a short while ago."""

    def __init__(self, warn: Callable[[str], None], now: Callable[[], float]) -> None:
        self._warn = warn
        self._now = now
        self._silent_until = 0.0

    def __call__(self, line: str) -> None:
        if self._now() >= self._silent_until:
            self._silent_until = self._now() + _SILENCE_SECONDS
            self._warn(line)


async def _accept(listener: socket.socket, places: _Places, tell: _Seldom) -> None:
    """For ever. One connection in a turn of the event loop, so that a flood of them leaves the rest its turns."""
    loop = asyncio.get_running_loop()
    is_local = _is_loopback(listener.getsockname()[0])
    while True:
        try:
            connection, peer = await loop.sock_accept(listener)
        except OSError as error:
            tell(f"http.port: a connection cannot be accepted now, and is asked for again: {error.strerror}")
            await asyncio.sleep(_PAUSE_SECONDS)
        else:
            places.give(connection, peer[0], is_local=is_local)
            await asyncio.sleep(0)


class _Places:
    """The connections that are attended to."""

    def __init__(self, site: Site, *, own_name: str, tell: _Seldom) -> None:
        self._site = site
        self._own_name = own_name
        self._tell = tell
        self._held: dict[asyncio.Task[None], str] = {}
        """The peer's address by connection, the oldest first."""
        self._streams: set[asyncio.Task[None]] = set()

    def give(self, connection: socket.socket, host: str, *, is_local: bool) -> None:
        """When all places are taken, the oldest connection of the address that holds most of them loses its own: who
        opens many closes those, and who sends a request at once has his answer by then."""
        if len(self._held) >= _CONNECTIONS:
            ((most, _),) = Counter(self._held.values()).most_common(1)
            oldest = next(task for task, peer in self._held.items() if peer == most)
            del self._held[oldest]
            oldest.cancel()
        task = asyncio.create_task(self._attend(connection, is_local=is_local))
        self._held[task] = host
        task.add_done_callback(partial(self._free, connection))

    def _free(self, connection: socket.socket, ended: asyncio.Task[None]) -> None:
        self._held.pop(ended, None)
        self._streams.discard(ended)
        connection.close()

    async def close(self) -> None:
        tasks = [*self._held, *self._streams]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _attend(self, connection: socket.socket, *, is_local: bool) -> None:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(_SECONDS):
                answer = self._answer(await _head(connection), is_local=is_local)
                if isinstance(answer, bytes):
                    await _send(connection, answer)
            if not isinstance(answer, bytes):
                try:
                    await self._stream(connection, answer)
                except (OSError, TimeoutError):
                    raise
                except Exception as error:  # noqa: BLE001 - the browser asks again
                    self._tell(f"http.port: an event could not be made: {error!r}")

    def _answer(self, head: bytes | None, *, is_local: bool) -> bytes | Stream:
        if head is None:
            return _response(_plain(HTTPStatus.BAD_REQUEST))
        method, _, rest = head.partition(b" ")
        path, _, query = rest.partition(b" ")[0].decode("latin-1").partition("?")
        host = _host(head)
        if is_local and host is not None and not self._is_named(host):
            return _response(_plain(HTTPStatus.MISDIRECTED_REQUEST, "ask for 127.0.0.1 or localhost"))
        route, stream = self._site.routes.get(path), self._site.streams.get(path)
        if route is None and stream is None:
            return _response(_plain(HTTPStatus.NOT_FOUND))
        if method != b"GET" and (method != b"HEAD" or route is None):
            return _response(_plain(HTTPStatus.METHOD_NOT_ALLOWED))
        if route is None:
            return stream or b""
        try:
            answer = route(Request(query=query, host=host))
        except Exception as error:  # noqa: BLE001 - one answer that fails is no reason to leave the others out
            self._tell(f"http.port: the answer for {path} could not be made: {error!r}")
            answer = _plain(HTTPStatus.INTERNAL_SERVER_ERROR)
        return _response(answer, with_body=method == b"GET")

    def _is_named(self, host: str) -> bool:
        name = host.lower()
        own = {"localhost", self._own_name.lower()}
        return name in own or name.endswith(".localhost") or _is_loopback(name)

    async def _stream(self, connection: socket.socket, stream: Stream) -> None:
        task = asyncio.current_task()
        assert task is not None
        lasts = len(self._streams) < _STREAMS and self._held.pop(task, None) is not None
        if lasts:
            self._streams.add(task)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{_HEADERS}".encode("ascii") + _RETRY
        async with aclosing(stream()) as events:
            async for event in events:
                async with asyncio.timeout(_SECONDS):
                    await _send(connection, head + event)
                head = b""
                if not lasts:
                    return


async def _send(connection: socket.socket, content: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(connection, content)


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


def _host(head: bytes) -> str | None:
    """The name in the Host header; of several the first, as long as it is one."""
    for line in head.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"host":
            host = value.strip().decode("latin-1")
            return host[1 : host.find("]")] if host.startswith("[") else host.partition(":")[0]
    return None


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _plain(code: HTTPStatus, why: str = "") -> Answer:
    body = f"{code.value} {code.phrase}{': ' if why else ''}{why}\n"
    return Answer(body=body.encode(), content_type="text/plain", code=code)


def _response(answer: Answer, *, with_body: bool = True) -> bytes:
    own = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
    head = (
        f"HTTP/1.1 {answer.code.value} {answer.code.phrase}\r\nContent-Type: {answer.content_type}\r\n"
        f"Content-Length: {len(answer.body)}\r\n{own}{_HEADERS}"
    )
    return head.encode("ascii") + (answer.body if with_body else b"")


def _reason(error: OSError) -> str:
    return "another process has it" if error.errno == errno.EADDRINUSE else (error.strerror or str(error))
