"""Counts the bytes of connections that nothing else can see: gRPC compresses messages and headers within itself."""

import contextlib
import socket
import threading
from collections.abc import Callable

from consumer.local.bill.meter import Meter

_PIECE_BYTES = 256 * 1024


class Relay:
    """Takes connections on a port of its own and passes them on to another; what comes from the client counts as
    sent to Google, what goes back as received. Threads end with their connections, and with the process."""

    def __init__(self, host: str, target_port: int, meter: Meter) -> None:
        self._target = (host, target_port)
        self._meter = meter
        self._listener = socket.create_server((host, 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        _begin(self._accept)

    def close(self) -> None:
        """Take no more connections."""
        # a thread that waits in accept() is woken by this, and not by a close
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            _begin(self._relay, client)

    def _relay(self, client: socket.socket) -> None:
        """One connection, until both sides have ended."""
        with client:
            try:
                server = socket.create_connection(self._target)
            except OSError:
                return
            with server:
                for connection in (client, server):
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                back = _begin(self._pass_on, server, client, "google_received_bytes")
                self._pass_on(client, server, "google_sent_bytes")
                back.join()

    def _pass_on(self, source: socket.socket, target: socket.socket, item: str) -> None:
        """Until the source ends, which the target is told; a failure of either ends both."""
        piece = memoryview(bytearray(_PIECE_BYTES))
        try:
            while size := source.recv_into(piece):
                self._meter.add(**{item: size})
                target.sendall(piece[:size])
            target.shutdown(socket.SHUT_WR)
        except OSError:
            for connection in (source, target):
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


def _begin(work: Callable[..., None], *arguments: object) -> threading.Thread:
    thread = threading.Thread(target=work, args=arguments, daemon=True)
    thread.start()
    return thread
