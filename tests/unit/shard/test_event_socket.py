import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumer.domain.events import MAX_DATAGRAM_BYTES, LogEvent, decode
from consumer.shard.delivery.status import EventSocket

DEADLINE_SECONDS = 20.0


@contextlib.contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(DEADLINE_SECONDS)
        yield listener


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
        last = threading.Thread(target=sender.send, args=(event("last"),))
        last.start()
        heard = [decode(listener.recv(MAX_DATAGRAM_BYTES)) for _ in range(taken + 1)]
        last.join()
    assert [one.message for one in heard if isinstance(one, LogEvent)] == ["before"] * taken + ["last"]


def test_last_words_that_nobody_takes_keep_no_process_from_ending(path: Path) -> None:
    with sending(path) as sender:
        with listening(path) as listener:
            fill(sender, listener)
            sender.wait_for_room()
            sender.send(event("last"))
        sender.send(event("and after the listener has gone"))
