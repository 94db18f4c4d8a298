"""How much memory the daemon's processes hold, by kind."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from consumer.daemon.report.status import Status

_FRESH_SECONDS = 10.0
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class ProcessMemory:
    """Asked of /proc once in ten seconds at most."""

    def __init__(
        self,
        *,
        fork_server: Callable[[], int | None],
        monotonic: Callable[[], float],
        proc: Path = Path("/proc"),
    ) -> None:
        """`fork_server` tells its process id, None while there is none."""
        self._fork_server = fork_server
        self._monotonic = monotonic
        self._proc = proc
        self._at: float | None = None
        self._found: Mapping[str, int] = {}

    def of(self, status: Status) -> Mapping[str, int]:
        """Resident bytes by kind of process; a kind that does not run is missing."""
        now = self._monotonic()
        if self._at is None or now - self._at >= _FRESH_SECONDS:
            self._at = now
            kinds: dict[str, list[int | None]] = {
                "supervisor": [status.identity.pid],
                "jvm": [status.jvm_pid],
                "fork-server": [self._fork_server()],
                "shard": [shard.pid for shard in status.shards],
            }
            sums = {kind: self._resident(pid for pid in pids if pid) for kind, pids in kinds.items()}
            self._found = {kind: total for kind, total in sums.items() if total}
        return self._found

    def _resident(self, pids: Iterable[int]) -> int:
        total = 0
        for pid in pids:
            try:
                total += int((self._proc / str(pid) / "statm").read_text().split()[1]) * _PAGE_BYTES
            except OSError:
                continue  # it has ended
        return total
