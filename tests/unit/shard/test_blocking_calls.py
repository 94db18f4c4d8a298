"""Calls in native threads, while greenlets go on."""

import threading
from collections.abc import Callable
from typing import Any

import gevent
import gevent.event
import pytest
from gevent import monkey

from consumer.shard.process.blocking_calls import BlockingCalls

_new_lock = monkey.get_original("_thread", "allocate_lock")


@pytest.fixture
def pool() -> BlockingCalls:
    return BlockingCalls(10)


class Gate:
    """A call that blocks its thread until it is opened."""

    def __init__(self) -> None:
        self._lock = _new_lock()
        self._lock.acquire()
        self.entered = gevent.get_hub().loop.async_()
        self._seen = gevent.event.Event()
        self.entered.start(self._seen.set)

    def pass_through(self, answer: Any) -> Any:
        self.entered.send()
        self._lock.acquire()
        return answer

    def wait_until_entered(self) -> None:
        assert self._seen.wait(10)

    def open(self) -> None:
        self._lock.release()


def test_a_call_returns_what_it_returns(pool: BlockingCalls) -> None:
    assert pool.apply(divmod, (7, 2)) == (3, 1)
    assert pool.apply(int, ("12",), {"base": 3}) == 5
    assert pool.apply(list) == []


def test_a_call_raises_what_it_raises(pool: BlockingCalls) -> None:
    with pytest.raises(ZeroDivisionError):
        pool.apply(divmod, (7, 0))
    with pytest.raises(SystemExit):
        pool.apply(_raise, (SystemExit(),))
    assert pool.apply(divmod, (7, 2)) == (3, 1)


def test_an_error_that_is_returned_is_no_error(pool: BlockingCalls) -> None:
    error = ValueError()
    assert pool.apply(lambda: error) is error


def test_calls_one_after_the_other_share_a_thread_that_is_not_the_hubs(pool: BlockingCalls) -> None:
    threads = {pool.apply(threading.get_ident) for _ in range(20)}
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


def test_calls_at_the_same_time_have_threads_of_their_own(pool: BlockingCalls) -> None:
    gates = [Gate() for _ in range(20)]
    callers = [gevent.spawn(pool.apply, gate.pass_through, (place,)) for place, gate in enumerate(gates)]
    for gate in gates:
        gate.wait_until_entered()
    for gate in reversed(gates):
        gate.open()
    assert [caller.get(timeout=10) for caller in callers] == list(range(20))
    assert pool.apply(divmod, (7, 2)) == (3, 1)


def test_a_call_that_nobody_waits_for_gives_its_answer_to_nobody(pool: BlockingCalls) -> None:
    gate = Gate()
    caller = gevent.spawn(pool.apply, gate.pass_through, ("late",))
    gate.wait_until_entered()
    caller.kill()
    other = Gate()
    next_caller = gevent.spawn(pool.apply, other.pass_through, ("its own",))
    other.wait_until_entered()
    gate.open()
    assert pool.apply(divmod, (7, 2)) == (3, 1)
    other.open()
    assert next_caller.get(timeout=10) == "its own"


def test_a_call_that_is_given_up_before_its_thread_wakes_ends_its_caller_only(pool: BlockingCalls) -> None:
    for _ in range(200):
        caller = gevent.spawn(pool.apply, divmod, (7, 2))
        gevent.sleep(0)
        caller.kill()
        assert isinstance(caller.value, gevent.GreenletExit | tuple), caller.exception
    assert pool.apply(divmod, (7, 2)) == (3, 1)


def test_a_call_can_be_given_up_in_time(pool: BlockingCalls) -> None:
    gate = Gate()
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.01):
        pool.apply(gate.pass_through, (None,))
    gate.open()
    assert pool.apply(divmod, (7, 2)) == (3, 1)


@pytest.mark.parametrize(
    "use", [lambda pool: pool.spawn(divmod, 7, 2).get(), lambda pool: pool.map(abs, [-1])]
)
def test_what_else_a_pool_does_it_does_too(pool: BlockingCalls, use: Callable[[BlockingCalls], Any]) -> None:
    assert use(pool) in [(3, 1), [1]]


def _raise(error: BaseException) -> None:
    raise error
