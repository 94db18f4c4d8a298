"""The bench's end of the stub."""

import contextlib
import os
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from consumer.local.child import Process
from tests.bench.kinesis.answers import Script, State

_START_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Stub:
    """`url` is the KCL's endpoint as well; the calls block."""

    url: str

    def open(self) -> None:
        """Let the shards be read beyond the warm-up."""
        with urllib.request.urlopen(urllib.request.Request(self.url, method="PUT")):
            pass

    def state(self) -> State:
        with urllib.request.urlopen(self.url) as answer:
            return msgspec.json.decode(answer.read(), type=State)


@contextlib.contextmanager
def serving(script: Script, folder: Path) -> Iterator[Stub]:
    """A stub in a process of its own, for as long as the context lasts. Raises ChildError."""
    process = Process.spawn(
        "tests.bench.kinesis",
        msgspec.json.encode(script).decode(),
        log=folder / "kinesis.log",
        environment=dict(os.environ),
    )
    try:
        yield Stub(f"http://127.0.0.1:{process.wait_ready(_START_SECONDS)['port']}")
    finally:
        process.stop()
