"""The stub as a process: `python -m tests.bench.kinesis SCRIPT`, a Script as JSON.

The port `kinesis` takes HTTP/2 with prior knowledge; on the port `http`, GET tells the State and POST opens the
shards beyond the warm-up.
"""

import asyncio
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import cast

import msgspec

from consumer.local.child import Child
from tests.bench.kinesis.answers import Kinesis, Script
from tests.bench.kinesis.http2 import Connection, Http2Error, Request


class _Protocol(asyncio.Protocol):
    def __init__(self, kinesis: Kinesis) -> None:
        self._kinesis = kinesis
        self._connection = Connection()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            for request in self._connection.receive(data):
                self._respond(request)
        except Http2Error as error:
            self._kinesis.state.refused.append(f"HTTP/2: {error}")
            self._transport.abort()
            return
        self._transport.writelines(self._connection.output())

    def _respond(self, request: Request) -> None:
        headers = request.headers
        answer = self._kinesis.answer(
            headers.get("x-amz-target", ""), headers.get("content-type", ""), request.body
        )
        self._connection.respond(request, answer.status, answer.content_type, answer.body)


class _ControlServer(HTTPServer):
    def __init__(self, kinesis: Kinesis) -> None:
        super().__init__(("127.0.0.1", 0), _Control)
        self.kinesis = kinesis


class _Control(BaseHTTPRequestHandler):
    server: _ControlServer

    def do_GET(self) -> None:
        self._answer(msgspec.json.encode(self.server.kinesis.state))

    def do_POST(self) -> None:
        self.server.kinesis.open()
        self._answer(b"")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that it overrides
        pass

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


async def _serve(kinesis: Kinesis, control: _ControlServer, child: Child) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Protocol(kinesis), "127.0.0.1", 0)
    child.ready(kinesis=server.sockets[0].getsockname()[1], http=control.server_port)
    await server.serve_forever()


def main() -> None:
    """Serve until killed."""
    child = Child.from_environment()
    kinesis = Kinesis(msgspec.json.decode(sys.argv[1], type=Script))
    kinesis.prepare()
    control = _ControlServer(kinesis)
    threading.Thread(target=control.serve_forever, daemon=True).start()
    asyncio.run(_serve(kinesis, control, child))
