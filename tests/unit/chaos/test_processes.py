"""Processes as /proc tells of them."""

import os
import signal
import subprocess
import sys

from tests.chaos.processes import tree


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


FORKS = """
import os
if os.fork() == 0:
    input()
os.wait()
"""


def test_a_forked_process_has_the_arguments_of_its_parent_and_is_of_its_session() -> None:
    command = [sys.executable, "-c", FORKS, "marker"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as parent:
        while len(found := tree(parent.pid)) < 2:
            pass
        first, forked = found
        assert "marker" in first.arguments()
        assert forked.arguments() == first.arguments()
        assert (first.session, forked.session) == (first.pid, first.pid)
        for process in reversed(found):
            process.send(signal.SIGKILL)
    assert first.arguments() == []
