"""A control group whose processes have a share of the processors, as a container of that size has it. Linux only.

Version 2 (`cpu.max`) is taken where it has the controller, else version 1 (`cpu.cfs_quota_us`):
https://docs.kernel.org/admin-guide/cgroup-v2.html, https://docs.kernel.org/scheduler/sched-bwc.html
"""

import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.bench.fork_level import pss_bytes
from tests.bench.kcl import BenchError
from tests.bench.usage import cpu_time

ROOT = Path("/sys/fs/cgroup")
PERIOD_MICROS = 100_000
"""As container engines set it."""

_WEIGHT_SHARES = 10 * 1024
_WEIGHT = 10 * 100
"""Ten times a group's usual part of busy processors: what limits it is its quota, not what stands beside it."""

_SAMPLE_SECONDS = 1.0
_END_SECONDS = 10.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Throttling:
    """Periods in which the group had something to do, those of them in which it was stopped at its quota, and for how
    long all its threads together were stopped."""

    periods: int
    throttled_periods: int
    throttled_seconds: float

    @property
    def percent(self) -> float:
        """Of the periods."""
        return 100 * self.throttled_periods / self.periods if self.periods else 0.0

    def since(self, before: "Throttling") -> "Throttling":
        return Throttling(
            self.periods - before.periods,
            self.throttled_periods - before.throttled_periods,
            self.throttled_seconds - before.throttled_seconds,
        )


@dataclass(frozen=True, slots=True)
class ControlGroup:
    """A group that exists; processes that those in it start are in it as well."""

    folder: Path

    def take(self, pid: int) -> None:
        """All threads of a process. Raises BenchError when there is none."""
        try:
            (self.folder / "cgroup.procs").write_text(str(pid))
        except OSError as error:
            raise BenchError(f"process {pid} does not get into its control group: {error}") from error

    def pids(self) -> list[int]:
        return [int(pid) for pid in (self.folder / "cgroup.procs").read_text().split()]

    def throttling(self) -> Throttling:
        return throttling((self.folder / "cpu.stat").read_text())

    def cpu_seconds(self) -> float:
        """Of the processes that run, and of those of their children that have ended."""
        times = [cpu_time(pid) for pid in self.pids()]
        return sum(time.own + time.ended_children for time in times)


@contextmanager
def limited(cores: float, *, root: Path = ROOT) -> Iterator[ControlGroup]:
    """An empty group below `root` of so many processors' time; what is in it at the end is killed. Raises BenchError
    where this process may not make one."""
    hierarchy, files = _hierarchy(root, cores)
    folder = hierarchy / f"bench-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        raise BenchError(f"a control group cannot be made, which root may: {error}") from error
    group = ControlGroup(folder)
    try:
        _write(folder, files)
        yield group
    finally:
        _end(group)


def throttling(stat: str) -> Throttling:
    """What cpu.stat says: version 2 counts microseconds, version 1 nanoseconds."""
    values = {name: int(value) for name, value in (line.split() for line in stat.splitlines())}
    seconds = values["throttled_usec"] / 1e6 if "throttled_usec" in values else values["throttled_time"] / 1e9
    return Throttling(values["nr_periods"], values["nr_throttled"], seconds)


def _write(folder: Path, files: Mapping[str, str]) -> None:
    for name, value in files.items():
        try:
            (folder / name).write_text(value)
        except OSError as error:
            raise BenchError(f"the control group does not take {name} = {value}: {error}") from error


def _hierarchy(root: Path, cores: float) -> tuple[Path, Mapping[str, str]]:
    """Where groups with the controller `cpu` are made, and what to write into one."""
    quota = round(cores * PERIOD_MICROS)
    controllers = root / "cgroup.controllers"
    if controllers.exists() and "cpu" in controllers.read_text().split():
        _enable(root / "cgroup.subtree_control")
        return root, {"cpu.max": f"{quota} {PERIOD_MICROS}", "cpu.weight": str(_WEIGHT)}
    for name in ("cpu", "cpu,cpuacct"):
        if (root / name / "cpu.cfs_quota_us").exists():
            return root / name, {
                "cpu.cfs_period_us": str(PERIOD_MICROS),
                "cpu.cfs_quota_us": str(quota),
                "cpu.shares": str(_WEIGHT_SHARES),
            }
    raise BenchError(f"there is no control group with the controller cpu below {root}")


def _enable(subtree_control: Path) -> None:
    """For groups below; needs no privilege where it is there already."""
    if "cpu" in subtree_control.read_text().split():
        return
    try:
        subtree_control.write_text("+cpu")
    except OSError as error:
        raise BenchError(f"the controller cpu cannot be handed to control groups: {error}") from error


def _end(group: ControlGroup) -> None:
    """A group can be removed once its processes are gone."""
    deadline = time.monotonic() + _END_SECONDS
    while True:
        for pid in group.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with suppress(OSError):
            group.folder.rmdir()
            return
        if time.monotonic() > deadline:
            raise BenchError(f"the control group {group.folder} cannot be removed")
        time.sleep(_POLL_SECONDS)


@dataclass(slots=True)
class PeakMemory:
    """Proportional memory of a group, looked at once a second for as long as the block runs."""

    group: ControlGroup
    peak_pss_bytes: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._thread is not None
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(_SAMPLE_SECONDS):
            self.peak_pss_bytes = max(self.peak_pss_bytes, sum(map(_pss_bytes, self.group.pids())))


def _pss_bytes(pid: int) -> int:
    """0 for a process that has ended meanwhile."""
    with suppress(OSError):
        return pss_bytes([pid])
    return 0
