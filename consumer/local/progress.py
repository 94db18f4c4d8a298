"""What a command says while it works: one line rewritten on a terminal, plain lines elsewhere."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import TextIO

_TERMINAL_SECONDS = 0.2
QUIET_SECONDS = 4.0
"""Where lines stay, what goes on is said again after so long without one."""


class Progress:
    """Says things with the seconds since it was made in front. Threads may share it."""

    def __init__(
        self,
        out: TextIO,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
    ) -> None:
        self._out = out
        self._clock = clock
        self._wait = wait
        self._start = self._said_at = clock()
        self._terminal = out.isatty()
        self._lock = threading.Lock()

    def seconds(self) -> float:
        """Since this was made."""
        return self._clock() - self._start

    def say(self, message: str) -> None:
        """One line that stays."""
        with self._lock:
            self._say(message)

    def show(self, message: str) -> None:
        """A line that the next one replaces on a terminal; elsewhere one that stays, unless another was said within
        the last QUIET_SECONDS."""
        with self._lock:
            if self._terminal:
                print(f"\r\x1b[K{self.seconds():6.1f} s  {message}", end="", file=self._out, flush=True)
            elif self.seconds_left() <= 0:
                self._say(message)

    def seconds_left(self) -> float:
        """Until `show` has something to do."""
        if self._terminal:
            return _TERMINAL_SECONDS
        return self._said_at + QUIET_SECONDS - self._clock()

    @contextlib.contextmanager
    def following(self, describe: Callable[[], str]) -> Iterator[None]:
        """Show what `describe` says whenever nothing else was said for a while, from a thread."""
        done = threading.Event()

        def follow() -> None:
            while not self._wait(done, max(0.0, self.seconds_left())):
                self.show(describe())

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _say(self, message: str) -> None:
        clear = "\r\x1b[K" if self._terminal else ""
        print(f"{clear}{self.seconds():6.1f} s  {message}", file=self._out, flush=True)
        self._said_at = self._clock()
