"""What a command says while it works: one line rewritten on a terminal, plain lines elsewhere."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import TextIO

_TERMINAL_SECONDS = 0.2
_PLAIN_SECONDS = 5.0


class Progress:
    """Says things with the seconds since it was made in front."""

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._clock = clock
        self._start = clock()
        self._terminal = out.isatty()
        self._shown = ("", -_PLAIN_SECONDS)

    def seconds(self) -> float:
        """Since this was made."""
        return self._clock() - self._start

    def say(self, message: str) -> None:
        """One line that stays."""
        clear = "\r\x1b[K" if self._terminal else ""
        print(f"{clear}{self.seconds():6.1f} s  {message}", file=self._out, flush=True)

    def show(self, message: str) -> None:
        """A line that the next one replaces on a terminal; elsewhere a new one every 5 s at most."""
        if self._terminal:
            print(f"\r\x1b[K{self.seconds():6.1f} s  {message}", end="", file=self._out, flush=True)
            return
        last, shown_at = self._shown
        if message != last and self.seconds() - shown_at >= _PLAIN_SECONDS:
            self.say(message)
            self._shown = message, self.seconds()

    @contextlib.contextmanager
    def following(self, describe: Callable[[], str]) -> Iterator[None]:
        """Show what `describe` says from time to time, from a thread, and once more at the end."""
        done = threading.Event()
        pause = _TERMINAL_SECONDS if self._terminal else _PLAIN_SECONDS

        def follow() -> None:
            while not done.wait(pause):
                self.show(describe())

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            self.say(describe())
