"""The test's end of told_java.py: what the JVM of a supervisor does, and conversations with its shard processes."""

import os
import signal
import socket
import stat
import sys
from pathlib import Path
from typing import Self

from tests.functional.harness.daemon import FUNCTIONAL
from tests.functional.harness.kcl import SAFETY_SECONDS, Conversation


class ToldShard(Conversation):
    """A shard process of a told JVM."""

    def __init__(self, pid: int, to_process: int, from_process: int) -> None:
        self.pid = pid
        super().__init__(os.fdopen(to_process, "wb"), os.fdopen(from_process, "rb"))

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


class ToldJvm:
    """One life of the JVM. Its shard processes end with it."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(SAFETY_SECONDS)
        self._connection = connection
        self._said = b""
        self.pid = int(self._line())
        self.shards: list[ToldShard] = []

    def open(self, shard: str, start: str = "TRIM_HORIZON") -> ToldShard:
        """Starts a process for a shard, as if the KCL had taken its lease."""
        self._connection.sendall(b"open\n")
        said, descriptors, *_ = socket.recv_fds(self._connection, 64, 2)
        opened = ToldShard(int(said), *descriptors)
        self.shards.append(opened)
        opened.initialize(start, shard)
        return opened

    def say(self, level: str, logger: str, message: str) -> None:
        """A line of the KCL's log."""
        self._connection.sendall(f"say kcl|{level}|{logger}|{message}\n".encode())

    def exit(self, code: int) -> None:
        self._connection.sendall(b"exit %d\n" % code)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def wait_for_term(self) -> None:
        """Until the supervisor asks for an orderly end."""
        assert self._line() == b"term"

    def close(self) -> None:
        """After its end."""
        self._connection.close()
        for shard in self.shards:
            shard.close()

    def _line(self) -> bytes:
        while b"\n" not in self._said:
            received = self._connection.recv(64)
            assert received, "the JVM has ended"
            self._said += received
        line, _, self._said = self._said.partition(b"\n")
        return line


class ToldJvms:
    """Where the JVMs of a supervisor ask what to do, one after the other. `java` is what `jvm.java` has to name,
    `environment` what it needs."""

    def __init__(self, folder: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.settimeout(SAFETY_SECONDS)
        self._listener.bind(str(folder / "jvm"))
        self._listener.listen()
        self._jvms: list[ToldJvm] = []
        self.environment = {"JVM_TOLD": str(folder / "jvm")}
        self.java = folder / "java"
        self.java.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{FUNCTIONAL / "told_java.py"}" "$@"\n')
        self.java.chmod(self.java.stat().st_mode | stat.S_IXUSR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """After the end of the supervisor, and with it of the JVMs."""
        self._listener.close()
        for jvm in self._jvms:
            jvm.close()

    def next(self) -> ToldJvm:
        """The one that is started next."""
        jvm = ToldJvm(self._listener.accept()[0])
        self._jvms.append(jvm)
        return jvm
