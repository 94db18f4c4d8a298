"""The two backends of a demo as child processes, started as `bin/start BACKEND --local` starts them."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from consumer.local import tethered
from consumer.local.child import tail
from consumer.settings.table import SETTINGS, Backend

BACKENDS: tuple[Backend, ...] = ("s3", "bigquery")

#: What an orderly end may take: the shutdown grace of the local settings, and the supervisor's margin.
STOP_SECONDS = 45
#: After two signals, which ask for an end at once.
_KILL_SECONDS = 8


class BackendError(Exception):
    """A backend ended early or badly; the message ends with the tail of its log."""


def settings_for(backend: Backend, given: Mapping[str, str]) -> dict[str, str]:
    """Of settings meant for both backends, those this one knows; a wrong name goes to both, to be refused."""
    return {
        key: value for key, value in given.items() if key not in SETTINGS or backend in SETTINGS[key].backends
    }


@dataclass(slots=True)
class Running:
    """A backend's supervisor, in a session of its own."""

    name: Backend
    popen: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raises BackendError when it has ended."""
        if self.popen.poll() is not None:
            raise BackendError(f"{self.name} ended with code {self.popen.returncode}:\n{tail(self.log, 30)}")

    def end(self) -> None:
        """Wait for an orderly end after SIGTERM. Raises BackendError if it is late or not clean."""
        try:
            code = self.popen.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise BackendError(
                f"{self.name} did not end within {STOP_SECONDS} s:\n{tail(self.log)}"
            ) from None
        if code:
            raise BackendError(f"{self.name} ended with code {code} after SIGTERM:\n{tail(self.log, 30)}")

    def abandon(self) -> None:
        """Two signals, which ask for an end at once; then SIGKILL. Safe to repeat."""
        for _ in range(2):
            if self.popen.poll() is None:
                self.popen.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
                    self.popen.wait(0.3)
        try:
            self.popen.wait(_KILL_SECONDS)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            os.killpg(self.popen.pid, signal.SIGKILL)
            self.popen.wait()


def _spawn(backend: Backend, state_dir: Path, settings: Mapping[str, str]) -> Running:
    chosen = [f"--set={key}={value}" for key, value in settings_for(backend, settings).items()]
    log = state_dir / f"{backend}.log"
    with log.open("wb") as output:
        command = ("start", backend, "--local", *chosen)
        popen = tethered.spawn(*command, state_dir=state_dir, stdout=output, stderr=output)
    return Running(backend, popen, log)


@contextlib.contextmanager
def started(state_dir: Path, settings: Mapping[Backend, Mapping[str, str]]) -> Iterator[list[Running]]:
    """The backends of the settings against the stack of a state directory; none outlives the block."""
    running: list[Running] = []
    try:
        for backend in settings:
            running.append(_spawn(backend, state_dir, settings[backend]))
        yield running
    finally:
        for one in running:
            if one.popen.poll() is None:
                one.popen.terminate()
        for one in running:
            one.abandon()


def stop(running: Sequence[Running]) -> None:
    """An orderly end of all: SIGTERM, exit code 0. Raises BackendError."""
    for one in running:
        one.check()
        one.popen.terminate()
    for one in running:
        one.end()
