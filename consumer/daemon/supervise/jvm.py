"""One run of the JVM, and nothing of it left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from consumer.daemon.supervise import processes
from consumer.daemon.supervise.forked import Forked
from consumer.daemon.supervise.java import JavaCommand
from consumer.daemon.supervise.session import Session

_ORPHAN_SECONDS = 5.0
"""Shard processes end by themselves when the JVM's end of their pipes closes; this is how long they may take.
"""


class Jvm:
    """A running JVM with its shard processes: children of its session, or forked for it in sessions of their own."""

    def __init__(self, session: Session, forked: Forked) -> None:
        self._session = session
        self._forked = forked

    @classmethod
    def start(cls, command: JavaCommand, receive: Callable[[str], None], forked: Forked) -> Jvm:
        """Starts it as a session (session.py). Raises OSError."""
        return cls(Session.start(command.arguments, command.environment, receive), forked)

    @property
    def pid(self) -> int:
        return self._session.pid

    def owns(self, pid: int) -> bool:
        """Whether a process is one of this JVM's that still runs."""
        return processes.runs_in(pid, self.pid) or self._forked.owns(pid)

    def terminate(self) -> None:
        """Asks for an orderly end; the JVM only, not its children."""
        self._session.terminate()

    def kill(self) -> None:
        """Ends the JVM and all its shard processes at once."""
        self._session.kill()
        self._forked.kill()

    async def wait(self) -> int:
        """Waits for the end of the JVM itself and returns its exit code, negative for a signal."""
        return await self._session.wait()

    async def without_shard_processes(self) -> None:
        """Returns when none runs, nor a launcher of one."""
        while children := {*processes.unfinished(self.pid), *self._forked.members()} - {self.pid}:
            await processes.wait_for_ends(children)

    async def clean_up(self) -> int:
        """After the JVM's end: waits for its shard processes, kills those that stay, and closes its output.

        Returns how many had to be killed.
        """
        await self._children_end()
        stayed = len(self._children())
        if stayed:
            self.kill()
            await self._children_end()
        self._session.close()
        return stayed

    def _children(self) -> list[int]:
        return [*processes.session_members(self.pid), *self._forked.members()]

    async def _children_end(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_ORPHAN_SECONDS):
                while children := self._children():
                    await processes.wait_for_ends(children)
