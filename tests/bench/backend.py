"""The bench's end of `tests.bench.discard`."""

import contextlib
import os
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from consumer.local.child import Process
from tests.bench.counts import Behaviour
from tests.bench.kept import Kept

USUAL = Behaviour()
_START_SECONDS = 20


class Arrived(msgspec.Struct, frozen=True):
    """Since the last `behave`."""

    requests: int
    refused: int
    bytes: int
    records: int
    number_sum: int
    unbroken: int
    """Records from the first number on, up to the first that is missing; 0 unless numbers are remembered."""


@dataclass(frozen=True, slots=True)
class Backend:
    """`url` takes HTTP, `grpc_url` gRPC."""

    url: str
    grpc_url: str

    def arrived(self) -> Arrived:
        return self._arrived("/")

    def said(self) -> Arrived:
        """What has arrived by what requests say of themselves, where nobody has looked at them yet."""
        return self._arrived("/said")

    def _arrived(self, path: str) -> Arrived:
        with urllib.request.urlopen(f"{self.url}{path}") as answer:
            return msgspec.json.decode(answer.read(), type=Arrived)

    def behave(self, behaviour: Behaviour = USUAL) -> None:
        """From here on; what has arrived is forgotten."""
        body = msgspec.json.encode(behaviour)
        with urllib.request.urlopen(f"{self.url}/behave", data=body) as answer:
            answer.read()

    def kept(self) -> Kept:
        """What has arrived since the last `forget`, where the backend keeps it."""
        with urllib.request.urlopen(f"{self.url}/") as answer:
            return msgspec.json.decode(answer.read(), type=Kept)

    def forget(self) -> None:
        with urllib.request.urlopen(f"{self.url}/forget", data=b"") as answer:
            answer.read()


@contextlib.contextmanager
def discarding(folder: Path) -> Iterator[Backend]:
    """A backend in a process of its own, for as long as the context lasts."""
    with serving("tests.bench.discard", folder) as backend:
        yield backend


@contextlib.contextmanager
def serving(module: str, folder: Path) -> Iterator[Backend]:
    """The same by another program that says on which ports it takes HTTP and gRPC."""
    log = folder / f"{module.rpartition('.')[2]}.log"
    process = Process.spawn(module, log=log, environment=dict(os.environ))
    try:
        ports = process.wait_ready(_START_SECONDS)
        yield Backend(f"http://127.0.0.1:{ports['http']}", f"http://127.0.0.1:{ports['grpc']}")
    finally:
        process.stop()
