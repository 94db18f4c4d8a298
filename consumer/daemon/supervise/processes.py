"""Processes of Linux: children that die with us, the members of a session, and waiting for them without
polling."""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import signal
from collections.abc import Iterable
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_ENDED = "ZX"
"""States of processes that wait to be reaped, or are gone: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html"""

LEAST_DESCRIPTORS = 256
"""A JVM with the KCL holds a hundred and three for each shard, the supervisor some dozens."""

_libc = ctypes.CDLL(None, use_errno=True)


def descriptors_allowed() -> int:
    """How many files this process and its children may have open, each; raises a limit that is too low where that is
    allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < LEAST_DESCRIPTORS:
        soft = LEAST_DESCRIPTORS if hard < 0 else min(hard, LEAST_DESCRIPTORS)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return LEAST_DESCRIPTORS if soft < 0 else soft


def adopt_orphans() -> None:
    """Makes this process the parent of descendants whose own parent ends, so that it can wait for and reap
    them."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with(parent: int) -> None:
    """Has the kernel kill the calling process when the thread that forked it ends. To be called between fork
    and exec; `parent` is the process id before the fork, to notice one that ended in between."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def session_members(session: int) -> list[int]:
    """The processes of a session, those that ended but were not reaped included."""
    return [pid for pid in _processes() if _session_of(pid) == session]


def unfinished(session: int) -> list[int]:
    """The processes of a session that run, or have ended and are ours to reap."""
    return [pid for pid in session_members(session) if _runs_or_is_ours(pid)]


def runs_in(pid: int, session: int) -> bool:
    """Whether a process is a member of a session and has not ended. One that has, and was adopted, is reaped: nobody
    else would. Not the session's leader, for which whoever started it waits."""
    if _session_of(pid) != session:
        return False
    if _state_and_parent(pid)[0] not in _ENDED:
        return True
    if pid != session:
        _reap(pid)
    return False


def send(pid: int, number: signal.Signals) -> bool:
    """Sends a signal to a process; False when there is none."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def kill_group(group: int) -> None:
    """Kills every process of a process group; one without members is no error."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


async def wait_for_ends(pids: Iterable[int]) -> None:
    """Returns when none of the processes runs any more, and reaps those that are our children."""
    await asyncio.gather(*(_end(pid) for pid in pids))


async def _end(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        await readable(descriptor)
    finally:
        os.close(descriptor)
    _reap(pid)


async def readable(descriptor: int) -> None:
    """Returns when a descriptor can be read; a pidfd can when its process has ended."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:  # not ours: its own parent, or init, reaps it
        return


def _processes() -> Iterable[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return None


def _runs_or_is_ours(pid: int) -> bool:
    state, parent = _state_and_parent(pid)
    return state not in _ENDED or parent == os.getpid()


def _state_and_parent(pid: int) -> tuple[str, int]:
    """As /proc has them; X, of a dead one, where the process is gone."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return "X", 0
    return state, int(parent)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
