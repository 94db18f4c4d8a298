"""Reads now and then whether the application is paused, and passes it on to the shard processes by a file.

The file outlives the supervisor: a worker that starts again during a pause takes no record, even when it does not reach
DynamoDB.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Protocol

import msgspec

from consumer.daemon.prepare.pause_flag import NeverRun
from consumer.daemon.prepare.preparation import Trouble
from consumer.daemon.report.log import Log
from consumer.daemon.report.pause import Pause, Paused
from consumer.daemon.supervise.background import in_thread
from consumer.daemon.supervise.state import StateDirectory
from consumer.domain.names import PAUSED_FILE

SECONDS = 2.0
"""Between two reads: 1.3 million half read units a month for a worker, some ten cents."""


_FIRST_SECONDS = 5.0
"""For the look before the JVM starts; the KCL cannot do anything either as long as DynamoDB does not answer."""


class Flag(Protocol):
    """PauseFlag, as far as it is used here. Calls block and raise Trouble."""

    def read(self) -> Paused | None: ...
    def stopped(self, pause: Pause, worker: str, at_ms: int) -> None: ...


class Pausable(Protocol):
    """Who knows of the daemon, as far as it is told and asked here."""

    def pause(self, pause: Pause | None) -> None: ...
    def has_stopped(self) -> bool:
        """Whether none of its shard processes takes records any more."""


class PauseFile:
    """Its presence is what shard processes look for, its content what the next supervisor starts with."""

    def __init__(self, state: StateDirectory) -> None:
        self._state = state
        self._path: Path = state.path / PAUSED_FILE

    def read(self) -> Pause | None:
        """A file that cannot be read is a pause all the same, as it is to shard processes."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Pause)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError):
            return Pause(who="?", why=f"{self._path} cannot be read", at_ms=0)

    def write(self, pause: Pause | None) -> None:
        """Raises OSError."""
        if pause is None:
            self._path.unlink(missing_ok=True)
        else:
            self._state.write(self._path, msgspec.json.encode(pause))


class PauseWatch:
    """What one worker does about the flag. `now_ms` is in milliseconds since the epoch."""

    def __init__(
        self,
        flag: Flag,
        file: PauseFile,
        supervisor: Pausable,
        *,
        worker_id: str,
        now_ms: Callable[[], int],
        log: Log,
    ) -> None:
        self._flag = flag
        self._file = file
        self._supervisor = supervisor
        self._worker_id = worker_id
        self._now_ms = now_ms
        self._log = log
        self._pause = file.read()
        self._told: Pause | None = None
        self._trouble: str | None = None
        supervisor.pause(self._pause)
        if self._pause is not None:
            self._log.warning(
                f"paused by {self._pause}: no record is taken",
                event="paused",
                who=self._pause.who,
                why=self._pause.why,
            )

    async def look(self) -> None:
        """Reads the flag once and does what it says; what keeps it from doing so is logged once."""
        try:
            paused = await in_thread(self._flag.read)
            self._follow(None if paused is None else paused.pause)
            await self._acknowledge()
        except NeverRun:
            self._follow(None)  # the KCL makes the table at the first start
        except Exception as error:  # noqa: BLE001 - whatever it is, the next look may succeed
            self._say_trouble(error)
        else:
            self._trouble = None

    def _follow(self, pause: Pause | None) -> None:
        if pause == self._pause:
            return
        self._file.write(pause)
        self._pause, self._told = pause, None
        self._supervisor.pause(pause)
        if pause is None:
            self._log.info("no longer paused: records are taken again", event="resumed")
        else:
            self._log.warning(
                f"paused by {pause}: no record is taken, what was taken is delivered",
                event="paused",
                who=pause.who,
                why=pause.why,
            )

    async def _acknowledge(self) -> None:
        pause = self._pause
        if pause is None or self._told == pause or not self._supervisor.has_stopped():
            return
        await in_thread(lambda: self._flag.stopped(pause, self._worker_id, self._now_ms()))
        self._told = pause

    def _say_trouble(self, error: Exception) -> None:
        said = str(error) if isinstance(error, Trouble | OSError) else repr(error)
        if said != self._trouble:
            state = "goes on" if self._pause is None else "stays paused"
            self._log.warning(
                f"whether the application is paused cannot be read, so it {state}: {said}",
                event="pause_unknown",
            )
        self._trouble = said


@asynccontextmanager
async def watching_pause(watch: PauseWatch) -> AsyncIterator[None]:
    """Looks every two seconds while the block runs, and for the first time before it."""
    looked = asyncio.Event()
    looking = asyncio.create_task(_keep_looking(watch, looked))
    try:
        with suppress(TimeoutError):
            await asyncio.wait_for(looked.wait(), _FIRST_SECONDS)
        yield
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking


async def _keep_looking(watch: PauseWatch, looked: asyncio.Event) -> None:
    while True:
        await watch.look()
        looked.set()
        await asyncio.sleep(SECONDS)
