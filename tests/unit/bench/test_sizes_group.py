"""Control groups of either version, by files in a folder; and a real one where this process may make it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bench import sizes_group
from tests.bench.kcl import BenchError
from tests.bench.sizes_group import PERIOD_MICROS, ControlGroup, Throttling, limited, throttling

STAT_2 = "usage_usec 7\nnr_periods 40\nnr_throttled 10\nthrottled_usec 2500000\nnr_bursts 0\n"
STAT_1 = "nr_periods 40\nnr_throttled 10\nthrottled_time 2500000000\nnr_bursts 0\n"


def version_2(root: Path, *, enabled: str = "cpu memory", controllers: str = "cpuset cpu memory") -> Path:
    (root / "cgroup.controllers").write_text(f"{controllers}\n")
    (root / "cgroup.subtree_control").write_text(f"{enabled}\n")
    return root


def version_1(root: Path, name: str = "cpu") -> Path:
    (root / name).mkdir()
    (root / name / "cpu.cfs_quota_us").write_text("-1\n")
    return root / name


@pytest.fixture(autouse=True)
def removable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The kernel's folders go with the files in them, and have one for processes from the start."""
    mkdir: Callable[[Path], None] = Path.mkdir

    def made(folder: Path) -> None:
        mkdir(folder)
        if folder.name.startswith("bench-") and folder.is_relative_to(tmp_path):
            (folder / "cgroup.procs").touch()

    monkeypatch.setattr(Path, "mkdir", made)
    rmdir = Path.rmdir
    monkeypatch.setattr(
        Path, "rmdir", lambda self: shutil.rmtree(self) if self.is_relative_to(tmp_path) else rmdir(self)
    )


@pytest.mark.parametrize("stat", [STAT_1, STAT_2])
def test_both_versions_tell_the_same_of_what_was_throttled(stat: str) -> None:
    found = throttling(stat)
    assert found == Throttling(periods=40, throttled_periods=10, throttled_seconds=2.5)
    assert found.percent == 25.0


def test_what_was_throttled_counts_from_a_moment_on() -> None:
    assert Throttling(40, 10, 2.5).since(Throttling(30, 9, 2.0)) == Throttling(10, 1, 0.5)
    assert Throttling(0, 0, 0.0).percent == 0.0


def test_version_2_limits_by_quota_and_period(tmp_path: Path) -> None:
    version_2(tmp_path)
    with limited(0.25, root=tmp_path) as group:
        assert (group.folder / "cpu.max").read_text() == f"25000 {PERIOD_MICROS}"
        assert group.folder.parent == tmp_path
    assert not group.folder.exists()


def test_version_2_hands_the_controller_down_where_it_is_not_yet(tmp_path: Path) -> None:
    version_2(tmp_path, enabled="memory")
    with limited(1, root=tmp_path):
        assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpu"


@pytest.mark.parametrize("name", ["cpu", "cpu,cpuacct"])
def test_version_1_is_taken_where_version_2_has_no_such_controller(tmp_path: Path, name: str) -> None:
    version_2(tmp_path, controllers="memory")
    hierarchy = version_1(tmp_path, name)
    with limited(0.5, root=tmp_path) as group:
        assert group.folder.parent == hierarchy
        assert (group.folder / "cpu.cfs_quota_us").read_text() == "50000"
        assert (group.folder / "cpu.cfs_period_us").read_text() == str(PERIOD_MICROS)


def test_without_the_controller_the_run_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(BenchError, match="no control group with the controller cpu"),
        limited(1, root=tmp_path),
    ):
        pass


def test_without_the_right_the_run_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version_2(tmp_path)

    def refused(folder: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refused)
    with (
        pytest.raises(BenchError, match=r"cannot be made, which root may: .*denied"),
        limited(1, root=tmp_path),
    ):
        pass


def test_a_limit_that_is_refused_voids_the_run_and_leaves_no_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version_2(tmp_path)
    write = Path.write_text

    def refused(file: Path, text: str) -> int:
        if file.name == "cpu.max":
            raise OSError(22, "Invalid argument")
        return write(file, text)

    monkeypatch.setattr(Path, "write_text", refused)
    with (
        pytest.raises(BenchError, match=r"does not take cpu\.max = .*Invalid argument"),
        limited(1, root=tmp_path),
    ):
        pass
    assert list(tmp_path.glob("bench-*")) == []


def test_a_process_that_is_gone_cannot_be_taken(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="process 7 does not get into"):
        ControlGroup(tmp_path / "none").take(7)


@pytest.fixture
def allowed() -> None:
    try:
        with limited(1.0):
            pass
    except BenchError as refusal:
        pytest.skip(f"no control group here: {refusal}")


@pytest.mark.usefixtures("allowed")
def test_what_is_left_in_a_group_is_killed_and_its_memory_and_time_are_told() -> None:
    program = "import time; list(range(10**6)); print(flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as child:
        try:
            with limited(1.0) as group:
                group.take(child.pid)
                assert child.stdout is not None
                child.stdout.readline()
                assert group.pids() == [child.pid]
                assert group.cpu_seconds() > 0
                assert group.throttling().periods >= 0
                assert sizes_group._pss_bytes(child.pid) > 1 << 20
            assert child.wait() == -9
            assert not group.folder.exists()
        finally:
            child.kill()


def test_a_process_that_has_ended_takes_no_memory() -> None:
    assert sizes_group._pss_bytes(os.getpid()) > 0
    assert sizes_group._pss_bytes(2**22 + 1) == 0
