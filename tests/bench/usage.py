"""What processes have cost so far, by Linux' clocks and /proc."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class CpuTime:
    """User and system seconds: of a process, and of its children that have ended and been waited for."""

    own: float
    ended_children: float


@dataclass(frozen=True, slots=True)
class TreeTime:
    """Seconds of a process, and of all its descendants, ended ones included."""

    root: float
    descendants: float

    def since(self, before: "TreeTime") -> "TreeTime":
        return TreeTime(self.root - before.root, self.descendants - before.descendants)


def cpu_time(pid: int) -> CpuTime:
    """Raises OSError when there is no such process."""
    ended_children = sum(int(ticks) for ticks in _fields(pid)[13:15]) / _TICKS_PER_SECOND
    return CpuTime(time.clock_gettime(_cpu_clock(pid)), ended_children)


def tree_time(pid: int) -> TreeTime:
    """Raises OSError when there is no such process."""
    root = cpu_time(pid)
    living = [cpu_time(child) for child in descendants(pid)]
    return TreeTime(root.own, root.ended_children + sum(each.own + each.ended_children for each in living))


def thread_times(pid: int) -> dict[str, float]:
    """Seconds of a process' threads that run, added up by their names without a number at the end."""
    seconds: dict[str, float] = {}
    for thread in (_PROC / str(pid) / "task").iterdir():
        with suppress(OSError):  # it has ended meanwhile
            name = (thread / "comm").read_text().strip().rstrip("0123456789-# ")
            ran_nanoseconds = int((thread / "schedstat").read_text().split()[0])
            seconds[name] = seconds.get(name, 0.0) + ran_nanoseconds / 1e9
    return seconds


def descendants(pid: int) -> Iterator[int]:
    """Children, their children and so on, of those that run."""
    parents: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (parent := _parent(int(entry.name))) is not None:
            parents.setdefault(parent, []).append(int(entry.name))
    waiting = [pid]
    while waiting:
        children = parents.get(waiting.pop(), [])
        yield from children
        waiting += children


def kilobytes(path: Path, name: str) -> int:
    """A line of a file as /proc/PID/status; raises OSError when it is not there."""
    match = re.search(rf"^{name}:\s+(\d+) kB", path.read_text(), re.MULTILINE)
    if match is None:
        raise OSError(f"no {name} in {path}")
    return int(match[1])


def _cpu_clock(pid: int) -> int:
    """Of all of a process' threads, as clock_getcpuclockid(3) has it: /proc tells hundredths of seconds only."""
    whole_process_by_scheduler = 2
    return ~pid << 3 | whole_process_by_scheduler


def _parent(pid: int) -> int | None:
    try:
        return int(_fields(pid)[1])
    except OSError:  # it has ended meanwhile
        return None


def _fields(pid: int) -> list[str]:
    """Of /proc/PID/stat, from the state on: a name may hold blanks and parentheses."""
    return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
