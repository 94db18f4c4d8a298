"""The outermost layer of an embedded service: it counts, and changes nothing.

`/_bill` on the service's own port is where the counts are: GET tells them, DELETE begins anew. What the tools of
`consumer.local` ask for themselves is not counted (`TOOL`), but for records that they put on the stream.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from consumer.local.bill.meter import Meter
from consumer.local.faults.connection import App, Message, Receive, Scope, Send

CONTROL_PATH = "/_bill"
TOOL = "consumer-local"
"""In the User-Agent of clients that are no part of the daemon."""

_OURS = "/_"
"""How the paths begin that only the embedded services know: faults, limits, counts."""


@dataclass(slots=True)
class Exchange:
    """A request and its answer, as they went over the wire but for TLS. `status` is 0 where nothing was answered."""

    scope: Scope
    request: list[bytes] = field(default_factory=list)
    status: int = 0
    answer_headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    answer: list[bytes] = field(default_factory=list)

    @property
    def body(self) -> bytes:
        return b"".join(self.request)

    @property
    def answer_body(self) -> bytes:
        return b"".join(self.answer)

    @property
    def method(self) -> str:
        return str(self.scope["method"])

    @property
    def path(self) -> str:
        return str(self.scope["path"])

    @property
    def query(self) -> str:
        query: bytes = self.scope.get("query_string", b"")
        return query.decode("latin-1")

    def header(self, name: bytes) -> str:
        """Of the request; empty where it has none of that name."""
        return next((value.decode("latin-1") for key, value in self.scope["headers"] if key == name), "")

    def answer_header(self, name: bytes) -> str:
        found = (value.decode("latin-1") for key, value in self.answer_headers if key.lower() == name)
        return next(found, "")

    @property
    def is_tools(self) -> bool:
        return TOOL in self.header(b"user-agent")

    def sent_bytes(self) -> int:
        """Of the request, as HTTP/1.1 writes it."""
        target = self.scope.get("raw_path") or self.path.encode()
        query = self.scope.get("query_string", b"")
        line = len(f"{self.method}  HTTP/1.1\r\n") + len(target) + (len(query) + 1 if query else 0)
        return line + _header_bytes(self.scope["headers"]) + sum(map(len, self.request))

    def received_bytes(self) -> int:
        """Of the answer."""
        return len("HTTP/1.1 200 OK\r\n") + _header_bytes(self.answer_headers) + sum(map(len, self.answer))


_EVENT_STREAM = "application/vnd.amazon.eventstream"
"""An answer that lasts for minutes."""

type Account = Callable[[Exchange], None]


class MeterLayer:
    """An ASGI application around another; each exchange is counted at its end, even where the client has gone."""

    def __init__(self, app: App, meter: Meter, account: Account) -> None:
        self._app = app
        self._meter = meter
        self._account = account

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == CONTROL_PATH:
            await self._control(scope, send)
        elif scope["type"] != "http" or scope["path"].startswith(_OURS):
            await self._app(scope, receive, send)
        else:
            await self._counted(scope, receive, send)

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope)

        async def hear() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                exchange.request.append(message.get("body", b""))
            return message

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                exchange.answer_headers = list(message.get("headers", ()))
            elif message["type"] == "http.response.body":
                self._answered(exchange, message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, hear, tell)
        finally:
            self._account(exchange)

    def _answered(self, exchange: Exchange, piece: bytes) -> None:
        """A piece of an answer, kept until its end; a stream of events has none to wait for."""
        if exchange.answer_header(b"content-type") == _EVENT_STREAM:
            self._meter.add(kinesis_fanout_bytes=len(piece))
        else:
            exchange.answer.append(piece)

    async def _control(self, scope: Scope, send: Send) -> None:
        counts = self._meter.counts()
        if scope["method"] == "DELETE":
            self._meter.reset()
        body = msgspec.json.encode(counts)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _header_bytes(headers: list[tuple[bytes, bytes]]) -> int:
    """With colons, blanks, line ends, and the empty line behind them."""
    return sum(len(name) + len(value) + 4 for name, value in headers) + 2
