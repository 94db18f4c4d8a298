"""The end of a shard process whose JVM is gone.

EOF on stdin tells a process that reads; one that starts, or waits for its backend inside a callback, does not (I10).
A thread of its own sees it whatever the process is busy with. This module is imported before all others.
"""

import _thread
import os
from time import sleep

CHECK_SECONDS = 1.0


def end_when_orphaned() -> None:
    """From here on the process ends within a second or so of its parent."""
    _thread.start_new_thread(_watch, (os.getppid(),))


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        sleep(CHECK_SECONDS)
    os._exit(0)
