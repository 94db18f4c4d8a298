"""`bin/put` as a child of the demo, fed through its stdin so that it can be killed at any moment."""

import contextlib
import json
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from consumer.local import tethered
from consumer.local.child import tail


class FeedError(Exception):
    """Not every record was accepted by the stream; the message ends with the tail of the log."""


class Feeder:
    """Puts a first part of the records at once, the rest when `go_on` is called."""

    def __init__(self, popen: subprocess.Popen[bytes], records: Sequence[bytes], log: Path) -> None:
        self._popen = popen
        self._records = records
        self._log = log
        self._second_part = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def go_on(self) -> None:
        """Let the rest follow. Safe to repeat."""
        self._second_part.set()

    def done(self) -> bool:
        """Whether every record was accepted. Raises FeedError if some were not."""
        code = self._popen.poll()
        if code:
            raise FeedError(f"bin/put ended with code {code}:\n{tail(self._log)}")
        return code == 0

    def accepted(self) -> int:
        """How many records the stream accepted, by the word of bin/put; call it once, after `done`."""
        assert self._popen.stdout is not None
        return int(json.loads(self._popen.stdout.read())["records"])

    def kill(self) -> None:
        """End it, records or not. Safe to repeat."""
        self._popen.kill()
        self._popen.wait()
        self._second_part.set()
        self._thread.join()
        assert self._popen.stdout is not None
        self._popen.stdout.close()

    def _write(self) -> None:
        half = (len(self._records) + 1) // 2
        assert self._popen.stdin is not None
        with contextlib.suppress(BrokenPipeError), self._popen.stdin as pipe:
            pipe.writelines(record + b"\n" for record in self._records[:half])
            pipe.flush()
            self._second_part.wait()
            pipe.writelines(record + b"\n" for record in self._records[half:])


@contextlib.contextmanager
def feeding(state_dir: Path, records: Sequence[bytes], *arguments: str) -> Iterator[Feeder]:
    """Put records on the stream of the stack in `state_dir`; `arguments` are those of bin/put."""
    log = state_dir / "put.log"
    with log.open("wb") as output:
        popen = tethered.spawn(
            *("put", "-", "--json", *arguments),
            state_dir=state_dir,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
        )
    feeder = Feeder(popen, records, log)
    try:
        yield feeder
    finally:
        feeder.kill()
