"""LaneOrder are taken in the order in which they were announced, whoever comes first."""

import gevent
import pytest

from consumer.shard.delivery.lane_order import LaneOrder

SAFETY_SECONDS = 10


def test_a_turn_waits_for_the_one_announced_before() -> None:
    turns = LaneOrder()
    first, second = turns.announce("a"), turns.announce("a")
    log = []

    def take(name: str, turn: object) -> None:
        with turn:  # type: ignore[attr-defined]
            log.append(name)
            gevent.sleep(0)
            log.append(f"{name} over")

    late = gevent.spawn(take, "second", second)
    gevent.sleep(0)
    assert log == []
    gevent.joinall([gevent.spawn(take, "first", first), late], SAFETY_SECONDS, raise_error=True)
    assert log == ["first", "first over", "second", "second over"]


def test_turns_of_another_name_do_not_wait() -> None:
    turns = LaneOrder()
    turns.announce("a")
    with turns.announce("b"):
        pass


def test_a_turn_after_one_that_is_over_waits_for_nobody() -> None:
    turns = LaneOrder()
    with turns.announce("a"):
        pass
    with turns.announce("a"):
        pass


def test_a_turn_is_over_when_an_exception_leaves_it() -> None:
    turns = LaneOrder()
    with pytest.raises(ValueError), turns.announce("a"):
        raise ValueError
    with turns.announce("a"):
        pass
