"""What an ASGI application does with a request: take all of its body, or reset its connection, which ASGI itself has no
word for."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

type Scope = dict[str, Any]
type Message = dict[str, Any]
type Receive = Callable[[], Awaitable[Message]]
type Send = Callable[[Message], Awaitable[None]]
type App = Callable[[Scope, Receive, Send], Awaitable[None]]

_EXTENSION = "consumer.reset"
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER on, with no time to linger: the close sends RST


async def body_of(receive: Receive) -> bytes:
    """All of it, or what had come when the client left."""
    pieces = []
    while True:
        message = await receive()
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(pieces)


def connected(app: App, transport: asyncio.BaseTransport) -> App:
    """The application, for the requests of one connection."""

    async def with_reset(scope: Scope, receive: Receive, send: Send) -> None:
        extensions = {**(scope.get("extensions") or {}), _EXTENSION: lambda: _reset(transport)}
        await app({**scope, "extensions": extensions}, receive, send)

    return with_reset


def reset(scope: Scope) -> None:
    """Reset the connection that a request came on, with whatever else is under way on it."""
    scope["extensions"][_EXTENSION]()


def _reset(transport: asyncio.BaseTransport) -> None:
    connection: socket.socket | None = transport.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    assert isinstance(transport, asyncio.Transport)
    transport.abort()
