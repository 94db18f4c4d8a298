"""Reads the events of shard processes from a datagram socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from consumer.domain.events import MAX_DATAGRAM_BYTES, Event, EventError, decode

_MOST_AT_ONCE = 200
"""Datagrams taken in one go: a flood of them must not keep signals waiting."""


class Channel:
    """Hands each event to `receive` while the event loop runs; a datagram that is no event goes to `refuse`."""

    def __init__(
        self, listener: socket.socket, *, receive: Callable[[Event], None], refuse: Callable[[str], None]
    ) -> None:
        self._listener = listener
        self._receive = receive
        self._refuse = refuse

    def open(self) -> None:
        """To be called once, with the event loop running."""
        asyncio.get_running_loop().add_reader(self._listener, self.drain)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._listener)
        self.drain()
        self._listener.close()

    def drain(self) -> None:
        """Takes what waits in the socket."""
        for _ in range(_MOST_AT_ONCE):
            try:
                datagram = self._listener.recv(MAX_DATAGRAM_BYTES)
            except BlockingIOError:
                return
            try:
                event = decode(datagram)
            except EventError as error:
                self._refuse(str(error))
            else:
                self._receive(event)
