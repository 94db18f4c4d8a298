"""What a command says while it works is never far from what it said before."""

import io
import threading
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from consumer.local.progress import QUIET_SECONDS, Progress

LIMIT_SECONDS = 5.0


class Time:
    """A clock that goes on when somebody waits, until it is `until`."""

    def __init__(self, until: float) -> None:
        self.now = 0.0
        self._until = until

    def clock(self) -> float:
        return self.now

    def wait(self, done: threading.Event, seconds: float) -> bool:
        self.now += seconds
        if self.now >= self._until:
            done.set()
        return done.is_set()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def moments(text: str) -> list[float]:
    return [float(line.split()[0]) for line in text.splitlines()]


def followed(time: Time, out: io.StringIO) -> Progress:
    """Until the time is over, with nothing said but what is repeated."""
    progress = Progress(out, time.clock, time.wait)
    ended = threading.Event()
    wait = progress._wait

    def until_over(done: threading.Event, seconds: float) -> bool:
        over = wait(done, seconds)
        if over:
            ended.set()
        return over

    progress._wait = until_over
    with progress.following(lambda: "still at it"):
        assert ended.wait(60)
    return progress


def test_a_step_that_takes_long_is_said_again_before_the_limit() -> None:
    out = io.StringIO()
    followed(Time(until=121.0), out)
    said = moments(out.getvalue())
    assert max(later - earlier for earlier, later in pairwise([0.0, *said, 121.0])) <= LIMIT_SECONDS
    assert {line.split("s  ")[1] for line in out.getvalue().splitlines()} == {"still at it"}


def test_a_terminal_shows_the_seconds_go_on_in_one_line() -> None:
    out = Terminal()
    followed(Time(until=1.9), out)
    assert "\n" not in out.getvalue()
    assert out.getvalue().count("still at it") == 9


@given(st.lists(st.integers(0, 20), max_size=20))
def test_what_is_said_anyway_puts_off_what_is_repeated(pauses: list[int]) -> None:
    time, out = Time(until=0), io.StringIO()
    progress = Progress(out, time.clock)
    for pause in pauses:
        time.now += pause
        left = progress.seconds_left()
        before = out.getvalue()
        progress.show("repeated")
        assert (out.getvalue() != before) == (left <= 0)
        assert 0 < progress.seconds_left() <= QUIET_SECONDS
        progress.say("said")
        assert progress.seconds_left() == QUIET_SECONDS
