"""Pipes whose two ends are closed in the end."""

import os

import gevent


class Pipe:
    """Both ends are closed once, by a test or after it."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        self._open = {self.reading, self.writing}

    def __enter__(self) -> "Pipe":
        return self

    def __exit__(self, *_: object) -> None:
        for end in list(self._open):
            self.close(end)

    def close(self, end: int) -> None:
        if end in self._open:
            self._open.remove(end)
            os.close(end)


def write_without_blocking(descriptor: int, data: bytes) -> None:
    """Of any length: a greenlet of this process may read it."""
    os.set_blocking(descriptor, False)
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            gevent.sleep(0)
