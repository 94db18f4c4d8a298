"""What a command says while it works is never far from what it said before."""

import io
import threading
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.operate.progress import QUIET_SECONDS, Progress, Teller, duration

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


def followed(time: Time, out: io.StringIO) -> Teller:
    """Until the time is over, with nothing said but what is repeated."""
    teller = Teller(out, time.clock, time.wait)
    ended = threading.Event()
    wait = teller._wait

    def until_over(done: threading.Event, seconds: float) -> bool:
        over = wait(done, seconds)
        if over:
            ended.set()
        return over

    teller._wait = until_over
    with teller.following(lambda: "still at it"):
        assert ended.wait(60)
    return teller


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
    teller = Teller(out, time.clock)
    for pause in pauses:
        time.now += pause
        left = teller.seconds_left()
        before = out.getvalue()
        teller.show("repeated")
        assert (out.getvalue() != before) == (left <= 0)
        quiet = max(QUIET_SECONDS, time.now / 30)
        assert 0 < teller.seconds_left() <= quiet + 1e-6
        teller.say("said")
        assert teller.seconds_left() == pytest.approx(quiet)


def test_hours_leave_some_hundred_lines() -> None:
    out = io.StringIO()
    followed(Time(until=7200.0), out)
    said = moments(out.getvalue())
    assert 100 < len(said) < 300
    assert said[-1] > 7200 * 29 / 31 - QUIET_SECONDS


def test_work_is_one_line_on_a_terminal_and_some_lines_elsewhere() -> None:
    for stream in (Terminal(), io.StringIO()):
        time = Time(until=0)
        progress = Progress(stream, "read", total=100, clock=time.clock)
        progress.step("opening")
        for _ in range(100):
            time.now += 1
            progress.add()
        text = stream.getvalue()
        assert text.count("\n") == (0 if stream.isatty() else 25)
        assert "20.0 s  read: 20 of 100, about 1 min 20 s left" in text
        assert "read: 100 of 100" in text


def test_what_is_left_is_told_by_the_time_since_the_last_step() -> None:
    time = Time(until=0)
    progress = Progress(io.StringIO(), "read", total=10, clock=time.clock)
    assert progress.text() == "read: 0 of 10"
    time.now = 500.0
    progress.step("opening")
    assert progress.text() == "opening"
    progress.add(0)
    assert progress.text() == "opening"
    time.now = 502.0
    progress.add(2)
    assert progress.text() == "read: 2 of 10, about 8 s left"


def test_work_that_stands_still_shows_all_the_same_and_leaves_no_line() -> None:
    out = Terminal()
    with Progress(out, "read") as progress:
        while "read: 0" not in out.getvalue():
            threading.Event().wait(0.01)
        progress.add(3)
    assert progress.text() == "read: 3"
    assert out.getvalue().endswith("\r\x1b[K")
    assert not any(thread.name.endswith("(follow)") for thread in threading.enumerate())


def test_durations_are_told_in_the_units_that_matter() -> None:
    assert [duration(seconds) for seconds in (0, 59, 61, 3600, 90_061)] == [
        "0 s",
        "59 s",
        "1 min 1 s",
        "1 h 0 min",
        "25 h 1 min",
    ]
