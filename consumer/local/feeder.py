"""`bin/put` as a child of the demo, fed through its stdin so that it can be killed at any moment."""

import contextlib
import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from consumer.local import tethered
from consumer.local.child import tail


class FeedError(Exception):
    """Not every record was accepted by the stream; the message ends with the tail of the log."""


@dataclass(frozen=True, slots=True)
class _Put:
    """One run of bin/put, and the thread that writes its records."""

    popen: subprocess.Popen[bytes]
    writer: threading.Thread
    log: Path

    @classmethod
    def start(cls, state_dir: Path, records: Sequence[bytes], arguments: Sequence[str]) -> Self:
        log = state_dir / "put.log"
        with log.open("ab") as output:
            popen = tethered.spawn(
                *("put", "-", *arguments),
                state_dir=state_dir,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
            )

        def write() -> None:
            assert popen.stdin is not None
            with contextlib.suppress(BrokenPipeError), popen.stdin as pipe:
                pipe.writelines(record + b"\n" for record in records)

        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        return cls(popen, writer, log)

    def done(self) -> bool:
        code = self.popen.poll()
        if code:
            raise FeedError(f"bin/put ended with code {code}:\n{tail(self.log)}")
        return code == 0

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait()
        self.writer.join()


class Feeder:
    """Puts the first half of the records at once, and the other half when `go_on` is called."""

    def __init__(self, state_dir: Path, records: Sequence[bytes], arguments: Sequence[str]) -> None:
        self._state_dir = state_dir
        self._arguments = arguments
        half = (len(records) + 1) // 2
        self._rest = records[half:]
        self._puts = [self._put(records[:half])]

    def go_on(self) -> None:
        """Let the other half follow. Safe to repeat."""
        if len(self._puts) == 1:
            self._puts.append(self._put(self._rest))

    def done(self) -> bool:
        """Whether both halves were accepted. Raises FeedError if a record was not."""
        return all(put.done() for put in self._puts) and len(self._puts) == 2

    def kill(self) -> None:
        """End it, records or not. Safe to repeat."""
        for put in self._puts:
            put.kill()

    def _put(self, records: Sequence[bytes]) -> _Put:
        return _Put.start(self._state_dir, records, self._arguments)


@contextlib.contextmanager
def feeding(state_dir: Path, records: Sequence[bytes], *arguments: str) -> Iterator[Feeder]:
    """Put records on the stream of the stack in `state_dir`; `arguments` are those of bin/put."""
    feeder = Feeder(state_dir, records, arguments)
    try:
        yield feeder
    finally:
        feeder.kill()
