"""A supervisor as a process, with a stand-in for the JVM."""

import os
import re
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

FUNCTIONAL = Path(__file__).parents[1]
ROOT = FUNCTIONAL.parents[1]
DEADLINE_SECONDS = 30


class Daemon:
    """A supervisor under test. Its log lines are the events to wait for."""

    def __init__(self, command: Sequence[str], folder: Path, **environment: str) -> None:
        """It runs as under systemd: in a session of its own, with no terminal and with standard input closed."""
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", 'exec "$@" <&-', "sh", *command],
            cwd=folder,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            start_new_session=True,
            text=True,
        )
        self.lines: list[str] = []
        self.pids: list[int] = []

    @classmethod
    def supervised(cls, java: Path, *assignments: str, **environment: str) -> Self:
        """With nothing to prepare."""
        command = [sys.executable, str(FUNCTIONAL / "supervise.py"), str(java), *assignments]
        return cls(command, ROOT, **environment)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stderr is not None
        self._process.stderr.close()
        for pid in self.pids:
            await_end(pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    def line(self, pattern: str) -> re.Match[str]:
        """The first new line that matches."""
        assert self._process.stderr is not None
        watchdog = threading.Timer(DEADLINE_SECONDS, self._process.kill)
        watchdog.start()
        try:
            for line in self._process.stderr:
                self.lines.append(line.rstrip("\n"))
                if match := re.search(pattern, line):
                    return match
        finally:
            watchdog.cancel()
        raise AssertionError(f"no line matches {pattern!r} in:\n" + "\n".join(self.lines))

    def running(self) -> tuple[int, int]:
        """Waits until JVM and shard process run and the latter has reported; their process ids."""
        match, _ = self.jvm_and("reported")
        return int(match[1]), int(match[2])

    def jvm_and(self, pattern: str) -> tuple[re.Match[str], re.Match[str]]:
        """The JVM's line with the ids of both, and the first of the shard process that matches: they come by ways of
        their own, so that either may be first."""
        before = len(self.lines)
        match = self.line(r"jvm=(\d+) shard=(\d+)")
        self.pids += [int(match[1]), int(match[2])]
        earlier = (re.search(pattern, line) for line in self.lines[before:])
        return match, next(filter(None, earlier), None) or self.line(pattern)

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> int:
        """Waits for the end and returns the exit code."""
        _, rest = self._process.communicate(timeout=DEADLINE_SECONDS)
        self.lines += rest.splitlines()
        return self._process.returncode


def await_end(pid: int) -> None:
    """Waits until a process is gone; it need not be our child."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([descriptor], [], [], DEADLINE_SECONDS)[0], f"process {pid} still runs"
    finally:
        os.close(descriptor)


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
