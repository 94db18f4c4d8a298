"""What a command says while it works: one line rewritten on a terminal, plain lines now and then elsewhere."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Self, TextIO

_TERMINAL_SECONDS = 0.2
QUIET_SECONDS = 4.0
"""Where lines stay, what goes on is said again after so long without one; or after a thirtieth of the time since the
start, where that is longer, so that hours leave some hundred lines."""

_Wait = Callable[[threading.Event, float], bool]


class Teller:
    """Says things with the seconds since it was made in front. Threads may share it."""

    def __init__(
        self,
        out: TextIO,
        clock: Callable[[], float] = time.monotonic,
        wait: _Wait = threading.Event.wait,
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
        """A line that the next one replaces on a terminal; elsewhere one that stays, unless another was said not long
        ago."""
        with self._lock:
            if self.seconds_left() > 0:
                return
            if self._terminal:
                self._said_at = self._clock()
                print(f"{clear(self._out)}{self._line(message)}", end="", file=self._out, flush=True)
            else:
                self._say(message)

    def seconds_left(self) -> float:
        """Until `show` has something to do."""
        quiet = _TERMINAL_SECONDS if self._terminal else max(QUIET_SECONDS, self.seconds() / 30)
        return self._said_at + quiet - self._clock()

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
        print(f"{clear(self._out)}{self._line(message)}", file=self._out, flush=True)
        self._said_at = self._clock()

    def _line(self, message: str) -> str:
        return f"{self.seconds():6.1f} s  {message}"


class Progress:
    """Of one kind of work, of which `total` is to be done; None is not known. As a context it shows how far the work is
    also while nothing is done for a while, and clears the line at its end, so that what is said next begins one."""

    def __init__(
        self, out: TextIO, what: str, *, total: int | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._out = out
        self._what = what
        self._total = total
        self._clock = clock
        self._teller = Teller(out, clock)
        self._start = clock()
        self._done = 0
        self._step = ""
        self.aside = ""
        """What is to be said behind it, as long as it stands here."""

    def step(self, doing: str) -> None:
        """What is done before anything can be counted."""
        self._step = doing
        self._start = self._clock()
        self._teller.show(self.text())

    def add(self, count: int = 1) -> None:
        """So many more are done."""
        if count:
            self._done += count
            self._step = ""
        self._teller.show(self.text())

    def text(self) -> str:
        return f"{self._counted()}; {self.aside}" if self.aside else self._counted()

    def _counted(self) -> str:
        if self._step:
            return self._step
        if not self._total:
            return f"{self._what}: {self._done:,}"
        text = f"{self._what}: {self._done:,} of {self._total:,}"
        if not 0 < self._done < self._total:
            return text
        seconds = self._clock() - self._start
        return f"{text}, about {duration(seconds / self._done * (self._total - self._done))} left"

    def __enter__(self) -> Self:
        self._following = self._teller.following(self.text)
        self._following.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._following.__exit__(None, None, None)
        print(clear(self._out), end="", file=self._out, flush=True)


def clear(out: TextIO) -> str:
    """What takes away the line that a terminal shows; nothing elsewhere."""
    return "\r\x1b[K" if out.isatty() else ""


def duration(seconds: float) -> str:
    """In the two units that matter."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
