"""The layer in front of an embedded service: lets requests through, unless a rule says otherwise.

`/_faults` on the service's own port is where rules are set: GET gives the hits of all, DELETE lifts all, PUT
and DELETE of `/_faults/NAME` set and lift one. Without rules a request passes at the cost of one look.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from consumer.local.faults import rows
from consumer.local.faults.answers import Response, render
from consumer.local.faults.connection import App, Message, Receive, Scope, Send, body_of, reset
from consumer.local.faults.requests import Recognise, RequestHead
from consumer.local.faults.rules import (
    Answer,
    Delay,
    Hit,
    LoseAnswer,
    RefuseRows,
    Reset,
    Rule,
    Rules,
    first_hit,
)

CONTROL_PATH = "/_faults"


class FaultLayer:
    """An ASGI application around another. `sleep` and `clock` (monotonic seconds) are for tests."""

    def __init__(
        self,
        app: App,
        recognise: Recognise,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        rules: Rules | None = None,
    ) -> None:
        """`rules` are those of another protocol of the same service, too."""
        self._app = app
        self._recognise = recognise
        self._clock = clock
        self._sleep = sleep
        self._rules = Rules() if rules is None else rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"].startswith(CONTROL_PATH):
            await _respond(self._controlled(scope, await body_of(receive)), send)
        elif self._rules:
            await self._with_rules(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _controlled(self, scope: Scope, body: bytes) -> Response:
        method, name = scope["method"], scope["path"].removeprefix(CONTROL_PATH).strip("/")
        if method == "PUT" and name:
            try:
                self._rules.put(name, msgspec.json.decode(body, type=Rule), self._clock())
            except msgspec.MsgspecError as error:
                return _json(400, {"error": str(error)})
            return _json(200, {})
        if method == "DELETE":
            if name:
                return _json(200, {"hits": self._rules.lift(name)})
            self._rules.clear()
            return _json(200, {})
        return _json(200, self._rules.hits()) if method == "GET" else _json(405, {})

    async def _with_rules(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = self._recognise(scope)
        candidates = self._rules.candidates(request, self._clock())
        if not candidates:
            await self._app(scope, receive, send)
            return
        # read in any case: a client that is answered in the middle of its body sees a broken connection
        body = await body_of(receive)
        hit = first_hit(candidates, body)
        again = _replayed(body, receive)
        if hit is None:
            await self._app(scope, again, send)
        else:
            await self._act(hit, _Exchange(scope, request, body, again, send))

    async def _act(self, hit: Hit, exchange: "_Exchange") -> None:
        match hit.action:
            case Answer() as answer:
                await _respond(render(answer, exchange.request.service), exchange.send)
            case Reset():
                await _reset(exchange)
            case Delay(seconds):
                await self._sleep(seconds)
                await self._app(exchange.scope, exchange.receive, exchange.send)
            case LoseAnswer():
                await self._run(exchange.scope, exchange.receive)
                await _reset(exchange)
            case RefuseRows() as action:
                await self._refuse_rows(action, hit, exchange)

    async def _refuse_rows(self, action: RefuseRows, hit: Hit, exchange: "_Exchange") -> None:
        refusal = rows.refuse(action, exchange.body, hit.chance)
        passed_answer = None
        if refusal.rest is not None:
            scope = exchange.scope | {"headers": _with_length(exchange.scope["headers"], len(refusal.rest))}
            passed = await self._run(scope, _replayed(refusal.rest, exchange.receive))
            if passed.status != 200:
                await _respond(passed, exchange.send)
                return
            passed_answer = passed.body
        body = rows.answer(refusal, passed_answer)
        await _respond(Response(200, "application/json", body), exchange.send)

    async def _run(self, scope: Scope, receive: Receive) -> Response:
        """Let the application do its work, and keep its answer."""
        status, pieces = 500, []

        async def keep(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                pieces.append(message.get("body", b""))

        await self._app(scope, receive, keep)
        return Response(status, "application/json", b"".join(pieces))


class _Exchange(msgspec.Struct, frozen=True):
    """A request whose body has been read; `receive` gives it again."""

    scope: Scope
    request: RequestHead
    body: bytes
    receive: Receive
    send: Send


async def _reset(exchange: _Exchange) -> None:
    """Servers complain of an application that returns unanswered before they have seen the end."""
    reset(exchange.scope)
    while (await exchange.receive())["type"] != "http.disconnect":
        pass


def _replayed(body: bytes, receive: Receive) -> Receive:
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _with_length(headers: list[tuple[bytes, bytes]], length: int) -> list[tuple[bytes, bytes]]:
    others = [(name, value) for name, value in headers if name.lower() != b"content-length"]
    return [*others, (b"content-length", str(length).encode())]


async def _respond(response: Response, send: Send) -> None:
    headers = [
        (b"content-type", response.content_type.encode()),
        (b"content-length", str(len(response.body)).encode()),
    ]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


def _json(status: int, content: object) -> Response:
    return Response(status, "application/json", msgspec.json.encode(content))
