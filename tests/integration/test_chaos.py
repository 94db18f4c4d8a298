"""A short run of bin/chaos: the real KCL, both backends, faults of every group, hostile records, no loss, no double."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.processes import tree

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
CHAOS = [sys.executable, "-P", "-m", "tests.chaos"]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.mark.timeout(900)
def test_under_faults_nothing_is_lost_and_nothing_is_doubled() -> None:
    done = subprocess.run(
        [*CHAOS, "--faults", "10", "--seed", "3", "--scale", "0.4", "--rate", "60", "--hostile", "--json"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["clean"]
    assert len(summary["plan"]) == 10
    for backend in ("s3", "bigquery"):
        tally = summary[backend]
        assert tally["acknowledged"] > 1000
        assert len(tally["verdicts"]) > 90
        assert (tally["lost"], tally["unexpected"], tally["duplicated"], tally["misjudged"]) == (0, 0, 0, 0)


def test_ctrl_c_leaves_no_process() -> None:
    chaos = subprocess.Popen(
        CHAOS, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert chaos.stderr is not None
    with chaos.stderr as lines:
        next(line for line in lines if "waiting for the first records" in line)
        started = tree(chaos.pid)
        chaos.send_signal(signal.SIGINT)
        rest = lines.read()
    assert chaos.wait() == 130
    assert "nothing is left running" in rest
    assert len(started) >= 4  # itself, the stack's two, two supervisors with what they have begun
    assert [process for process in started if process.alive()] == []
