"""Serves GET /healthz: 200 or 503 with the status as JSON. One request a connection, nothing is read past its
head."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus

from consumer.daemon.errors import StartFailed
from consumer.daemon.status import Status, encode

_HEAD_BYTES = 8 * 1024
_SECONDS = 5.0


@asynccontextmanager
async def serving(host: str, port: int, status: Callable[[], Status]) -> AsyncIterator[None]:
    """Serves as long as the block runs. Raises StartFailed when the address cannot be had."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(_SECONDS):
                writer.write(await _answer(reader, status))
                await writer.drain()
        writer.close()

    try:
        server = await asyncio.start_server(answer, host, port, limit=_HEAD_BYTES)
    except OSError as error:
        raise StartFailed(f"http.port: cannot listen on {host} port {port}: {_reason(error)}") from error
    async with server:
        yield


async def _answer(reader: asyncio.StreamReader, status: Callable[[], Status]) -> bytes:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return _response(HTTPStatus.BAD_REQUEST, b"{}")
    method, _, rest = head.partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0]
    if path != b"/healthz":
        return _response(HTTPStatus.NOT_FOUND, b"{}")
    if method not in (b"GET", b"HEAD"):
        return _response(HTTPStatus.METHOD_NOT_ALLOWED, b"{}")
    current = status()
    code = HTTPStatus.OK if current.health.healthy else HTTPStatus.SERVICE_UNAVAILABLE
    return _response(code, b"" if method == b"HEAD" else encode(current))


def _response(code: HTTPStatus, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {code.value} {code.phrase}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body


def _reason(error: OSError) -> str:
    return "another process has it" if error.errno == errno.EADDRINUSE else (error.strerror or str(error))
