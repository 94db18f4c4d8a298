"""Workers: a supervisor each, with what it started, run as systemd would run it."""

import asyncio
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from consumer.domain.events import SHARD_PROCESS_NAME
from consumer.local import tethered
from consumer.local.backends import STOP_SECONDS
from consumer.settings.table import Backend
from tests.chaos.processes import Proc, send_all, tree

#: Shard processes end within seconds of their JVM, the JVM with its supervisor.
ORPHAN_SECONDS = 10.0
_RESTART_SECONDS = 1.0
_POLL_SECONDS = 0.2
_ABANDON_SECONDS = 6.0
_FORK_SERVER = "consumer.shard.process.fork_server"

type Say = Callable[[str], None]


@dataclass(slots=True, kw_only=True)
class Worker:
    """`python -m consumer start BACKEND --local` under a worker id of its own.

    Start it from the thread that lives as long as the worker should. `wanted` tells the keeper to start it
    again when it ends.
    """

    backend: Backend
    name: str
    stack_dir: Path
    settings: Mapping[str, str]
    wanted: bool = False
    popen: subprocess.Popen[bytes] | None = None
    started: list[Proc] = field(default_factory=list)

    @property
    def id(self) -> str:
        """Its worker.id, which the lease table shows as the owner."""
        return f"{self.backend}-{self.name}"

    @property
    def log(self) -> Path:
        return self.stack_dir / f"{self.id}.log"

    @property
    def state_dir(self) -> Path:
        return self.stack_dir / "workers" / self.name

    def status_file(self) -> Path | None:
        """Where its supervisor writes its status, once it does."""
        return next(self.state_dir.glob(f"*{self.backend}*/status.json"), None)

    def start(self) -> None:
        own = {"worker.id": self.id, "worker.state_dir": str(self.state_dir)}
        chosen = [f"--set={key}={value}" for key, value in {**self.settings, **own}.items()]
        with self.log.open("ab") as output:
            self.popen = tethered.spawn(
                *("start", self.backend, "--local", *chosen),
                state_dir=self.stack_dir,
                stdout=output,
                stderr=output,
            )
        self.wanted = True

    def ended(self) -> bool:
        return self.popen is not None and self.popen.poll() is not None

    def processes(self) -> list[Proc]:
        """The supervisor, first, and all below it: fork server, JVM, launchers, shard processes."""
        found = [] if self.popen is None or self.ended() else tree(self.popen.pid)
        self.started = [*[one for one in self.started if one.alive()], *found]
        return found

    def jvm(self) -> Proc | None:
        return next((process for process in self.processes() if process.name == "java"), None)

    def fork_server(self) -> Proc | None:
        """What it has forked has its arguments too, and is in its session."""
        return next(
            (
                process
                for process in self.processes()
                if process.session == process.pid and _FORK_SERVER in process.arguments()
            ),
            None,
        )

    def shard_processes(self) -> list[Proc]:
        return [process for process in self.processes() if process.name == SHARD_PROCESS_NAME]

    async def stop(self) -> int:
        """SIGTERM, as systemd stops it; returns the exit code, -9 where it had to be killed."""
        self.wanted = False
        self.processes()
        assert self.popen is not None
        if not self.ended():
            self.popen.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while not self.ended() and time.monotonic() < deadline:
            await asyncio.sleep(_POLL_SECONDS)
        if not self.ended():
            send_all(self.processes(), signal.SIGKILL)
        return self.popen.wait()

    def abandon(self) -> None:
        """End it and all that it started, whatever state they are in. Blocks a few seconds; safe to repeat."""
        self.wanted = False
        if self.popen is None:
            return
        left = [*self.processes(), *self.started]
        send_all(left, signal.SIGCONT)
        send_all(left, signal.SIGKILL)
        deadline = time.monotonic() + _ABANDON_SECONDS
        while any(process.alive() for process in left) and time.monotonic() < deadline:
            self.popen.poll()
            time.sleep(0.05)
        self.popen.wait()


async def keep(workers: Callable[[], list[Worker]], say: Say) -> None:
    """Start again what has ended and should not have, until cancelled."""
    while True:
        await asyncio.sleep(_POLL_SECONDS)
        for worker in workers():
            if worker.wanted and worker.ended():
                assert worker.popen is not None
                say(f"supervisor {worker.id} ended with code {worker.popen.returncode}; starting it again")
                await asyncio.sleep(_RESTART_SECONDS)
                if worker.wanted:
                    worker.start()


async def orphans(before: list[Proc]) -> list[Proc]:
    """Those of the processes that run still after the time which they may take to end.

    What another fault has frozen meanwhile can end only once it runs again: its time counts from there.
    """
    deadline = time.monotonic() + ORPHAN_SECONDS
    while any(process.alive() for process in before) and time.monotonic() < deadline:
        await asyncio.sleep(_POLL_SECONDS)
        if any(process.frozen() for process in before):
            deadline = time.monotonic() + ORPHAN_SECONDS
    return [process for process in before if process.alive()]
