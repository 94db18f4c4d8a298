"""How many streams processes ask for, by a clock that the test moves."""

import itertools
from collections.abc import Callable
from random import Random

import pytest

from consumer.sinks.bigquery.storage_write.answers import CallFailed
from consumer.sinks.bigquery.storage_write.pace import Pace

SHARDS, TABLES, STARTS = 8, 16, 20
START_SECONDS = 1.0
"""From a crash to the first request of the next process, at the least."""
QUOTA_AN_HOUR, QUOTA_A_SECOND = 10_000, 40


class Clock:
    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def pace_by(clock: Clock, random: Callable[[], float] = lambda: 0.0) -> Pace:
    return Pace(sleep=clock.sleep, now=clock, random=random)


def test_a_crash_loop_stays_within_the_quotas() -> None:
    """Every process gets a row for every table, and crashes as soon as it has all its streams."""
    made: list[float] = []
    random = Random(7)
    for _ in range(SHARDS):
        clock = Clock()
        for _ in range(STARTS):
            clock.now += START_SECONDS
            pace = pace_by(clock, random.random)
            for _ in range(TABLES):
                pace.make(lambda: "stream")
                made.append(clock.now)
    made.sort()
    assert len(made) == SHARDS * TABLES * STARTS < QUOTA_AN_HOUR
    busiest = max(sum(begin <= moment < begin + 1 for moment in made) for begin in made)
    assert TABLES < busiest <= QUOTA_A_SECOND


def test_the_first_stream_hardly_waits() -> None:
    clock = Clock()
    assert pace_by(clock, lambda: 0.99).make(lambda: "stream") == "stream"
    assert clock.now < 0.25


def test_a_server_that_refuses_is_asked_ever_more_rarely() -> None:
    clock = Clock()
    pace = pace_by(clock)
    asked: list[float] = []

    def refused() -> str:
        asked.append(clock())
        raise CallFailed(code="RESOURCE_EXHAUSTED", message="quota")

    for clock.now in itertools.accumulate(itertools.repeat(0.5, 7200)):  # an hour
        with pytest.raises(CallFailed, match="RESOURCE_EXHAUSTED"):
            pace.make(refused)
    pauses = [after - before for before, after in itertools.pairwise(asked)]
    assert pauses[:5] == sorted(pauses[:5])
    assert 60 <= pauses[-1] < 61
    assert len(asked) < 70
    clock.now += 60
    assert pace.make(lambda: "stream") == "stream"
    before = clock.now
    assert pace.make(lambda: "stream") == "stream"
    assert clock.now - before == pytest.approx(0.25)


def test_another_failure_keeps_the_pace() -> None:
    clock = Clock()
    pace = pace_by(clock)

    def fails() -> str:
        raise CallFailed(code="UNAVAILABLE", message="down")

    for _ in range(3):
        with pytest.raises(CallFailed, match="UNAVAILABLE"):
            pace.make(fails)
    assert pace.make(lambda: "stream") == "stream"
    assert clock.now == pytest.approx(0.75)
