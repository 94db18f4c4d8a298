"""The health port against real sockets of clients that mean well, and of others."""

import asyncio
import errno
import os
import resource
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from consumer.daemon.errors import StartFailed
from consumer.daemon.report import http
from consumer.daemon.report.health import Health, Phase
from consumer.daemon.report.probes import probes
from consumer.daemon.report.shards import Shards
from consumer.daemon.report.status import Identity, ShardReport, Status
from consumer.domain.events import StatusEvent

HOST = "127.0.0.1"
PROBE = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
MANY = 3 * http._CONNECTIONS


def shard() -> ShardReport:
    known = Shards(trend_seconds=60)
    known.update(StatusEvent(shard="x" * 1000, pid=1, state="running"), 2.0)
    return ShardReport.of(next(iter(known)), now=2.0, catching_up=False)


def status(*, healthy: bool = True, shards: int = 0) -> Status:
    return Status(
        identity=Identity(backend="s3", application="app", worker_id="me", pid=1),
        health=Health(phase=Phase.RUNNING, healthy=healthy, reasons=()),
        updated_at=2.0,
        started_at=1.0,
        shards=(shard(),) * shards,
    )


type Scenario = Callable[[int], Awaitable[None]]


def serve(scenario: Scenario, *, told: list[str] | None = None, current: Status | None = None) -> None:
    """Runs the scenario, which gets the port, while the port is served."""
    port = free_port()

    async def run() -> None:
        lines: list[str] = [] if told is None else told
        routes = probes(lambda: current or status(), lambda: b"")
        async with http.serving(HOST, port, routes, lines.append):
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


def test_what_is_not_well_is_a_503_with_the_status() -> None:
    async def scenario(port: int) -> None:
        head, _, body = (await ask(port)).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b'"healthy":false' in body

    serve(scenario, current=status(healthy=False))


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
    large = status(shards=20_000)

    async def scenario(port: int) -> None:
        ended = asyncio.Event()
        attend = http._attend

        async def attend_and_tell(*arguments: object) -> None:
            await attend(*arguments)  # type: ignore[arg-type]
            ended.set()

        monkeypatch.setattr(http, "_attend", attend_and_tell)
        with await connect(port) as connection:
            await asyncio.get_running_loop().sock_sendall(connection, PROBE)
            await ended.wait()
            await asyncio.sleep(0)
            part = await rest(connection)
        assert b"Content-Length" in part
        assert len(part) < 20_000_000

    serve(scenario, current=large)


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
            async with http.serving(HOST, port, {}, print):
                pass

    serve(scenario)


def test_an_address_that_this_host_does_not_have_names_the_host_and_not_the_port() -> None:
    async def run() -> None:
        async with http.serving("192.0.2.1", 8080, {}, print):
            pass

    with pytest.raises(StartFailed, match=r"^http\.host: cannot listen on 192\.0\.2\.1 port 8080: "):
        asyncio.run(run())
