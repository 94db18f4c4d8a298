"""gRPC in a process that gevent has patched: a call suspends its greenlet only.

`grpc.experimental.gevent` does that; what it costs for every request is cut here. A thread that gRPC has to itself
is no alternative: its threads are made by `threading`, which gevent has patched by then.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import gevent
import grpc
import grpc.experimental.gevent

from consumer.shard.process.blocking_calls import BlockingCalls


def use_gevent() -> None:
    """To be called once, before the first channel."""
    hub = gevent.get_hub()
    # gRPC takes the hub's pool for its own from here on
    hub.threadpool = BlockingCalls(hub.threadpool_size, hub)
    grpc.experimental.gevent.init_gevent()
    grpc._common.wait = partial(wait, grpc._common.wait)


def wait(
    with_timeouts: Callable[..., bool],
    wait_fn: Callable[[], Any],
    wait_complete_fn: Callable[[], bool],
    timeout: float | None = None,
    spin_cb: Callable[[], None] | None = None,
) -> bool:
    """In place of gRPC's own `with_timeouts`, which looks ten times a second whether a signal has come: gevent's hub
    sees to these, and a timer for every wait costs more than the wait."""
    if timeout is not None:
        return with_timeouts(wait_fn, wait_complete_fn, timeout, spin_cb)
    while not wait_complete_fn():
        wait_fn()
        if spin_cb is not None:
            spin_cb()
    return False
