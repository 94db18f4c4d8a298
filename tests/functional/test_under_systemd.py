"""The daemon as systemd, docker and ECS run and stop it: however the signal comes, the end is the same."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.functional.conftest import StartDaemon
from tests.functional.harness.daemon import ROOT, Daemon, runs

UNWRITABLE = "/proc"
"""Nobody can write there, not even root."""


def to_the_supervisor(daemon: Daemon, jvm: int, shard: int) -> None:
    daemon.signal(signal.SIGTERM)


def to_its_process_group(daemon: Daemon, jvm: int, shard: int) -> None:
    os.killpg(daemon.pid, signal.SIGTERM)


def to_everybody(daemon: Daemon, jvm: int, shard: int) -> None:
    """As KillMode=control-group does."""
    for pid in (daemon.pid, jvm, shard):
        os.kill(pid, signal.SIGTERM)


def to_everybody_children_first(daemon: Daemon, jvm: int, shard: int) -> None:
    for pid in (shard, jvm, daemon.pid):
        os.kill(pid, signal.SIGTERM)


@pytest.mark.parametrize(
    "terminate", [to_the_supervisor, to_its_process_group, to_everybody, to_everybody_children_first]
)
def test_sigterm_ends_in_order_whoever_gets_it(
    start: StartDaemon, terminate: Callable[[Daemon, int, int], None]
) -> None:
    daemon = start(HOME=UNWRITABLE)
    jvm, shard = daemon.running()
    assert os.getsid(daemon.pid) == daemon.pid != os.getsid(0)
    terminate(daemon, jvm, shard)
    assert daemon.end() == 0
    assert any("draining" in line for line in daemon.lines)
    assert not any("killing" in line or "Traceback" in line for line in daemon.lines)
    assert not runs(jvm)
    assert not runs(shard)


def test_sigterm_to_everybody_while_the_jvm_is_starting_ends_in_order(start: StartDaemon) -> None:
    daemon = start("jvm.options=--early")
    daemon.line("JVM: starting")
    for pid in (children := children_of(daemon.pid)):
        os.kill(pid, signal.SIGTERM)
    daemon.signal(signal.SIGTERM)
    assert daemon.end() == 0
    assert children
    assert not any(map(runs, children))


def children_of(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def test_nothing_is_written_outside_of_the_state_directory(start: StartDaemon, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    daemon = start(HOME=str(home), TMPDIR=str(home))
    daemon.running()
    daemon.signal(signal.SIGTERM)
    assert daemon.end() == 0
    assert list(home.iterdir()) == []


def test_the_commands_need_neither_terminal_nor_input_nor_home_nor_environment() -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" <&-', "sh", ROOT / "bin" / "check", "s3", "--offline"],
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "HOME": UNWRITABLE},
        start_new_session=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "ok     settings: 0 warnings\n"
