"""A forward proxy on the loopback interface, to which every host is this one: only through it can they be asked."""

import select
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Asked:
    method: str
    target: str
    headers: dict[str, str]


@dataclass
class ForwardProxy:
    """`answer` is what it says to CONNECT instead of connecting, or to a request instead of passing it on. What a
    server says first comes `delay_seconds` later."""

    address: str
    answer: bytes = b""
    delay_seconds: float = 0
    seen: list[Asked] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{self.address}"


class _Handler(socketserver.StreamRequestHandler):
    rbufsize = 0  # nothing behind a head is read with it
    proxy: ForwardProxy

    def handle(self) -> None:
        with suppress(OSError):
            self._serve()

    def _serve(self) -> None:
        line, *lines = self._head()
        method, target, _ = line.split(" ")
        headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in lines)}
        self.proxy.seen.append(Asked(method, target, headers))
        if self.proxy.answer:
            self.wfile.write(self.proxy.answer)
            return
        server = urlsplit(f"//{target}" if method == "CONNECT" else target)
        with socket.create_connection(("127.0.0.1", server.port or 80)) as upstream:
            if method == "CONNECT":
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                kept = [each for each in lines if not each.lower().startswith(("proxy-", "connection"))]
                target = f"{server.path}?{server.query}" if server.query else server.path
                head = [f"{method} {target} HTTP/1.1", *kept, "Connection: close", "", ""]
                upstream.sendall("\r\n".join(head).encode())
            self._pump(upstream)

    def _head(self) -> list[str]:
        lines = []
        while line := self.rfile.readline().decode("latin-1").rstrip("\r\n"):
            lines.append(line)
        return lines

    def _pump(self, upstream: socket.socket) -> None:
        ways = {self.connection: upstream, upstream: self.connection}
        delay = self.proxy.delay_seconds
        while True:
            for one in select.select(list(ways), [], [], 30)[0]:
                if one is upstream:
                    time.sleep(delay)
                    delay = 0
                some = one.recv(65536)
                if not some:
                    return
                ways[one].sendall(some)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False


@contextmanager
def forward_proxy() -> Iterator[ForwardProxy]:
    class Handler(_Handler):
        pass

    with _Server(("127.0.0.1", 0), Handler) as server:
        Handler.proxy = ForwardProxy(f"127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield Handler.proxy
        finally:
            server.shutdown()
            thread.join()
