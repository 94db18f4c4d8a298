import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumer.domain.events import MAX_DATAGRAM_BYTES, Event, LogEvent, decode
from consumer.shard.delivery.status import EventSocket

DEADLINE_SECONDS = 20.0


@contextlib.contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(DEADLINE_SECONDS)
        yield listener


class Told:
    """A socket that tells when something is about to be sent."""

    def __init__(self, own: socket.socket, sends: threading.Event) -> None:
        self._own = own
        self._sends = sends

    def sendto(self, data: bytes, address: str) -> int:
        self._sends.set()
        return self._own.sendto(data, address)

    def close(self) -> None:
        self._own.close()


def event(message: str) -> LogEvent:
    return LogEvent(level="INFO", shard="a", pid=1, message=message)


def fill(sender: EventSocket, listener: socket.socket) -> int:
    """Sends until the listener's queue is full; how many it has taken."""
    for _ in range(2000):
        sender.send(event("before"))
    listener.setblocking(False)
    taken = 0
    with contextlib.suppress(BlockingIOError):
        while listener.recv(MAX_DATAGRAM_BYTES):
            taken += 1
    for _ in range(taken):
        sender.send(event("before"))
    listener.settimeout(DEADLINE_SECONDS)
    return taken


@contextlib.contextmanager
def sending(path: Path) -> Iterator[EventSocket]:
    sender = EventSocket(str(path))
    try:
        yield sender
    finally:
        sender._socket.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events"


def test_last_words_wait_until_the_supervisor_has_taken_what_was_before_them(path: Path) -> None:
    with listening(path) as listener, sending(path) as sender:
        taken = fill(sender, listener)
        assert taken < 2000
        sender.wait_for_room()
        heard: list[Event] = []

        def take() -> None:
            sends.wait(DEADLINE_SECONDS)
            heard.extend(decode(listener.recv(MAX_DATAGRAM_BYTES)) for _ in range(taken + 1))

        sends = threading.Event()
        taking = threading.Thread(target=take)
        taking.start()
        sender._socket = Told(sender._socket, sends)  # type: ignore[assignment]
        sender.send(event("last"))
        taking.join()
    assert [one.message for one in heard if isinstance(one, LogEvent)] == ["before"] * taken + ["last"]


def test_last_words_that_nobody_takes_keep_no_process_from_ending(path: Path) -> None:
    with sending(path) as sender:
        with listening(path) as listener:
            fill(sender, listener)
            sender.wait_for_room()
            sender.send(event("last"))
        sender.send(event("and after the listener has gone"))
