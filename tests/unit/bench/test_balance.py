"""How evenly shards are shared."""

from collections.abc import Mapping

import pytest

from tests.bench.balance import Pauses, Shares, Streak, idle, moved, shares

OWNERS = {"shard-1": "a", "shard-2": "b", "shard-3": "gone", "closed": "a"}


def test_open_shards_are_counted_by_their_owner_and_those_of_nobody_else_are_elsewhere() -> None:
    found = shares(["shard-1", "shard-2", "shard-3", "shard-4"], OWNERS, ["a", "b", "c"])
    assert found == Shares({"a": 1, "b": 1, "c": 0}, elsewhere=2)
    assert str(found) == "1, 1, 0; 2 elsewhere"


@pytest.mark.parametrize(
    "by_worker",
    [
        {"a": 1},
        {"a": 64},
        {"a": 40, "b": 24},
        {"a": 3, "b": 1},
        {"a": 20, "b": 12, "c": 16, "d": 16},
        {"a": 1, "b": 0},
    ],
    ids=str,
)
def test_balanced_is_a_quarter_about_the_even_part(by_worker: Mapping[str, int]) -> None:
    assert Shares(by_worker, elsewhere=0).balanced


@pytest.mark.parametrize(
    "by_worker",
    [
        {"a": 41, "b": 23},
        {"a": 4, "b": 0},
        {"a": 2, "b": 1, "c": 1, "d": 0},
        {"a": 21, "b": 11, "c": 16, "d": 16},
    ],
    ids=str,
)
def test_more_than_that_or_nothing_for_one_of_them_is_not(by_worker: Mapping[str, int]) -> None:
    assert not Shares(by_worker, elsewhere=0).balanced


def test_a_shard_that_nobody_of_them_holds_is_no_balance() -> None:
    assert not Shares({"a": 32, "b": 32}, elsewhere=1).balanced


def test_a_shard_runs_where_its_lease_is_held() -> None:
    running = {"a": {"shard-1", "shard-2"}, "b": {"shard-3"}}
    assert idle(["shard-1", "shard-2", "shard-3", "shard-4"], OWNERS, running) == [
        "shard-2",
        "shard-3",
        "shard-4",
    ]


def test_a_streak_begins_anew_after_each_break() -> None:
    streak = Streak()
    assert [streak.see(now, holds=holds) for now, holds in ((1, True), (3, True), (4, False), (6, True))] == [
        0,
        2,
        0,
        0,
    ]
    assert streak.since == 6


def test_the_longest_pause_is_of_one_shard_without_a_break() -> None:
    pauses = Pauses()
    for now, idle_shards in ((0, ["one"]), (2, ["one", "two"]), (3, ["two"]), (4, ["one", "two"]), (5, [])):
        pauses.see(now, idle_shards)
    assert pauses.longest == 2


def test_a_shard_has_moved_when_another_holds_it() -> None:
    after = {"shard-1": "b", "shard-2": "b", "shard-4": "a"}
    assert moved(["shard-1", "shard-2", "shard-4"], OWNERS, after) == 2
