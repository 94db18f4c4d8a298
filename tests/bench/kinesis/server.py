"""The stub as a process: `python -m tests.bench.kinesis SCRIPT`, a Script as JSON.

hypercorn takes HTTP/2 with prior knowledge, as the KCL opens it. On the same port GET answers with the State, and PUT
opens the shards beyond the warm-up.
"""

import asyncio
import socket
import sys

import msgspec
from hypercorn.asyncio import serve
from hypercorn.config import Config
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope

from consumer.local.child import Child
from tests.bench.kinesis.answers import Answer, Kinesis, Script


class App:
    """An ASGI application."""

    def __init__(self, kinesis: Kinesis) -> None:
        self._kinesis = kinesis

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])  # hypercorn goes on without "lifespan"
        headers = {name: value.decode() for name, value in scope["headers"]}
        body = bytearray()
        while (event := await receive())["type"] == "http.request":
            body += event["body"]
            if not event["more_body"]:
                break
        answer = self._answer(scope["method"], headers, bytes(body))
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": [
                    (b"content-type", answer.content_type.encode()),
                    (b"content-length", b"%d" % len(answer.body)),
                    (b"x-amzn-requestid", b"stub"),
                ],
            }
        )
        await send({"type": "http.response.body", "body": answer.body, "more_body": False})

    def _answer(self, method: str, headers: dict[bytes, str], body: bytes) -> Answer:
        match method:
            case "GET":
                return Answer(200, "application/json", msgspec.json.encode(self._kinesis.state))
            case "PUT":
                self._kinesis.open()
                return Answer(200, "application/json", b"null")
        return self._kinesis.answer(headers.get(b"x-amz-target", ""), headers.get(b"content-type", ""), body)


def main() -> None:
    """Serve until killed."""
    child = Child.from_environment()
    kinesis = Kinesis(msgspec.json.decode(sys.argv[1], type=Script))
    kinesis.prepare()
    listener = socket.create_server(("127.0.0.1", 0))
    child.ready(port=listener.getsockname()[1])
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.keep_alive_timeout = 3600
    config.keep_alive_max_requests = 1 << 40
    asyncio.run(serve(App(kinesis), config, mode="asgi", shutdown_trigger=asyncio.Event().wait))
