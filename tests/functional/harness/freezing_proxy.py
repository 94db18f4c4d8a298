"""A TCP proxy that freezes connections: what comes on them is swallowed, they stay open, and neither end hears more."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class FreezingProxy:
    """In front of one address. `opened` counts connections, `sent_bytes` what clients have sent through."""

    def __init__(self, url: str) -> None:
        target = urlsplit(url)
        assert target.hostname
        assert target.port
        self._target = target.hostname, target.port
        self._frozen: set[socket.socket] = set()
        self._all: list[socket.socket] = []
        self._lock = threading.Lock()
        self.opened = 0
        self.sent_bytes = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def freeze(self) -> None:
        """All connections of this moment; later ones work."""
        with self._lock:
            self._frozen.update(self._all)

    def close(self) -> None:
        with self._lock:
            for one in [self._listener, *self._all]:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                with self._lock:
                    self._all += [client, server]
                    self.opened += 1
                for source, drain in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=(source, drain), daemon=True).start()

    def _pass_on(self, source: socket.socket, drain: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                with self._lock:
                    if source in self._frozen:
                        continue
                    self.sent_bytes += len(data) if drain.getpeername() == self._target else 0
                drain.sendall(data)
            with self._lock:
                if source not in self._frozen:
                    drain.shutdown(socket.SHUT_WR)


@contextmanager
def freezing_proxy(url: str) -> Iterator[FreezingProxy]:
    proxy = FreezingProxy(url)
    try:
        yield proxy
    finally:
        proxy.close()
