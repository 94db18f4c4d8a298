"""An HTTP server on the loopback interface that answers, or fails to, as a test tells it."""

import http.server
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

type Answer = Callable[["_Handler"], None]


@dataclass
class Seen:
    method: str
    path: str
    body: bytes
    headers: dict[str, str]
    connection: tuple[str, int]
    """The client's address: the same for requests on one connection."""


@dataclass
class Loopback:
    url: str
    answers: list[Answer] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)
    """Ends the silence of `silence`."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    loopback: Loopback

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.loopback.seen.append(Seen(self.command, self.path, body, headers, self.client_address))
        answer = self.loopback.answers.pop(0) if self.loopback.answers else status(200)
        answer(self)

    def do_GET(self) -> None:
        self.do_POST()

    def do_PUT(self) -> None:
        self.do_POST()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class' name
        """Quiet."""


def status(code: int, body: bytes = b"{}", **headers: str) -> Answer:
    def answer(handler: _Handler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def hang_up(handler: _Handler) -> None:
    """End the connection without an answer."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def hang_up_in_the_body(handler: _Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"{")
    hang_up(handler)


def speak_something_else(handler: _Handler) -> None:
    handler.wfile.write(b"220 mail.example ESMTP\r\n\r\n")
    handler.close_connection = True


def silence(handler: _Handler) -> None:
    handler.close_connection = True
    handler.loopback.release.wait(30)


@contextmanager
def loopback_server(certificate: Path | None = None) -> Iterator[Loopback]:
    """With TLS where there is a certificate, in one file with its key."""

    class Handler(_Handler):
        pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    scheme = "http"
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    Handler.loopback = Loopback(f"{scheme}://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield Handler.loopback
    finally:
        Handler.loopback.release.set()
        server.shutdown()
        thread.join()
        server.socket.close()


def unused_port() -> int:
    """A port on which nobody listens: taken and given back."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
