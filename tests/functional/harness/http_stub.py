"""A backend on the loopback interface that does what a test tells it to."""

import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.functional.harness.kcl import SAFETY_SECONDS


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; `status` 0 closes the connection without one."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"


LOST = Reply(0)
"""The connection is reset before the answer."""


class HttpStub:
    """Counts requests and lets a test wait for what happens. Subclasses say what a request does in `handle`."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.requests = 0
        self._closing = threading.Event()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def handle(self, path: str, body: bytes, number: int) -> Reply:
        """Runs in the request's thread; `number` counts from 1."""
        raise NotImplementedError

    def wait_until(self, what: Callable[[], bool]) -> None:
        """Block until `what`, which is asked again whenever a request came or was done."""
        with self.changed:
            assert self.changed.wait_for(what, SAFETY_SECONDS), "the backend never got there"

    def block(self, gate: threading.Event) -> None:
        """Hold the calling request until the gate opens or the test ends."""
        while not gate.wait(0.05):
            if self._closing.is_set():
                return

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(SAFETY_SECONDS)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, stub: HttpStub) -> None:
        self.stub = stub
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients are killed in the middle of requests here: no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_PUT(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        pass

    def _serve(self) -> None:
        stub = self.server.stub
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = (
                True  # the client was killed meanwhile, and no backend takes half a request
            )
            return
        with stub.changed:
            stub.requests += 1
            number = stub.requests
            stub.changed.notify_all()
        reply = stub.handle(self.path, body, number)
        with stub.changed:
            stub.changed.notify_all()
        if reply.status == 0:
            self._reset()
            return
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
