"""Meters and the table of limits, by a clock that the test moves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.local.limits.meters import Meters
from consumer.local.limits.table import LIMITS, Limits, markdown, parsed
from consumer.settings import PROJECT_ROOT
from tests.unit.local.limits.clocks import Clock


def test_every_limit_has_a_page_and_an_answer() -> None:
    assert len({limit.name for limit in LIMITS}) == len(LIMITS)
    for limit in LIMITS:
        assert limit.page.startswith("https://")
        assert limit.answer
        assert limit.scope


def test_the_page_has_the_table() -> None:
    """Made by: python -c "from consumer.local.limits.table import markdown; print(markdown())"."""
    assert markdown() in (PROJECT_ROOT / "docs" / "chaos.md").read_text()


def test_a_second_is_over_after_a_second() -> None:
    clock = Clock()
    meters = Meters(clock=clock)
    for _ in range(5):
        assert meters.take(("kinesis.reads", "a", 1)) is None
        clock.wait(0.1)
    assert meters.take(("kinesis.reads", "a", 1)) == "kinesis.reads"
    assert meters.take(("kinesis.reads", "b", 1)) is None
    clock.wait(0.5)
    assert meters.take(("kinesis.reads", "a", 1)) is None
    assert meters.take(("kinesis.reads", "a", 1)) == "kinesis.reads"
    assert meters.report()["kinesis.reads"] | {"scope": ""} == {
        "limit": 5,
        "unit": "GetRecords",
        "seconds": 1,
        "scope": "",
        "counted": 7,
        "refused": 2,
        "most": 5,
    }


def test_of_several_limits_all_are_used_or_none() -> None:
    meters = Meters(Limits(given={"load.jobs": 1}), Clock())
    assert meters.take(("load.jobs_of_table", "t", 1), ("load.jobs", "p", 1)) is None
    assert meters.take(("load.jobs_of_table", "t", 1), ("load.jobs", "p", 1)) == "load.jobs"
    assert meters.used("load.jobs_of_table", "t") == 1


def test_ten_megabytes_close_a_shard_for_five_seconds() -> None:
    clock = Clock()
    meters = Meters(clock=clock)
    assert meters.has_room("kinesis.read_bytes", "a")
    meters.add("kinesis.read_bytes", "a", 10_000_000)
    clock.wait(4.9)
    assert not meters.has_room("kinesis.read_bytes", "a")
    clock.wait(0.1)
    assert meters.has_room("kinesis.read_bytes", "a")


def test_small_answers_close_nothing_until_a_seconds_worth_is_used() -> None:
    clock = Clock()
    meters = Meters(clock=clock)
    for _ in range(2):
        assert meters.has_room("kinesis.read_bytes", "a")
        meters.add("kinesis.read_bytes", "a", 1_000_000)
    assert not meters.has_room("kinesis.read_bytes", "a")
    clock.wait(0.1)
    assert meters.has_room("kinesis.read_bytes", "a")


@given(
    sizes=st.lists(st.integers(1, 10_000_000), min_size=1, max_size=40),
    pauses=st.lists(st.floats(0, 3), min_size=40, max_size=40),
)
def test_in_the_long_run_no_more_is_read_than_the_rate_gives(sizes: list[int], pauses: list[float]) -> None:
    clock = Clock()
    meters = Meters(clock=clock)
    taken = last = 0
    for size, pause in zip(sizes, pauses, strict=False):
        if meters.has_room("kinesis.read_bytes", "a"):
            meters.add("kinesis.read_bytes", "a", size)
            taken, last = taken + size, size
        clock.wait(pause)
    # all but the last answer and a second's worth has been paid for
    assert taken - last <= (clock.now - 1000) * 2e6 + 2e6


def test_days_pass_as_fast_as_the_scale_says_and_seconds_do_not() -> None:
    limits = Limits(scale=8640)
    assert limits.value("storage_write.idle_stream") == 30
    assert limits.limit("storage_write.creates").seconds == pytest.approx(3600 / 8640)
    assert limits.value("storage_write.creates") == 10_000
    assert limits.limit("kinesis.reads").seconds == 1
    assert limits.value("insert_all.memory") == 60


def test_a_value_that_is_given_is_taken_as_it_is() -> None:
    name, value = parsed("storage_write.idle_stream=7.5")
    assert Limits(scale=100, given={name: value}).value(name) == 7.5


@pytest.mark.parametrize("text", ["nothing=1", "kinesis.reads=0", "kinesis.reads=x", "kinesis.reads"])
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no limit|above 0|could not convert"):
        parsed(text)
