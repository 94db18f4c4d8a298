"""Processes as /proc tells of them."""

import os
import signal
import subprocess
import sys

from consumer.local.chaos.processes import tree


def test_a_process_that_was_stopped_is_frozen_until_it_goes_on() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as sleeper:
        (process,) = tree(sleeper.pid)
        assert not process.frozen()
        assert process.resident_bytes() > 0
        process.send(signal.SIGSTOP)
        os.waitpid(sleeper.pid, os.WUNTRACED)
        assert process.frozen()
        assert process.alive()
        process.send(signal.SIGCONT)
        os.waitpid(sleeper.pid, os.WCONTINUED)
        assert not process.frozen()
        process.send(signal.SIGKILL)
    assert not process.alive()
    assert not process.frozen()
    assert process.resident_bytes() == 0
