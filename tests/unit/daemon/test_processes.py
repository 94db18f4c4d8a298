"""Which processes of a session run, by real ones."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from consumer.daemon.supervise import processes

_LEADER = """
import os, sys
pid = os.fork()
if pid == 0:
    sys.stdin.buffer.raw.read(1)  # until the test says so
    os._exit(0)
print(pid, flush=True)
"""


@pytest.fixture
def adopting() -> Iterator[None]:
    processes.adopt_orphans()
    yield
    processes._prctl(processes._PR_SET_CHILD_SUBREAPER, 0)


@pytest.mark.usefixtures("adopting")
def test_a_process_that_its_server_has_left_behind_runs_until_it_ends_and_is_reaped_then() -> None:
    """As the shard processes of a fork server that was killed: a zombie of theirs would be taken for a silent one."""
    with subprocess.Popen(
        [sys.executable, "-S", "-c", _LEADER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as leader:
        assert leader.stdout is not None
        assert leader.stdin is not None
        member = int(leader.stdout.readline())
        leader.wait()
        assert processes.runs_in(member, leader.pid)
        assert not processes.runs_in(member, os.getsid(0))
        leader.stdin.write(b".")
        leader.stdin.close()
        os.waitid(os.P_PID, member, os.WEXITED | os.WNOWAIT)
        assert not processes.runs_in(member, leader.pid)
        with pytest.raises(ChildProcessError):
            os.waitpid(member, os.WNOHANG)


def test_a_leader_that_has_ended_is_left_to_whoever_started_it() -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", ""], start_new_session=True) as leader:
        os.waitid(os.P_PID, leader.pid, os.WEXITED | os.WNOWAIT)
        assert not processes.runs_in(leader.pid, leader.pid)
        assert leader.wait() == 0
