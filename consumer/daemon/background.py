"""Work that blocks, beside an event loop that must not wait for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable


def in_thread(work: Callable[[], None]) -> asyncio.Future[None]:
    """Runs `work` in a thread and returns the future of its end.

    Unlike the threads of asyncio's executor, this one does not keep the process from ending.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def run() -> None:
        error: Exception | None = None
        try:
            work()
        except Exception as raised:  # noqa: BLE001 - raised again by whoever awaits the future
            error = raised
        try:
            loop.call_soon_threadsafe(_settle, future, error)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return

    threading.Thread(target=run, daemon=True).start()
    return future


def _settle(future: asyncio.Future[None], error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
