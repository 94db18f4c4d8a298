"""The embedded AWS behind its meter, without a server: boto3's requests through the layer to moto's application."""

import asyncio
import io
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import unquote, urlsplit

import boto3
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from moto.core.base_backend import BackendDict

from consumer.local.aws.server import Application, application, stored_item
from consumer.local.bill import aws as bill
from consumer.local.bill.layer import TOOL, MeterLayer
from consumer.local.bill.meter import Meter
from consumer.local.faults.connection import App, Message, Receive, Scope, Send

_moto = cache(application)


class Aws:
    """A fresh one, and what its meter says."""

    def __init__(self) -> None:
        BackendDict.reset()
        self.meter = Meter()
        self.layer = MeterLayer(_asgi(_moto()), self.meter, bill.Aws(self.meter, stored_item).account)

    def client(self, service: str, *, tool: bool = False) -> Any:
        """`tool` says that it is no part of the daemon."""
        extra = {"user_agent_extra": TOOL} if tool else {}
        client = boto3.client(
            service,
            region_name="us-east-1",
            endpoint_url="http://localhost:1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"}, **extra),
        )
        client.meta.events.register("before-send", lambda request, **_: self._answer(request))
        return client

    def counted(self, item: str) -> float:
        """Since the last look."""
        counts = self.meter.counts()
        self.meter.reset()
        return counts.get(item, 0.0)

    def _answer(self, request: Any) -> AWSResponse:
        status, headers, body = asyncio.run(ask(self.layer, scope_of(request), _body_of(request)))
        return AWSResponse(request.url, status, headers, _Body(body))


async def ask(app: App, scope: Scope, body: bytes) -> tuple[int, dict[str, str], bytes]:
    """What an application answers."""
    answer: dict[str, Any] = {"status": 0, "headers": {}}
    pieces = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer["status"] = message["status"]
            answer["headers"] = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            pieces.append(message.get("body", b""))

    await app(scope, receive, send)
    return answer["status"], answer["headers"], b"".join(pieces)


def scope_of(request: Any) -> Scope:
    """Of a request of botocore."""
    url = urlsplit(request.url)
    headers = {"host": url.netloc, **{name: _text(value) for name, value in request.headers.items()}}
    return {
        "type": "http",
        "method": request.method,
        "path": unquote(url.path),
        "raw_path": url.path.encode(),
        "query_string": url.query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }


def _asgi(app: Application) -> App:
    async def asked(scope: Scope, receive: Receive, send: Send) -> None:
        body = (await receive())["body"]
        answer: dict[str, Any] = {}

        def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
            answer.update(status=int(status.split()[0]), headers=headers)

        content = b"".join(app(_environment(scope, body), start_response))
        headers = [(name.encode(), value.encode()) for name, value in answer["headers"]]
        await send({"type": "http.response.start", "status": answer["status"], "headers": headers})
        await send({"type": "http.response.body", "body": content})

    return asked


def _environment(scope: Scope, body: bytes) -> dict[str, Any]:
    headers = {name.decode().upper().replace("-", "_"): value.decode() for name, value in scope["headers"]}
    return {
        **{f"HTTP_{name}": value for name, value in headers.items()},
        "REQUEST_METHOD": scope["method"],
        "PATH_INFO": scope["path"],
        "RAW_URI": scope["raw_path"].decode(),
        "QUERY_STRING": scope["query_string"].decode(),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.version": (1, 0),
        "CONTENT_TYPE": headers.get("CONTENT_TYPE", ""),
        "CONTENT_LENGTH": str(len(body)),
    }


def _body_of(request: Any) -> bytes:
    body = request.body or b""
    if hasattr(body, "read"):
        return bytes(body.read())
    return body if isinstance(body, bytes) else bytes(body.encode())


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode()


class _Body(io.BytesIO):
    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.read()
