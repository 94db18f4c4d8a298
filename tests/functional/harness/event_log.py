"""The supervisor's end of the events socket."""

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from consumer.domain.event_names import EventName
from consumer.domain.events import MAX_DATAGRAM_BYTES, Event, LogEvent, StatusEvent, decode
from tests.functional.harness.kcl import SAFETY_SECONDS


class EventLog:
    """Keeps every event that arrives at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._events: list[Event] = []
        self._changed = threading.Condition()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        folder = os.open(path.parent, os.O_PATH)
        self._socket.bind(f"/proc/self/fd/{folder}/{path.name}")
        os.close(folder)
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def status(self, matches: Callable[[StatusEvent], bool] = lambda event: True) -> StatusEvent:
        """The next status from now on that matches; blocks until it comes."""
        with self._changed:
            return self._status(matches, since=len(self._events))

    def any_status(self, matches: Callable[[StatusEvent], bool]) -> StatusEvent:
        """The first status that matches, whenever it came; blocks until it is there."""
        with self._changed:
            return self._status(matches, since=0)

    def _status(self, matches: Callable[[StatusEvent], bool], *, since: int) -> StatusEvent:
        def find() -> StatusEvent | None:
            statuses = (event for event in self._events[since:] if isinstance(event, StatusEvent))
            return next((event for event in statuses if matches(event)), None)

        found = self._changed.wait_for(find, SAFETY_SECONDS)
        assert found is not None, f"no such status; the last events: {self._events[-3:]}"
        return found

    def logged(self, text: str, *, pid: int | None = None) -> LogEvent:
        """The first log event that contains the text, of any process or of one, whenever it came; blocks until it is
        there."""

        def find() -> LogEvent | None:
            lines = (event for event in self._events if isinstance(event, LogEvent))
            return next(
                (event for event in lines if text in event.message and pid in (None, event.pid)), None
            )

        with self._changed:
            found = self._changed.wait_for(find, SAFETY_SECONDS)
            assert found is not None, f"nothing logged with {text!r}"
            return found

    def named(self, name: EventName) -> LogEvent:
        """The first log event of that name, whenever it came; blocks until it is there."""

        def find() -> LogEvent | None:
            lines = (event for event in self._events if isinstance(event, LogEvent))
            return next((event for event in lines if event.name == name), None)

        with self._changed:
            found = self._changed.wait_for(find, SAFETY_SECONDS)
            assert found is not None, f"no {name} was logged"
            return found

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RD)
        self._thread.join(SAFETY_SECONDS)
        self._socket.close()

    def _receive(self) -> None:
        while datagram := self._socket.recv(MAX_DATAGRAM_BYTES * 2):
            event = decode(datagram)
            with self._changed:
                self._events.append(event)
                self._changed.notify_all()
