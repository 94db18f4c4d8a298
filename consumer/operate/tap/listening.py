"""One tap at one daemon: a socket and a request in its state directory, for its shard processes to find."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from consumer.daemon.commands.running import Running
from consumer.domain.names import TAPS_FOLDER
from consumer.domain.taps import (
    MAX_DATAGRAM_BYTES,
    MOST_TAPS,
    REQUEST_SUFFIX,
    SOCKET_SUFFIX,
    Samples,
    TapRequest,
    decode_samples,
    encode_request,
)
from consumer.operate.errors import Refused

LEASE_SECONDS = 10.0
"""A request holds for so long: a tap that was stopped, or killed, costs nothing from then on."""

_MOST_AT_ONCE = 100


class Tap:
    """Made by `listening`."""

    def __init__(self, daemon: Running, folder: int, *, now: Callable[[], float]) -> None:
        """`folder` is the descriptor of the one for taps; `now` is in seconds since the epoch."""
        self.daemon = daemon
        self._folder = folder
        self._now = now
        self._name = secrets.token_hex(8)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        path = Path(_address(folder, self._name))
        self._socket.bind(str(path))
        path.chmod(0o600)

    @property
    def application(self) -> str:
        return self.daemon.settings.text("applicationName")

    def fileno(self) -> int:
        return self._socket.fileno()

    def ask(self, *, rate: float, shards: Sequence[str]) -> None:
        """For LEASE_SECONDS from now on. Raises OSError."""
        until_ms = round((self._now() + LEASE_SECONDS) * 1000)
        request = TapRequest(rate=rate, until_ms=until_ms, shards=[*shards])
        name, temporary = f"{self._name}{REQUEST_SUFFIX}", f"{self._name}.tmp"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        with os.fdopen(os.open(temporary, flags, 0o600, dir_fd=self._folder), "wb") as file:
            file.write(encode_request(request))
        os.replace(temporary, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)

    def heard(self) -> Iterator[Samples]:
        """What has come, without waiting; not all of it at once while more comes."""
        for _ in range(_MOST_AT_ONCE):
            try:
                yield decode_samples(self._socket.recv(MAX_DATAGRAM_BYTES))
            except BlockingIOError:
                return
            except (msgspec.MsgspecError, UnicodeDecodeError):  # of another version
                continue

    def close(self) -> None:
        self._socket.close()
        _remove(self._folder, self._name)


@contextmanager
def listening(daemon: Running, *, now: Callable[[], float]) -> Iterator[Tap]:
    """Nobody is told before `Tap.ask`. Raises Refused, or OSError where this user may not."""
    path = daemon.directory / TAPS_FOLDER
    path.mkdir(mode=0o700, exist_ok=True)
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if len(_alive(folder)) >= MOST_TAPS:
            raise Refused(f"{MOST_TAPS} taps listen to {daemon.settings.text('applicationName')} already")
        tap = Tap(daemon, folder, now=now)
        try:
            yield tap
        finally:
            tap.close()
    finally:
        os.close(folder)


def _alive(folder: int) -> list[str]:
    """The names of the taps that listen; what those left behind that were killed is removed."""
    names = {name.partition(".")[0] for name in os.listdir(folder)}
    alive = [name for name in names if _listens(folder, name)]
    for name in names.difference(alive):
        _remove(folder, name)
    return alive


def _listens(folder: int, name: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(_address(folder, name))
        except OSError:
            return False
    return True


def _address(folder: int, name: str) -> str:
    """By way of the descriptor: a socket's address takes 108 bytes, a path may be longer."""
    return f"/proc/self/fd/{folder}/{name}{SOCKET_SUFFIX}"


def _remove(folder: int, name: str) -> None:
    for suffix in (REQUEST_SUFFIX, ".tmp", SOCKET_SUFFIX):
        with suppress(OSError):
            os.unlink(f"{name}{suffix}", dir_fd=folder)
