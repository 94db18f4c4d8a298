"""The end of a shard process whose JVM is gone.

EOF on stdin tells a process that reads; one that starts, or waits for its backend inside a callback, does not (I10).
A thread of its own sees it whatever the process is busy with. This module is imported before gevent changes any other,
and takes what it needs of them by name.
"""

import os
import signal
from _thread import start_new_thread
from select import POLLIN, poll
from time import sleep

CHECK_SECONDS = 1.0
_READ_BYTES = 64


def end_when_orphaned() -> None:
    """From here on the process ends within a second or so of its parent."""
    start_new_thread(_watch_parent, (os.getppid(),))


def end_with_launcher(connection: int, parent: int) -> None:
    """From here on the process ends with the launcher at the other end of `connection`, or with the launcher's parent,
    of which `parent` is a pidfd; what the launcher sends stands for SIGTERM."""
    start_new_thread(_watch_launcher, (connection, parent))


def _watch_parent(parent: int) -> None:
    while os.getppid() == parent:
        sleep(CHECK_SECONDS)
    os._exit(0)


def _watch_launcher(connection: int, parent: int) -> None:
    either = poll()
    either.register(connection, POLLIN)
    either.register(parent, POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in either.poll()}
        if parent in ready or not _has_spoken(connection):
            os._exit(0)
        os.kill(os.getpid(), signal.SIGTERM)


def _has_spoken(connection: int) -> bool:
    try:
        return os.read(connection, _READ_BYTES) != b""
    except ConnectionResetError:
        return False
