"""Sends metrics out, every so often, for as long as the daemon runs: OTLP by a thread, EMF as lines of output."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Protocol

from consumer.daemon.metrics.emf import EmfLines
from consumer.daemon.metrics.metric import Snapshot
from consumer.daemon.supervise.background import in_thread

_LAST_SECONDS = 2.0
"""How long the daemon's end waits for the last push."""


class Pusher(Protocol):
    """OtlpPush."""

    def push(self, snapshot: Snapshot) -> None:
        """Blocks, for long where the endpoint hangs; raises whatever went wrong."""


class Pushes:
    """One at a time: while one hangs, the next ones count as failed, and nothing piles up.

    `make` makes the pusher, in the thread as well: it may ask for credentials.
    """

    def __init__(
        self, make: Callable[[], Pusher], *, warn: Callable[[str], None], info: Callable[[str], None]
    ) -> None:
        self._make = make
        self._pusher: Pusher | None = None
        self._warn = warn
        self._info = info
        self._running: asyncio.Future[None] | None = None
        self._failed_in_a_row = 0
        self.failed = 0

    def begin(self, snapshot: Snapshot) -> None:
        """Returns at once."""
        if self._running is not None and not self._running.done():
            self._count("the one before it has not ended yet")
            return
        self._running = in_thread(lambda: self._push(snapshot))
        self._running.add_done_callback(self._ended)

    async def wait(self, seconds: float) -> None:
        """Returns when none is on its way, or after so many seconds."""
        if self._running is not None:
            await asyncio.wait((self._running,), timeout=seconds)

    def _push(self, snapshot: Snapshot) -> None:
        if self._pusher is None:
            self._pusher = self._make()
        self._pusher.push(snapshot)

    def _ended(self, push: asyncio.Future[None]) -> None:
        if push.cancelled():
            return
        error = push.exception()
        if error is not None:
            self._count(str(error) or repr(error))
        elif self._failed_in_a_row:
            self._info(
                f"metrics.otlp_endpoint takes metrics again after {self._failed_in_a_row} failed pushes"
            )
            self._failed_in_a_row = 0

    def _count(self, why: str) -> None:
        self.failed += 1
        self._failed_in_a_row += 1
        number = self._failed_in_a_row
        if not number & (number - 1):  # 1, 2, 4, 8, …
            self._warn(f"metrics.otlp_endpoint: push of metrics failed (number {number} in a row): {why}")


@asynccontextmanager
async def pushing(
    snapshot: Callable[[], Snapshot],
    *,
    seconds: float,
    pushes: Pushes | None,
    emf: EmfLines | None,
    write: Callable[[str], None],
) -> AsyncIterator[None]:
    """Sends every so many seconds while the block runs, and once at its end. `write` takes a line of EMF."""

    def send() -> None:
        now = snapshot()
        for line in () if emf is None else emf.lines(now):
            write(line)
        if pushes is not None:
            pushes.begin(now)

    async def keep_sending() -> None:
        while True:
            await asyncio.sleep(seconds)
            send()

    if pushes is None and emf is None:
        yield
        return
    sending = asyncio.create_task(keep_sending())
    try:
        yield
    finally:
        sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending
        if pushes is not None:
            await pushes.wait(_LAST_SECONDS)
        send()
        if pushes is not None:
            await pushes.wait(_LAST_SECONDS)
