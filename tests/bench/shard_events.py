"""What shard processes say of themselves, in the supervisor's place."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from consumer.domain.events import MAX_DATAGRAM_BYTES, LogEvent, StatusEvent, decode
from tests.bench.kcl import BenchError


class ShardEvents:
    """The other end of `CONSUMER_EVENTS`."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.troubles: dict[str, str] = {}
        """What each shard that cannot go on is waiting for."""

    def check(self) -> None:
        """Read what has come. Raises BenchError when a shard process has logged an error."""
        while datagram := self._next():
            match decode(datagram):
                case LogEvent(level="ERROR", shard=shard, message=message):
                    raise BenchError(f"{shard}: {message}")
                case StatusEvent(shard=shard, retrying=retrying, held=held):
                    self.troubles[shard] = held or retrying or ""

    def _next(self) -> bytes:
        try:
            return self._listener.recv(MAX_DATAGRAM_BYTES)
        except BlockingIOError:
            return b""


@contextmanager
def listening(path: Path) -> Iterator[ShardEvents]:
    """On a path of at most 107 bytes, the kernel's limit for such sockets."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.setblocking(False)
        yield ShardEvents(listener)
