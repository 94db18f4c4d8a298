"""`python3 -m consumer.shard.process.fork_server`: forks a shard process for each launcher that asks, from a process
that has imported what they need, so that they share it.

Standard input is the listening socket. The server reads nothing of what a launcher sends: it forks as soon as one is
there, and tells the exit status at the end. It has no thread, no event loop and no connection to a backend, all of
which a fork would break. Shard processes do not need it to live on.
"""

import gc
import os
import traceback
from collections.abc import Callable
from contextlib import suppress
from os import close, fork, waitpid
from select import POLLIN, poll
from socket import socket
from typing import NoReturn

from consumer.shard.process.forked import EXIT_FAILED, become_shard_process
from consumer.shard.process.handover import is_of_this_user

# what gevent replaces stands above by name: the server itself uses the originals


class ForkServer:
    """`run` is what a forked process does with its connection; it closes all other descriptors first."""

    def __init__(self, listener: socket, run: Callable[[int], NoReturn]) -> None:
        self._listener = listener
        self._run = run
        self._forked: dict[int, tuple[int, int]] = {}  # process id and connection by pidfd
        self._poll = poll()
        self._poll.register(listener, POLLIN)

    def serve(self) -> NoReturn:
        while True:
            self.serve_once()

    def serve_once(self) -> None:
        """Waits for launchers and for ends of shard processes, and deals with those that are there."""
        for descriptor, _ in self._poll.poll():
            if descriptor in self._forked:
                self._tell_end(descriptor)
            else:
                self._accept()

    def _accept(self) -> None:
        # accept() would make one of gevent's sockets, and an event loop with it
        descriptor, _ = self._listener._accept()  # type: ignore[attr-defined]
        with socket(fileno=descriptor) as connection:
            if is_of_this_user(connection):
                self._fork_for(connection)

    def _fork_for(self, connection: socket) -> None:
        try:
            pid = fork()
        except OSError as error:  # the launcher sees the end of the connection and goes its own way
            print(f"cannot fork a shard process: {error.strerror}", flush=True)
            return
        if pid == 0:
            self._become(connection.detach())
        pidfd = os.pidfd_open(pid)
        self._forked[pidfd] = (pid, connection.detach())
        self._poll.register(pidfd, POLLIN)

    def _become(self, connection: int) -> NoReturn:
        try:
            self._listener.detach()
            self._run(connection)
        except BaseException:  # noqa: BLE001 - nothing of the server may go on in a forked process
            traceback.print_exc()
        finally:
            os._exit(EXIT_FAILED)

    def _tell_end(self, pidfd: int) -> None:
        pid, connection = self._forked.pop(pidfd)
        self._poll.unregister(pidfd)
        close(pidfd)
        _, status = waitpid(pid, 0)
        with suppress(OSError):  # the launcher has ended first
            os.write(connection, b"%d\n" % shell_status(status))
        close(connection)


def shell_status(status: int) -> int:
    """A wait status as a shell tells it: the exit code, or 128 and the number of the signal."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def main() -> NoReturn:
    from consumer.shard.process.patching import patch_all

    patch_all()

    from consumer.shard.process.preload import preload, settle

    preload()
    settle()
    gc.collect()
    gc.freeze()
    ForkServer(socket(fileno=0), become_shard_process).serve()


if __name__ == "__main__":
    main()
