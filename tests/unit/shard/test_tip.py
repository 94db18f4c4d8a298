"""Since when the shard is known to be empty, whatever the KCL has fetched ahead."""

from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.shard.kcl.tip import POLLED_AHEAD, PUSHED_AHEAD, Tip, fetched_ahead


def seconds() -> Iterator[float]:
    return (float(second) for second in count(1))


def test_a_message_proves_nothing_before_as_many_were_answered_as_the_kcl_fetches_ahead() -> None:
    tip = Tip(3, now=seconds().__next__)
    for _ in range(3):
        assert tip.seen_ms(0) is None
        tip.answered()
    assert tip.seen_ms(0) == 1_000
    tip.answered()
    assert tip.seen_ms(0) == 2_000


@pytest.mark.parametrize("behind", [1, None])
def test_a_message_that_is_behind_or_does_not_say_proves_nothing(behind: int | None) -> None:
    tip = Tip(1, now=lambda: 1.0)
    tip.answered()
    assert tip.seen_ms(behind) is None


def test_polling_fetches_less_ahead_than_what_is_pushed() -> None:
    assert fetched_ahead("POLLING") == POLLED_AHEAD
    assert fetched_ahead("FANOUT") == fetched_ahead(None) == PUSHED_AHEAD


class PrefetchingKcl:
    """Fetches whenever its queue has room, one message more than the queue holds; hands over in order."""

    QUEUE = 3

    def __init__(self) -> None:
        self.fetched_at: list[float] = []

    def fetch(self, now: float) -> None:
        while len(self.fetched_at) <= self.QUEUE:
            self.fetched_at.append(now)

    def next(self) -> float:
        return self.fetched_at.pop(0)


@given(
    st.lists(
        st.tuples(st.floats(0, 1000), st.floats(0, 1000)),  # how long a callback takes, and a handing over
        min_size=POLLED_AHEAD + 1,
        max_size=40,
    )
)
def test_I2_no_message_proves_more_than_its_fetch_saw(delays: list[tuple[float, float]]) -> None:
    now = 1.0
    kcl, tip = PrefetchingKcl(), Tip(POLLED_AHEAD, now=lambda: now)
    for callback, handing_over in delays:
        kcl.fetch(now)
        fetched_at = kcl.next()
        kcl.fetch(now)  # the place in the queue is free as soon as the message is handed over
        now += handing_over
        seen = tip.seen_ms(0)
        assert seen is None or seen <= fetched_at * 1000
        now += callback
        tip.answered()
