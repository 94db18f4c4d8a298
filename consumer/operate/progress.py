"""How far a command is: one line that is rewritten on a terminal, plain lines now and then elsewhere."""

import time
from collections.abc import Callable
from typing import TextIO

_TERMINAL_SECONDS = 0.2
_PLAIN_SECONDS = 10.0


class Progress:
    """Of one kind of work. `total` None is not known."""

    def __init__(
        self, out: TextIO, what: str, *, total: int | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._out = out
        self._what = what
        self._total = total
        self._clock = clock
        self._terminal = out.isatty()
        self._start = self._shown_at = clock()
        self._done = 0

    def add(self, count: int = 1) -> None:
        """So many more are done."""
        self._done += count
        now = self._clock()
        if now - self._shown_at >= (_TERMINAL_SECONDS if self._terminal else _PLAIN_SECONDS):
            self._shown_at = now
            self._print(self.text(now - self._start))

    def text(self, seconds: float) -> str:
        """After so many seconds."""
        if not self._total:
            return f"{self._what}: {self._done:,}"
        text = f"{self._what}: {self._done:,} of {self._total:,}"
        if not 0 < self._done < self._total:
            return text
        return f"{text}, about {duration(seconds / self._done * (self._total - self._done))} left"

    def end(self) -> None:
        """Clears the line, so that what is said next begins one."""
        if self._terminal:
            print("\r\x1b[K", end="", file=self._out, flush=True)

    def _print(self, text: str) -> None:
        if self._terminal:
            print(f"\r\x1b[K{text}", end="", file=self._out, flush=True)
        else:
            print(text, file=self._out, flush=True)


def duration(seconds: float) -> str:
    """In the two units that matter."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
