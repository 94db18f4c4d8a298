"""The layer in front of an embedded service: it asks the service's rules about each request that these concern.

`GET /_limits` on the service's own port tells what was counted and refused, by the limits' names; `PUT` of
`{"pass_seconds": N}` puts the clock of all its limits ahead, so that what takes days is over at once.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from consumer.local.faults.connection import App, Message, Receive, Scope, Send, body_of
from consumer.local.limits import CONTROL_PATH
from consumer.local.limits.meters import Meters

type Headers = list[tuple[bytes, bytes]]


class Answer(msgspec.Struct, frozen=True):
    """An HTTP answer as a whole."""

    status: int
    body: bytes
    headers: Headers


class _Pass(msgspec.Struct):
    pass_seconds: float


class Call:
    """A request whose body has been read, and the application behind the layer."""

    def __init__(self, app: App, scope: Scope, body: bytes) -> None:
        self.scope = scope
        self.body = body
        self._app = app

    def header(self, name: bytes) -> str:
        found = (value for key, value in self.scope["headers"] if key.lower() == name)
        return next(found, b"").decode("latin-1")

    async def forward(
        self, body: bytes | None = None, headers: Mapping[bytes, bytes] | None = None
    ) -> Answer:
        """Let the application answer the request, with another body where one is given; `headers` take the place of the
        request's own, and those with an empty value are left out."""
        content = self.body if body is None else body
        changed = {b"content-length": str(len(content)).encode(), **(headers or {})}
        kept = [(key, value) for key, value in self.scope["headers"] if key.lower() not in changed]
        added = [(key, value) for key, value in changed.items() if value]
        return await self.ask({**self.scope, "headers": [*kept, *added]}, content)

    async def ask(self, scope: Scope, content: bytes = b"") -> Answer:
        """Another request to the same application."""
        status, headers, pieces = 500, [], []

        async def receive() -> Message:
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: Message) -> None:
            nonlocal status, headers
            if message["type"] == "http.response.start":
                status, headers = message["status"], list(message.get("headers", ()))
            elif message["type"] == "http.response.body":
                pieces.append(message.get("body", b""))

        await self._app(scope, receive, send)
        return Answer(status, b"".join(pieces), headers)


class Service(Protocol):
    """The rules of one embedded service."""

    def concerns(self, scope: Scope) -> bool:
        """Whether a request needs to be looked at, by its head alone."""

    async def answer(self, call: Call) -> Answer:
        """The answer to a request, the application's or one of its own."""


class LimitLayer:
    """An ASGI application around another. `more` adds to what is told of the limits."""

    def __init__(
        self,
        app: App,
        service: Service,
        meters: Meters,
        more: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self._app = app
        self._service = service
        self._meters = meters
        self._more = more

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] == CONTROL_PATH:
            if scope["method"] == "PUT":
                self._meters.ahead.seconds += msgspec.json.decode(
                    await body_of(receive), type=_Pass
                ).pass_seconds
            report = {"limits": self._meters.report(), **self._more()}
            await _respond(json_answer(200, report), send)
        elif self._service.concerns(scope):
            call = Call(self._app, scope, await body_of(receive))
            await _respond(await self._service.answer(call), send)
        else:
            await self._app(scope, receive, send)


def json_answer(status: int, content: object, content_type: str = "application/json") -> Answer:
    return plain_answer(status, msgspec.json.encode(content), content_type)


def plain_answer(status: int, body: bytes, content_type: str) -> Answer:
    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
    return Answer(status, body, headers)


async def _respond(answer: Answer, send: Send) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.body})
