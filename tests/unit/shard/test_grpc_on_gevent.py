"""What every request of gRPC waits with."""

from collections.abc import Callable
from typing import Any

import grpc
import grpc._channel
import pytest

from consumer.shard.process.grpc_on_gevent import wait


class Told:
    """A condition that holds after some notifications; no wait may have a timeout."""

    def __init__(self, notifications: int) -> None:
        self.left = notifications
        self.spins = 0

    def wait(self) -> bool:
        self.left -= 1
        return True

    def holds(self) -> bool:
        return self.left == 0

    def spin(self) -> None:
        self.spins += 1


def never(*_: Any) -> bool:
    raise AssertionError("a wait without a timeout")


@pytest.mark.parametrize("notifications", [0, 1, 3])
def test_it_waits_until_the_condition_holds(notifications: int) -> None:
    told = Told(notifications)
    assert wait(never, told.wait, told.holds, spin_cb=told.spin) is False
    assert told.spins == notifications
    told = Told(notifications)
    assert wait(never, told.wait, told.holds) is False


def test_a_wait_with_a_timeout_is_grpcs_own() -> None:
    calls: list[tuple[Any, ...]] = []

    def own(*arguments: Any) -> bool:
        calls.append(arguments)
        return True

    told = Told(1)
    assert wait(own, told.wait, told.holds, 0.5, told.spin) is True
    assert calls == [(told.wait, told.holds, 0.5, told.spin)]


def test_it_is_what_grpc_looks_up_for_each_request() -> None:
    """A release of gRPC that waits in another way has to be looked at."""
    waits: tuple[Callable[..., Any], ...] = (
        grpc._channel._MultiThreadedRendezvous._next,
        grpc._channel._consume_request_iterator,
    )
    for one in waits:
        code = one.__code__
        inner = [constant for constant in code.co_consts if hasattr(constant, "co_names")]
        names = {name for each in (code, *inner) for name in each.co_names}
        assert {"_common", "wait"} <= names
