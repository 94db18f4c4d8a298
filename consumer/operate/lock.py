"""One command at a time acts on what an application has left: a lock object beside its dead letters."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import msgspec

from consumer.domain.errors import DeliveryError
from consumer.operate.bucket import ABSENT, Bucket, Changed, Stored
from consumer.operate.errors import Refused

_SIGN_SECONDS = 60.0
_SILENT_SECONDS = 600.0
"""After so long without a sign, a command on another host is taken for ended."""


class Holder(msgspec.Struct, frozen=True):
    """Who holds the lock; `started` tells two processes of one id apart."""

    who: str
    command: str
    host: str
    pid: int
    started: str
    token: str

    @classmethod
    def this_process(cls, who: str, command: str) -> Holder:
        pid = os.getpid()
        return cls(who, command, socket.gethostname(), pid, _started(pid), secrets.token_hex(8))

    def has_ended(self) -> bool:
        """Whether it certainly has: nothing is known of another host's processes."""
        return self.host == socket.gethostname() and _started(self.pid) != self.started


class Lock:
    """A lock that is held. It gives signs of life from a thread; `lost` says that another command has taken it."""

    def __init__(self, bucket: Bucket, key: str, holder: Holder, etag: str) -> None:
        self._bucket = bucket
        self._key = key
        self._body = msgspec.json.encode(holder)
        self._etag = etag
        self._over = threading.Event()
        self.lost = False
        self._thread = threading.Thread(target=self._give_signs, daemon=True)
        self._thread.start()

    def release(self) -> None:
        self._over.set()
        self._thread.join()
        if not self.lost:
            with suppress(DeliveryError):  # the next command finds out that this one has ended
                self._bucket.delete(self._key)

    def _give_signs(self) -> None:
        while not self._over.wait(_SIGN_SECONDS):
            try:
                self._etag = self._bucket.put(self._key, self._body, match=self._etag)
            except Changed:
                stored = self._bucket.get(self._key)
                if stored is None or stored.body != self._body:
                    self.lost = True
                    return
            except DeliveryError:
                continue


@contextmanager
def locked(bucket: Bucket, key: str, holder: Holder, *, now: datetime) -> Iterator[Lock]:
    """Raises Refused where another command is at work."""
    lock = Lock(bucket, key, holder, _taken(bucket, key, holder, now))
    try:
        yield lock
    finally:
        lock.release()


def _taken(bucket: Bucket, key: str, holder: Holder, now: datetime) -> str:
    while True:
        stored = bucket.get(key)
        if stored is not None and not _is_stale(stored, now):
            other = _holder_of(stored)
            whose = "another command" if other is None else f"{other.command} of {other.who}"
            raise Refused(
                f"nothing was changed: {whose} is at work (s3://{bucket.name}/{key}); if it was killed, its lock is"
                f" taken over after {_SILENT_SECONDS / 60:.0f} minutes"
            )
        try:
            return bucket.put(
                key, msgspec.json.encode(holder), match=ABSENT if stored is None else stored.etag
            )
        except Changed:
            continue


def _is_stale(stored: Stored, now: datetime) -> bool:
    holder = _holder_of(stored)
    silent = (now - stored.modified).total_seconds() > _SILENT_SECONDS
    return silent or (holder is not None and holder.has_ended())


def _holder_of(stored: Stored) -> Holder | None:
    try:
        return msgspec.json.decode(stored.body, type=Holder)
    except msgspec.MsgspecError:
        return None


def _started(pid: int) -> str:
    """When a process of this host began, in the kernel's clock; empty where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
