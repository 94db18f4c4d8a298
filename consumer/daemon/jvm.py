"""One run of the JVM: started in a session of its own, its output read, and nothing of it left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress

from consumer.daemon import processes
from consumer.daemon.java import JavaCommand

_LONGEST_LINE = 16 * 1024
_READ_BYTES = 64 * 1024
_ORPHAN_SECONDS = 5.0
"""Shard processes end by themselves when the JVM's end of their pipes closes; this is how long they may take.
"""


class Lines:
    """Cuts bytes into lines, and lines that do not end into pieces."""

    def __init__(self, receive: Callable[[str], None]) -> None:
        self._receive = receive
        self._rest = b""

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._give(line)
        if len(self._rest) > _LONGEST_LINE:
            self.end()

    def end(self) -> None:
        rest, self._rest = self._rest, b""
        self._give(rest)

    def _give(self, line: bytes) -> None:
        if line.strip():
            self._receive(line.rstrip(b"\r").decode("utf-8", "replace"))


class Jvm:
    """A running JVM. Its process id is also that of its session and process group, which its children share."""

    def __init__(self, process: subprocess.Popen[bytes], output: int, receive: Callable[[str], None]) -> None:
        self._process = process
        self._output = output
        self._lines = Lines(receive)
        asyncio.get_running_loop().add_reader(output, self._read)

    @classmethod
    def start(cls, command: JavaCommand, receive: Callable[[str], None]) -> Jvm:
        """Starts it; `receive` gets each line of its output. It is killed when this thread ends, however it
        ends."""
        parent = os.getpid()
        output, write_end = os.pipe()
        try:
            process = subprocess.Popen(
                command.arguments,
                env=dict(command.environment),
                stdin=subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                start_new_session=True,
                preexec_fn=lambda: processes.die_with(parent),
            )
        except BaseException:
            os.close(output)
            raise
        finally:
            os.close(write_end)
        os.set_blocking(output, False)
        return cls(process, output, receive)

    @property
    def pid(self) -> int:
        return self._process.pid

    def owns(self, pid: int) -> bool:
        """Whether a process is one of this JVM's session that still exists."""
        return processes.is_member(pid, self.pid)

    def terminate(self) -> None:
        """Asks for an orderly end; the JVM only, not its children."""
        self._process.terminate()

    def kill(self) -> None:
        """Ends the JVM and all its children at once."""
        processes.kill_group(self.pid)

    async def wait(self) -> int:
        """Waits for the end of the JVM itself and returns its exit code, negative for a signal."""
        descriptor = os.pidfd_open(self.pid)
        try:
            await processes.readable(descriptor)
        finally:
            os.close(descriptor)
        return self._process.wait()

    async def clean_up(self) -> int:
        """After the JVM's end: waits for its shard processes, kills those that stay, and closes its output.

        Returns how many had to be killed.
        """
        await self._children_end()
        stayed = len(processes.session_members(self.pid))
        if stayed:
            self.kill()
            await self._children_end()
        self._close()
        return stayed

    async def _children_end(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_ORPHAN_SECONDS):
                while members := processes.session_members(self.pid):
                    await processes.wait_for_ends(members)

    def _read(self) -> None:
        try:
            data = os.read(self._output, _READ_BYTES)
        except BlockingIOError:
            return
        if data:
            self._lines.feed(data)
        else:
            asyncio.get_running_loop().remove_reader(self._output)

    def _close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._output)
        with suppress(BlockingIOError):
            while data := os.read(self._output, _READ_BYTES):
                self._lines.feed(data)
        self._lines.end()
        os.close(self._output)


def describe_exit(code: int) -> str:
    """`exit code 1`, or `SIGKILL`."""
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
