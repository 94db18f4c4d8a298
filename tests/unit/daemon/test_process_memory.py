import os
from pathlib import Path

import pytest

from consumer.daemon.metrics.memory import ProcessMemory
from tests.unit.daemon.statuses import event, status_of

PAGE = os.sysconf("SC_PAGE_SIZE")


def test_resident_memory_is_added_up_by_kind_and_asked_for_seldom(tmp_path: Path) -> None:
    now = 0.0
    for pid, pages in ((1, 10), (17, 200), (9, 30), (1000, 40)):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "statm").write_text(f"999 {pages} 5 1 0 3 0\n")
    memory = ProcessMemory(fork_server=lambda: 9, monotonic=lambda: now, proc=tmp_path)
    status = status_of(event(0), event(1))  # the second one has ended
    found = {"supervisor": 10, "jvm": 200, "fork-server": 30, "shard": 40}
    assert memory.of(status) == {kind: pages * PAGE for kind, pages in found.items()}
    (tmp_path / "1" / "statm").write_text("999 11 5 1 0 3 0\n")
    assert memory.of(status)["supervisor"] == 10 * PAGE
    now = 10.0
    assert memory.of(status)["supervisor"] == 11 * PAGE


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc")
def test_a_process_that_runs_has_some() -> None:
    memory = ProcessMemory(fork_server=lambda: None, monotonic=lambda: 0.0)
    assert set(memory.of(status_of())) == {"supervisor"}
