"""The health port against real sockets of clients that mean well, and of others."""

import asyncio
import errno
import os
import resource
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from consumer.daemon.errors import StartFailed
from consumer.daemon.report import http
from consumer.daemon.report.http import Answer, Request, Route, Site, Stream

HOST = "127.0.0.1"
PROBE = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
LISTENER = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"
MANY = 3 * http._CONNECTIONS


def healthz(request: Request) -> Answer:
    return Answer(body=b"well")


type Scenario = Callable[[int], Awaitable[None]]


def serve(
    scenario: Scenario,
    *,
    told: list[str] | None = None,
    route: Route = healthz,
    stream: Stream | None = None,
    host: str = HOST,
) -> None:
    """Runs the scenario, which gets the port, while the port is served."""
    port = free_port()
    streams = {} if stream is None else {"/events": stream}
    site = Site(routes={"/healthz": route}, streams=streams)

    async def run() -> None:
        lines: list[str] = [] if told is None else told
        async with http.serving(host, port, site, lines.append):
            await scenario(port)

    asyncio.run(run())


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
        return port


async def connect(port: int, source: str = HOST) -> socket.socket:
    """Connects in the kernel; whether it is accepted is another matter."""
    connection = socket.socket()
    connection.setblocking(False)
    connection.bind((source, 0))
    await asyncio.get_running_loop().sock_connect(connection, (HOST, port))
    return connection


async def ask(port: int, request: bytes = PROBE, source: str = HOST) -> bytes:
    with await connect(port, source) as connection:
        return await answer(connection, request)


async def answer(connection: socket.socket, request: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connection, request)
    return await rest(connection)


async def rest(connection: socket.socket) -> bytes:
    """All that comes until the connection ends."""
    received = b""
    while some := await asyncio.get_running_loop().sock_recv(connection, 65536):
        received += some
    return received


def is_open(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    except ConnectionResetError:
        return False


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """As long as the block runs nothing can be opened."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.parametrize(
    ("request_head", "first_line"),
    [
        (PROBE, b"HTTP/1.1 200 OK"),
        (b"GET /healthz?x=1 HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK"),
        (b"HEAD /healthz HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK"),
        (b"GET /other HTTP/1.1\r\n\r\n", b"HTTP/1.1 404 Not Found"),
        (b"POST /healthz HTTP/1.1\r\n\r\n", b"HTTP/1.1 405 Method Not Allowed"),
        (b"x" * http._HEAD_BYTES, b"HTTP/1.1 400 Bad Request"),
    ],
)
def test_each_request_has_its_answer(request_head: bytes, first_line: bytes) -> None:
    async def scenario(port: int) -> None:
        assert (await ask(port, request_head)).partition(b"\r\n")[0] == first_line

    serve(scenario)


def test_an_answer_names_its_kind_and_length_and_is_not_kept() -> None:
    async def scenario(port: int) -> None:
        head, _, body = (await ask(port)).partition(b"\r\n\r\n")
        assert body == b"well"
        lines = head.split(b"\r\n")
        assert b"Content-Length: 4" in lines
        assert b"Content-Type: text/html" in lines
        assert b"X-Own: yes" in lines
        assert b"Cache-Control: no-store" in lines
        assert b"X-Content-Type-Options: nosniff" in lines
        head_only = await ask(port, PROBE.replace(b"GET", b"HEAD"))
        assert head_only == head + b"\r\n\r\n"

    serve(scenario, route=lambda _: Answer(body=b"well", content_type="text/html", headers={"X-Own": "yes"}))


def test_a_route_is_told_the_query_and_the_host() -> None:
    asked: list[Request] = []

    def route(request: Request) -> Answer:
        asked.append(request)
        return Answer(body=b"")

    async def scenario(port: int) -> None:
        await ask(port, b"GET /healthz?a=b HTTP/1.1\r\nAccept: x\r\nHOST:  localhost:8080 \r\n\r\n")
        await ask(port, b"GET /healthz HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n")
        await ask(port, b"GET /healthz HTTP/1.0\r\n\r\n")

    serve(scenario, route=route)
    assert [(request.query, request.host) for request in asked] == [
        ("a=b", "localhost"),
        ("", "::1"),
        ("", None),
    ]


def test_an_answer_that_cannot_be_made_is_a_500_and_one_line() -> None:
    told: list[str] = []

    async def scenario(port: int) -> None:
        for _ in range(2):
            assert (await ask(port)).startswith(b"HTTP/1.1 500 ")

    def route(_: Request) -> Answer:
        raise ValueError("broken")

    serve(scenario, told=told, route=route)
    assert told == ["http.port: the answer for /healthz could not be made: ValueError('broken')"]


@pytest.mark.parametrize(
    ("bound", "host", "code"),
    [
        ("127.0.0.1", b"127.0.0.1:8080", b"200"),
        ("127.0.0.1", b"LOCALHOST", b"200"),
        ("127.0.0.1", b"127.8.9.10", b"200"),
        ("127.0.0.1", b"[::1]", b"200"),
        ("127.0.0.1", b"s3.localhost:1", b"200"),
        ("127.0.0.1", b"evil.example:8080", b"421"),
        ("127.0.0.1", b"127.0.0.1.evil.example", b"421"),
        ("127.0.0.1", b"192.0.2.7", b"421"),
        ("127.0.0.1", b"", b"421"),
        ("0.0.0.0", b"consumer.example", b"200"),
    ],
)
def test_on_a_loopback_address_a_foreign_name_is_refused(bound: str, host: bytes, code: bytes) -> None:
    async def scenario(port: int) -> None:
        answer = await ask(port, b"GET /healthz HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
        assert answer.split(b" ")[1] == code

    serve(scenario, host=bound)


class Events:
    """A stream whose events come when the test says so."""

    def __init__(self, event: bytes = b"data: x\n\n") -> None:
        self.open = 0
        self.more = asyncio.Event()
        self._event = event

    async def __call__(self) -> AsyncGenerator[bytes]:
        self.open += 1
        try:
            yield self._event
            while True:
                await self.more.wait()
                self.more.clear()
                yield self._event
        finally:
            self.open -= 1


async def listen(port: int) -> socket.socket:
    """A connection on which the first event has come."""
    connection = await connect(port)
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connection, LISTENER)
    received = b""
    while b"data: x\n\n" not in received:
        some = await loop.sock_recv(connection, 65536)
        assert some, received
        received += some
    assert b"Content-Type: text/event-stream\r\n" in received
    return connection


def test_a_stream_goes_on_for_longer_than_a_request_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_SECONDS", 0.05)
    events = Events()

    async def scenario(port: int) -> None:
        with await listen(port) as connection:
            await asyncio.sleep(0.1)
            events.more.set()
            assert await asyncio.get_running_loop().sock_recv(connection, 99) == b"data: x\n\n"

    serve(scenario, stream=events)
    assert events.open == 0


def test_streams_leave_the_places_to_others_and_beyond_their_number_have_one_event() -> None:
    events = Events()

    async def scenario(port: int) -> None:
        with ExitStack() as stack:
            lasting = [stack.enter_context(await listen(port)) for _ in range(http._STREAMS)]
            late = await ask(port, LISTENER)
            assert late.endswith(b"retry: 5000\n\ndata: x\n\n")
            for _ in range(MANY):
                stack.enter_context(await connect(port))
            assert (await ask(port)).startswith(b"HTTP/1.1 200 ")
            assert all(is_open(connection) for connection in lasting)
            assert events.open == http._STREAMS

    serve(scenario, stream=events)


def test_an_event_that_cannot_be_made_is_one_line_and_ends_the_stream() -> None:
    told: list[str] = []

    async def broken() -> AsyncGenerator[bytes]:
        yield b"data: x\n\n"
        raise ValueError("broken")

    async def scenario(port: int) -> None:
        for _ in range(2):
            assert (await ask(port, LISTENER)).endswith(b"data: x\n\n")

    serve(scenario, told=told, stream=broken)
    assert told == ["http.port: an event could not be made: ValueError('broken')"]


def test_a_stream_that_its_reader_leaves_frees_its_place() -> None:
    events = Events()

    async def scenario(port: int) -> None:
        for _ in range(2 * http._STREAMS):
            with await listen(port):
                pass
            while events.open:
                events.more.set()
                await asyncio.sleep(0)

    serve(scenario, stream=events)


def test_a_reader_who_does_not_take_his_events_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_SECONDS", 0.05)
    events = Events(b"data: x\n\n" * 2_000_000)

    async def scenario(port: int) -> None:
        with await connect(port) as connection:
            await asyncio.get_running_loop().sock_sendall(connection, LISTENER)
            while not events.open:
                await asyncio.sleep(0)
            while events.open:
                await asyncio.sleep(0.01)
            assert len(await rest(connection)) < 18_000_000

    serve(scenario, stream=events)


def test_a_request_may_come_in_pieces() -> None:
    async def scenario(port: int) -> None:
        with await connect(port) as connection:
            for part in (PROBE[:9], PROBE[9:-2]):
                await asyncio.get_running_loop().sock_sendall(connection, part)
                await ask(port)  # by then the part has been read
            assert (await answer(connection, PROBE[-2:])).startswith(b"HTTP/1.1 200 ")

    serve(scenario)


def test_a_probe_is_answered_while_silent_connections_hold_all_places(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "_SECONDS", 600)

    async def scenario(port: int) -> None:
        with ExitStack() as stack:
            silent = [stack.enter_context(await connect(port)) for _ in range(MANY)]
            assert (await ask(port)).startswith(b"HTTP/1.1 200 ")
            # the probe had the place of one of them
            ended = silent[: MANY - http._CONNECTIONS + 1]
            assert [await rest(connection) for connection in ended] == [b""] * len(ended)
            assert all(is_open(connection) for connection in silent[len(ended) :])

    serve(scenario)


def test_who_holds_most_places_loses_his_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_SECONDS", 600)

    async def scenario(port: int) -> None:
        with await connect(port, "127.0.0.2") as slow, ExitStack() as stack:
            await asyncio.get_running_loop().sock_sendall(slow, PROBE[:-2])
            await ask(port)
            for _ in range(MANY):
                stack.enter_context(await connect(port))
            await ask(port)
            assert (await answer(slow, PROBE[-2:])).startswith(b"HTTP/1.1 200 ")

    serve(scenario)


def test_places_are_free_again_once_their_connections_have_ended() -> None:
    async def scenario(port: int) -> None:
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names alone
        for _ in range(MANY):
            await ask(port)
        assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208

    serve(scenario)


@pytest.mark.parametrize("said", [b"", b"GET /heal"])
def test_a_client_that_takes_its_time_loses_its_place(monkeypatch: pytest.MonkeyPatch, said: bytes) -> None:
    monkeypatch.setattr(http, "_SECONDS", 0.05)

    async def scenario(port: int) -> None:
        with await connect(port) as slow:
            assert await answer(slow, said) == b""

    serve(scenario)


def test_a_client_that_does_not_read_its_answer_loses_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_SECONDS", 0.05)

    async def scenario(port: int) -> None:
        ended = asyncio.Event()
        free = http._Places._free

        def free_and_tell(*arguments: Any) -> None:
            free(*arguments)
            ended.set()

        monkeypatch.setattr(http._Places, "_free", free_and_tell)
        with await connect(port) as connection:
            await asyncio.get_running_loop().sock_sendall(connection, PROBE)
            await ended.wait()
            await asyncio.sleep(0)
            part = await rest(connection)
        assert b"Content-Length" in part
        assert len(part) < 20_000_000

    serve(scenario, route=lambda _: Answer(body=b"x" * 20_000_000))


def test_without_descriptors_it_waits_says_so_once_and_then_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_PAUSE_SECONDS", 0)
    told: list[str] = []

    async def scenario(port: int) -> None:
        for _ in range(2):
            with socket.socket() as connection:
                with no_descriptor_left():
                    connection.connect((HOST, port))
                    connection.setblocking(False)
                    for _ in range(50):  # an attempt in each turn of the loop
                        await asyncio.sleep(0)
                assert (await answer(connection, PROBE)).startswith(b"HTTP/1.1 200 ")

    serve(scenario, told=told)
    reason = os.strerror(errno.EMFILE)
    assert told == [f"http.port: a connection cannot be accepted now, and is asked for again: {reason}"]


def test_the_end_does_not_wait_for_clients() -> None:
    connections: list[socket.socket] = []

    async def scenario(port: int) -> None:
        connections.extend([await connect(port) for _ in range(3)])
        await ask(port)

    serve(scenario)
    for connection in connections:
        with connection:
            assert not is_open(connection)


def test_an_address_that_cannot_be_had_is_said() -> None:
    async def scenario(port: int) -> None:
        with pytest.raises(StartFailed, match="another process has it"):
            async with http.serving(HOST, port, Site(routes={}), print):
                pass

    serve(scenario)


def test_an_address_that_this_host_does_not_have_names_the_host_and_not_the_port() -> None:
    async def run() -> None:
        async with http.serving("192.0.2.1", 8080, Site(routes={}), print):
            pass

    with pytest.raises(StartFailed, match=r"^http\.host: cannot listen on 192\.0\.2\.1 port 8080: "):
        asyncio.run(run())
