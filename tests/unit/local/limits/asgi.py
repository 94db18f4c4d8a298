"""Requests to a layer around an application that is played by the test."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from consumer.local.limits.layer import LimitLayer, Service
from consumer.local.limits.meters import Meters

type Played = Callable[[str, str, Mapping[str, str], bytes], tuple[int, Any]]
"""Method, path with query, headers and body; status and content of the answer."""


class Application:
    """Answers as the test says, and keeps what it was asked."""

    def __init__(self, played: Played) -> None:
        self.played = played
        self.seen: list[tuple[str, str, bytes]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        headers = {key.decode(): value.decode() for key, value in scope["headers"]}
        path = scope["path"] + ("?" + scope["query_string"].decode() if scope["query_string"] else "")
        operation = headers.get("x-amz-target", "").rpartition(".")[2] or f"{scope['method']} {path}"
        self.seen.append((operation, headers.get("content-length", ""), body))
        status, content = self.played(scope["method"], path, headers, body)
        answer = content if isinstance(content, bytes) else msgspec.json.encode(content)
        location = [(b"location", headers["x-upload"].encode())] if "x-upload" in headers else []
        await send({"type": "http.response.start", "status": status, "headers": location})
        await send({"type": "http.response.body", "body": answer})

    def operations(self) -> list[str]:
        return [operation for operation, _, _ in self.seen]


class Client:
    """Asks the layer, as ASGI has it."""

    def __init__(
        self, service: Service, meters: Meters, played: Played, more: Callable[[], Mapping[str, Any]] = dict
    ) -> None:
        self.application = Application(played)
        self._layer = LimitLayer(self.application, service, meters, more)

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        return asyncio.run(self._ask(method, path, body, headers or {}))

    def aws(self, target: str, content: object) -> tuple[int, Any]:
        status, body = self.ask("POST", "/", msgspec.json.encode(content), {"x-amz-target": target})
        return status, msgspec.json.decode(body)

    def json(
        self, method: str, path: str, content: object = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        body = b"" if content is None else msgspec.json.encode(content)
        status, answer = self.ask(method, path, body, headers)
        return status, msgspec.json.decode(answer)

    async def _ask(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        half = len(body) // 2
        waiting = [
            {"type": "http.request", "body": body[:half], "more_body": True},
            {"type": "http.request", "body": body[half:], "more_body": False},
        ]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return waiting.pop(0)

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        plain, _, query = path.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "path": plain,
            "raw_path": plain.encode(),
            "query_string": query.encode(),
            "headers": [(key.encode(), value.encode()) for key, value in headers.items()],
        }
        await self._layer(scope, receive, send)
        return sent[0]["status"], sent[1]["body"]
