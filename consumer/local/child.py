"""Child processes that end with their parent and say on a pipe where they listen."""

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_READY_FD = "CONSUMER_LOCAL_READY_FD"
_PARENT = "CONSUMER_LOCAL_PARENT"
_PR_SET_PDEATHSIG = 1
ROOT = Path(__file__).parents[2]


class ChildError(Exception):
    """A child ended, or stayed silent, before it was ready; the message ends with the tail of its log."""


@dataclass(frozen=True, slots=True)
class Child:
    """The child's end: built first thing in its main, `ready` called once it takes connections."""

    ready_fd: int | None

    @classmethod
    def from_environment(cls) -> Self:
        """Tie this process to its parent's life. A process started by hand is tied to nobody."""
        if parent := os.environ.get(_PARENT):
            die_with_parent(int(parent))
        ready_fd = os.environ.get(_READY_FD)
        return cls(int(ready_fd) if ready_fd else None)

    def ready(self, **ports: int) -> None:
        """Hand the ports to the parent; without one, print them."""
        if self.ready_fd is None:
            print(json.dumps(ports), flush=True)
            return
        with os.fdopen(self.ready_fd, "w") as pipe:
            json.dump(ports, pipe)


def die_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Ask the kernel for a signal when the parent ends; end now if it is gone already. Linux only."""
    if sys.platform != "linux":
        return
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        sys.exit("the parent process is gone")


@dataclass(slots=True)
class Process:
    """The parent's end of a child.

    Spawn it from a thread that lives as long as the child should: the kernel ties the child's life to
    the thread that started it.
    """

    module: str
    popen: subprocess.Popen[bytes]
    log: Path
    ready_fd: int

    @classmethod
    def spawn(cls, module: str, *arguments: str, log: Path, environment: Mapping[str, str]) -> Self:
        """Run `python -m module` in a session of its own; its output goes to `log`."""
        ready_fd, write_fd = os.pipe()
        try:
            with log.open("ab") as output:
                popen = subprocess.Popen(
                    [sys.executable, "-P", "-m", module, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=(write_fd,),
                    env=_child_environment(environment, write_fd),
                )
        except BaseException:
            os.close(ready_fd)
            raise
        finally:
            os.close(write_fd)
        return cls(module, popen, log, ready_fd)

    def wait_ready(self, timeout_seconds: float) -> dict[str, int]:
        """Block until the child says where it listens; returns its ports. Call it once.

        Raises ChildError when it ends or stays silent; it is not stopped.
        """
        with os.fdopen(self.ready_fd, "rb") as pipe:
            try:
                return _ports_from(pipe.fileno(), time.monotonic() + timeout_seconds)
            except (TimeoutError, ValueError) as error:
                raise ChildError(f"{self.module} did not start: {error}\n{tail(self.log)}") from error

    def ended(self) -> bool:
        return self.popen.poll() is not None

    def terminate(self) -> None:
        """Ask it to stop, without waiting."""
        if not self.ended():
            self.popen.terminate()

    def stop(self, *, grace_seconds: float = 5) -> None:
        """SIGTERM, then SIGKILL to the whole session after the grace time or a Ctrl-C. Safe to repeat."""
        self.terminate()
        try:
            self.popen.wait(grace_seconds)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            self.kill()

    def kill(self) -> None:
        if not self.ended():
            os.killpg(self.popen.pid, signal.SIGKILL)
            self.popen.wait()


def _child_environment(environment: Mapping[str, str], ready_fd: int) -> dict[str, str]:
    own = {_READY_FD: str(ready_fd), _PARENT: str(os.getpid()), "PYTHONPATH": str(ROOT)}
    return {**environment, **own}


def _ports_from(fd: int, deadline: float) -> dict[str, int]:
    """Everything the child writes before it closes the pipe. ValueError if that is not its ports."""
    text = b""
    while True:
        if not select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise TimeoutError("no answer in time")
        piece = os.read(fd, 4096)
        if not piece:
            ports: dict[str, int] = json.loads(text or b"null") or _ended()
            return ports
        text += piece


def _ended() -> dict[str, int]:
    raise ValueError("it ended")


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log file, for an error message; empty if there is none."""
    if not log.exists():
        return ""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
