"""Processes below a process, from /proc, each told apart from a later one with the same number."""

import contextlib
import os
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Proc:
    """A process by its number and the clock tick of its start."""

    pid: int
    started: int
    parent: int
    name: str
    session: int = field(default=0, compare=False)
    stopped: bool = field(default=False, compare=False)

    def alive(self) -> bool:
        """Whether it runs still; a zombie does not."""
        found = _read(self.pid)
        return found is not None and found.started == self.started

    def frozen(self) -> bool:
        """Whether it stands still by SIGSTOP."""
        found = _read(self.pid)
        return found is not None and found.started == self.started and found.stopped

    def arguments(self) -> list[str]:
        """What it was started with, by itself or by the process it was forked from; empty once it has ended."""
        try:
            return Path(f"/proc/{self.pid}/cmdline").read_text(errors="replace").split("\0")[:-1]
        except (FileNotFoundError, ProcessLookupError):
            return []

    def resident_bytes(self) -> int:
        """Memory in use, shared pages included; 0 once it has ended."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        except (FileNotFoundError, ProcessLookupError):
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")

    def send(self, number: signal.Signals) -> bool:
        """Signal it; False where it has ended."""
        if not self.alive():
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
            return True
        return False


def tree(pid: int) -> list[Proc]:
    """A process and all below it, parents first; empty when it has ended."""
    processes = {found.pid: found for found in _all()}
    root = processes.get(pid)
    if root is None:
        return []
    found, waiting = [], [root]
    while waiting:
        one = waiting.pop(0)
        found.append(one)
        waiting += [other for other in processes.values() if other.parent == one.pid]
    return found


def send_all(processes: Iterable[Proc], number: signal.Signals) -> None:
    for process in processes:
        process.send(number)


def _all() -> Iterator[Proc]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (found := _read(int(entry.name))) is not None:
            yield found


def _read(pid: int) -> Proc | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    name, _, rest = text.partition("(")[2].rpartition(")")
    fields = rest.split()
    if fields[0] in "ZX":
        return None
    # proc(5): state is field 3, ppid 4, session 6, starttime 22
    return Proc(
        pid,
        started=int(fields[19]),
        parent=int(fields[1]),
        name=name,
        session=int(fields[3]),
        stopped=fields[0] == "T",
    )
