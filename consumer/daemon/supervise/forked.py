"""The shard processes that a fork server has forked, as processes of this host."""

from __future__ import annotations

import signal

from consumer.daemon.supervise import processes


class Forked:
    """Members of the sessions of fork servers, one server after the other, the servers themselves left out.

    All of them belong to the one JVM that runs. Without a fork server there are none.
    """

    def __init__(self) -> None:
        self._server: int | None = None
        self._sessions: list[int] = []

    def server_runs(self, pid: int) -> None:
        """From here on shard processes are members of its session."""
        self._server = pid
        self._sessions.append(pid)

    def server_ended(self) -> None:
        """What it has forked runs on."""
        self._server = None

    @property
    def server(self) -> int | None:
        """The process id of the fork server that runs."""
        return self._server

    def owns(self, pid: int) -> bool:
        """Whether a process is one of them that still runs."""
        return pid != self._server and any(processes.runs_in(pid, session) for session in self._sessions)

    def members(self) -> list[int]:
        """Those that run, or have ended and are ours to reap."""
        found = {session: processes.unfinished(session) for session in self._sessions}
        self._sessions = [session for session in self._sessions if found[session]]
        return [pid for pids in found.values() for pid in pids if pid != self._server]

    def kill(self) -> None:
        for pid in self.members():
            processes.send(pid, signal.SIGKILL)
