"""What the workers say of themselves: ill soon after nobody reads any more, and well soon after that is over."""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import msgspec

from consumer.local.backends import BACKENDS
from consumer.settings.table import Backend
from tests.chaos.workers import Worker

ILL_WITHIN_SECONDS = 30.0
"""`health.unread_after` is 16 s in a run; a fault that is over sooner need not show."""
WELL_WITHIN_SECONDS = 60.0
"""Other faults overlap, so that a worker may start again meanwhile."""
_POLL_SECONDS = 0.5

type Look = tuple[float, bool]
"""When, in seconds of the run, and whether the worker was well."""


class _Status(msgspec.Struct):
    healthy: bool


class HealthWatch:
    """Reads the status of each backend's first worker from time to time."""

    def __init__(self, workers: Mapping[Backend, Worker], seconds: Callable[[], float]) -> None:
        self._workers = workers
        self._seconds = seconds
        self.looks: dict[Backend, list[Look]] = {backend: [] for backend in BACKENDS}

    async def follow(self) -> None:
        """Until cancelled."""
        while True:
            for backend, worker in self._workers.items():
                # before it has begun, and while it is replaced
                with contextlib.suppress(OSError, msgspec.MsgspecError):
                    file = worker.status_file()
                    if file is not None:
                        status = msgspec.json.decode(file.read_bytes(), type=_Status)
                        self.looks[backend].append((self._seconds(), status.healthy))
            await asyncio.sleep(_POLL_SECONDS)

    def faults(
        self, name: str, began: float, ended: float, disturbed: Collection[Backend] = ()
    ) -> Iterator[str]:
        """What the workers should have said of a fault during which nobody could read. Of a backend that was
        `disturbed` meanwhile nothing follows: a shard that waits for its backend is not read either, and one whose
        worker was killed is nobody's for as long as the KCL takes."""
        for backend in BACKENDS:
            if backend in disturbed:
                continue
            looks = self.looks[backend]
            ill, well = first(looks, False, began), first(looks, True, ended)
            if ended - began > ILL_WITHIN_SECONDS and (ill is None or ill > ILL_WITHIN_SECONDS):
                yield f"{backend}: {name} of {ended - began:.0f} s: {told('ill', ill)}"
            if well is None or well > WELL_WITHIN_SECONDS:
                yield f"{backend}: {name}: {told('well', well)} its end"


def first(looks: Sequence[Look], healthy: bool, since: float) -> float | None:
    """Seconds from a moment to the first look that found a worker so; None where there is none."""
    return next((at - since for at, was_healthy in looks if at >= since and was_healthy is healthy), None)


def told(state: str, after: float | None) -> str:
    return f"never {state} after" if after is None else f"{state} {after:.0f} s after"
