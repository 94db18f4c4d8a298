"""What the workers' own accounts say: at every look, what was read is delivered, dead, filtered, in flight or left."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

_POLL_SECONDS = 0.5


class Records(msgspec.Struct):
    """`records` of a worker's status."""

    read: int
    delivered: int
    dead_letters: int
    in_flight: int
    left: int
    conservation: int
    filtered: int = 0

    def fault(self) -> str | None:
        gone = self.delivered + self.dead_letters + self.filtered + self.in_flight + self.left
        if self.conservation == self.read - gone == 0 and min(self.in_flight, self.left) >= 0:
            return None
        return f"the account of records does not come out even: {self}"


class _Status(msgspec.Struct):
    records: Records


class Conservation:
    """Looks at the status of each worker from time to time."""

    def __init__(
        self, status_files: Callable[[], Mapping[str, Path | None]], seconds: Callable[[], float]
    ) -> None:
        """`status_files` are those of all workers, by their names; None where there is none yet."""
        self._status_files = status_files
        self._seconds = seconds
        self._read: dict[str, int] = {}
        self._faults: dict[str, str] = {}

    async def follow(self) -> None:
        """Until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(_POLL_SECONDS)

    def look(self) -> None:
        for worker, file in self._status_files().items():
            # before it has begun, and while it is replaced
            with contextlib.suppress(OSError, msgspec.MsgspecError):
                if file is not None:
                    self._saw(worker, msgspec.json.decode(file.read_bytes(), type=_Status).records)

    def _saw(self, worker: str, records: Records) -> None:
        self._read[worker] = max(self._read.get(worker, 0), records.read)
        fault = records.fault()
        if fault is not None:
            self._faults.setdefault(worker, f"{worker}: at {self._seconds():.0f} s {fault}")

    def faults(self) -> Iterator[str]:
        """The first of each worker; and that nobody has told of a record, which would prove nothing."""
        yield from self._faults.values()
        if not any(self._read.values()):
            yield "no worker has told of a record that it has read"
