"""A process in a session of its own that ends with us, and its output as lines."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Self

from consumer.daemon.supervise import processes

_LONGEST_LINE = 16 * 1024
_READ_BYTES = 64 * 1024


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


class Session:
    """A running process. Its process id is also that of its session and process group."""

    def __init__(self, process: subprocess.Popen[bytes], output: int, receive: Callable[[str], None]) -> None:
        self._process = process
        self._output = output
        self._lines = Lines(receive)
        asyncio.get_running_loop().add_reader(output, self._read)

    @classmethod
    def start(
        cls,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        receive: Callable[[str], None],
        *,
        stdin: int = subprocess.DEVNULL,
    ) -> Self:
        """Starts it; `receive` gets each line of its output. It is killed when this thread ends, however it
        ends. Raises OSError."""
        parent = os.getpid()
        output, write_end = os.pipe()
        try:
            process = subprocess.Popen(
                arguments,
                env=dict(environment),
                stdin=stdin,
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

    def terminate(self) -> None:
        """SIGTERM to the process itself."""
        self._process.terminate()

    def kill(self) -> None:
        """Ends it at once, and what it has started, as far as that has not left its process group."""
        processes.kill_group(self.pid)

    async def wait(self) -> int:
        """Waits for the end of the process itself and returns its exit code, negative for a signal."""
        descriptor = os.pidfd_open(self.pid)
        try:
            await processes.readable(descriptor)
        finally:
            os.close(descriptor)
        return self._process.wait()

    def close(self) -> None:
        """After its end: takes what is left of its output."""
        asyncio.get_running_loop().remove_reader(self._output)
        with suppress(BlockingIOError):
            while data := os.read(self._output, _READ_BYTES):
                self._lines.feed(data)
        self._lines.end()
        os.close(self._output)

    def _read(self) -> None:
        try:
            data = os.read(self._output, _READ_BYTES)
        except BlockingIOError:
            return
        if data:
            self._lines.feed(data)
        else:
            asyncio.get_running_loop().remove_reader(self._output)


def describe_exit(code: int) -> str:
    """`exit code 1`, or `SIGKILL`, which Java and shells say as `exit code 137 (SIGKILL)`."""
    try:
        name = signal.Signals(-code if code < 0 else code - 128).name
    except ValueError:
        return f"exit code {code}"
    return name if code < 0 else f"exit code {code} ({name})"
