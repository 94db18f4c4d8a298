"""Looks at the status of each backend's workers from time to time, and at what is really read meanwhile."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from consumer.local.backends import BACKENDS
from consumer.settings.table import Backend
from tests.chaos.health import Look, Said
from tests.chaos.reads import Due, ReadsControl, ReadsError
from tests.chaos.workers import Worker

_POLL_SECONDS = 0.5
#: A supervisor writes its status once a second. `bin/health` sees one that has ended or is stopped by itself.
_STALE_SECONDS = 5.0


class _Shard(msgspec.Struct):
    shard: str
    in_flight_chunks: int


class _Status(msgspec.Struct):
    healthy: bool
    phase: str
    reasons: tuple[str, ...]
    started_at: float
    updated_at: float
    shards: tuple[_Shard, ...]


class HealthWatch:
    """A series of looks for each backend."""

    def __init__(
        self,
        workers: Mapping[Backend, Sequence[Worker]],
        due: Mapping[Backend, Due],
        reads: ReadsControl,
        seconds: Callable[[], float],
    ) -> None:
        self._workers = workers
        self._due = due
        self._reads = reads
        self._seconds = seconds
        self.looks: dict[Backend, list[Look]] = {backend: [] for backend in BACKENDS}

    async def follow(self) -> None:
        """Until cancelled."""
        while True:
            # a look is worth nothing that the next one would not bring
            with contextlib.suppress(ReadsError):
                told = await asyncio.to_thread(self._reads.ask)
                now = self._seconds()
                for backend, looks in self.looks.items():
                    said = {
                        worker.id: said
                        for worker in self._workers[backend]
                        if (said := said_by(worker, now=now)) is not None
                    }
                    looks.append(Look(now, said, self._due[backend].look(told, now)))
            await asyncio.sleep(_POLL_SECONDS)

    def write(self, file: Path) -> None:
        """All looks, beside the logs."""
        file.write_bytes(msgspec.json.encode(self.looks))

    def all_well(self) -> bool:
        """At the last look at each."""
        return all(looks and looks[-1].well for looks in self.looks.values())


def said_by(worker: Worker, *, now: float) -> Said | None:
    """The status of a worker at `now` in seconds of the run; None while nobody keeps it up."""
    file = worker.status_file()
    if file is None:
        return None
    try:
        status = msgspec.json.decode(file.read_bytes(), type=_Status)
    except (OSError, msgspec.MsgspecError):
        return None
    clock = time.time()
    if clock - status.updated_at > _STALE_SECONDS:
        return None
    return Said(
        healthy=status.healthy,
        phase=status.phase,
        reasons=status.reasons,
        since=now - (clock - status.started_at),
        held=frozenset(one.shard for one in status.shards if one.in_flight_chunks),
    )
