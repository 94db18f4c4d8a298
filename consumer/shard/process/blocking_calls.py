"""Native threads for calls that block, for a caller that makes the same ones again and again.

gRPC under gevent waits for each of its events in a call of gevent's thread pool, some for every request. The pool hands
a call over by a queue with conditions of its own; here a thread that is free is woken directly, and runs the call.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from gevent import monkey
from gevent.hub import Waiter
from gevent.threadpool import ThreadPool

_start_new_thread, _allocate_lock = monkey.get_original("_thread", ["start_new_thread", "allocate_lock"])


class BlockingCalls(ThreadPool):  # type: ignore[misc]
    """gevent's thread pool, but for `apply`, which has as many threads as it needs at once."""

    __slots__ = ("_free",)

    def __init__(self, maxsize: int, hub: Any = None, idle_task_timeout: int = -1) -> None:
        super().__init__(maxsize, hub, idle_task_timeout)
        self._free: list[_Thread] = []

    def apply(
        self,
        func: Callable[..., Any],
        args: Sequence[Any] | None = None,
        kwds: Mapping[str, Any] | None = None,
    ) -> Any:
        """What the call returns or raises. Suspends this greenlet only; if that is killed, the call goes on, and
        nobody learns what comes of it."""
        thread = self._free.pop() if self._free else _Thread(self.hub)
        result = thread.call(func, args or (), kwds or {})
        self._free.append(thread)
        if isinstance(result, _Raised):
            raise result.error
        return result


class _Raised:
    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _Thread:
    """Ends after a call whose caller does not wait for it any more."""

    def __init__(self, hub: Any) -> None:
        self._hub = hub
        self._called = _allocate_lock()
        self._called.acquire()
        self._returned = hub.loop.async_()
        self._call: tuple[Callable[..., Any], Sequence[Any], Mapping[str, Any]] | None = None
        self._result: Any = None
        self._is_left = False
        _start_new_thread(self._run, ())

    def call(self, func: Callable[..., Any], args: Sequence[Any], kwds: Mapping[str, Any]) -> Any:
        waiter = Waiter(self._hub)
        self._call = func, args, kwds
        self._returned.start(waiter.switch, None)
        self._called.release()
        try:
            waiter.get()
        except BaseException:
            self._is_left = True
            # it is not held where the thread has yet to take the call
            with suppress(RuntimeError):
                self._called.release()
            raise
        finally:
            self._returned.stop()
        result, self._result = self._result, None
        return result

    def _run(self) -> None:
        while True:
            self._called.acquire()
            if self._call is None:
                return
            func, args, kwds = self._call
            try:
                self._result = func(*args, **kwds)
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is the caller's
                self._result = _Raised(error)
            self._call = None
            del func, args, kwds
            self._returned.send()
            if self._is_left:
                return
