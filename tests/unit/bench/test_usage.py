"""What is charged to whom, by /proc."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.usage import TreeTime, cpu_time, descendants, kilobytes, tree_time

BURN = "import time\nwhile time.process_time() < 0.2: pass\n"
TREE = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {BURN!r}])
subprocess.run([sys.executable, "-c", {BURN + "print(flush=True); input()"!r}])
"""


def test_a_tree_is_its_root_and_all_that_descend_from_it() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", TREE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as root:
        assert root.stdout is not None
        root.stdout.readline()
        found, time = list(descendants(root.pid)), tree_time(root.pid)
        root.communicate(b"\n")
    assert len(found) == 1
    assert time.descendants > 0.3, "one child runs, and one has ended"
    assert time.root < time.descendants
    assert time.since(time) == TreeTime(0, 0)


def test_a_process_that_is_not_there_costs_no_guess() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    with pytest.raises(OSError):
        cpu_time(gone.pid)


def test_a_line_of_kilobytes_is_found_by_its_name(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tVmRSS\nVmHWM:\t     300 kB\nVmRSS:\t     200 kB\n")
    assert kilobytes(status, "VmRSS") == 200
    with pytest.raises(OSError, match="no Pss"):
        kilobytes(status, "Pss")
