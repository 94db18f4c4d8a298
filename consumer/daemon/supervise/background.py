"""Work that blocks, beside an event loop that must not wait for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import Any


def in_thread[Result](work: Callable[[], Result]) -> asyncio.Future[Result]:
    """Runs `work` in a thread and returns the future of its result.

    Unlike the threads of asyncio's executor, this one does not keep the process from ending.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def run() -> None:
        try:
            result = work()
            settle = partial(_give, future, result)
        except Exception as error:  # noqa: BLE001 - raised again by whoever awaits the future
            settle = partial(_fail, future, error)
        try:
            loop.call_soon_threadsafe(settle)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return

    threading.Thread(target=run, daemon=True).start()
    return future


def _give[Result](future: asyncio.Future[Result], result: Result) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
