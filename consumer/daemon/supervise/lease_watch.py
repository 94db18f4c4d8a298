"""Looks at the lease table now and then: a worker without shards would look well while nobody reads them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Protocol

from consumer.daemon.prepare.preparation import Trouble
from consumer.daemon.report.leases import Lease
from consumer.daemon.supervise.background import in_thread

_LEASES_A_SECOND = 50
"""A look reads the whole table: at most some 3 read units a second for a worker, however many shards there are."""

type ReadLeases = Callable[[], Sequence[Lease]]
"""All rows of the lease table; blocks, and raises Trouble."""


class Watcher(Protocol):
    """Who is told."""

    def saw_leases(self, leases: Sequence[Lease]) -> None: ...
    def missed_leases(self, trouble: str, *, asked_at: float) -> None: ...


@asynccontextmanager
async def watching_leases(
    read: ReadLeases, watcher: Watcher, *, now: Callable[[], float], seconds: float
) -> AsyncIterator[None]:
    """Looks for as long as the block runs, every so many `seconds`. `now` is in seconds since the epoch."""
    looking = asyncio.create_task(_look(read, watcher, now, seconds))
    try:
        yield
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking


async def _look(read: ReadLeases, watcher: Watcher, now: Callable[[], float], seconds: float) -> None:
    while True:
        asked_at = now()
        pause = seconds
        try:
            leases = await in_thread(read)
        except Trouble as trouble:
            watcher.missed_leases(str(trouble), asked_at=asked_at)
        except Exception as error:  # noqa: BLE001 - an answer that nobody foresaw must not end the looking
            watcher.missed_leases(f"the lease table cannot be read: {error!r}", asked_at=asked_at)
        else:
            watcher.saw_leases(leases)
            pause = max(seconds, len(leases) / _LEASES_A_SECOND)
        await asyncio.sleep(pause)
