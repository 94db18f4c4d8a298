"""What `checkpoint set` says before it asks: which records come twice, and which never come."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.operate.checkpoint.effects import Move, Way, consequences, table
from consumer.operate.checkpoint.places import END, START, Place
from consumer.operate.checkpoint.plan import Found

EARLY, LATE = (Found(Place(digit * 21), 1_769_860_800.0, digit * 21) for digit in "12")
LATEST = Found(Place("LATEST"))
NEXT = "{}, the next record of 2026-01-31T12:00:00Z"
METHODS = ["s3", "insert_all", "load", "storage_write"]


def move(was: Found | None, to: Found, *, shard: str = "a", aligned: bool = False) -> Move:
    return Move(shard=shard, was=was, to=to, aligned=aligned)


@pytest.mark.parametrize(
    ("was", "to", "way"),
    [
        (LATE, EARLY, "back"),
        (EARLY, LATE, "ahead"),
        (EARLY, EARLY, "stays"),
        (None, EARLY, "back"),
        (Found(END), EARLY, "back"),
        (EARLY, Found(END), "ahead"),
        (LATEST, EARLY, "unknown"),
        (Found(START), EARLY, "ahead"),
        (EARLY, Found(Place.before("1" * 21)), "back"),
        (EARLY, Found(Place("1" * 21, 2)), "ahead"),
        (EARLY, Found(Place.past("1" * 21)), "ahead"),
    ],
)
def test_a_place_lies_ahead_or_behind(was: Found | None, to: Found, way: Way) -> None:
    assert move(was, to).way == way


places = st.builds(
    Place, st.sampled_from(["TRIM_HORIZON", "SHARD_END", "LATEST", "1" * 21, "2" * 21]), st.integers(-1, 3)
)
moves = st.lists(
    st.builds(
        Move,
        shard=st.text("abcdef", min_size=1, max_size=3),
        was=st.none() | st.builds(Found, places),
        to=st.builds(Found, places),
        aligned=st.booleans(),
    ),
    max_size=8,
)


@given(moves=moves, method=st.sampled_from(METHODS), removed=st.sets(st.sampled_from("xyz")))
def test_nothing_that_comes_twice_or_never_is_left_unsaid(
    moves: list[Move], method: str, removed: set[str]
) -> None:
    said = list(consequences(method, moves, removed))
    back = [one for one in moves if one.way in ("back", "unknown")]
    ahead = [one for one in moves if one.way in ("ahead", "unknown")]
    twice = any(line.startswith(("S3: objects", "insert_all:", "load:", "storage_write:")) for line in said)
    assert twice == bool(back or removed or method == "storage_write")
    assert any("are skipped in" in line for line in said) == bool(ahead)
    others = [line for line in said if line.startswith("S3: ") and "no chunk is known" in line]
    assert bool(others) == (method == "s3" and any(not one.aligned for one in back))
    for line in said:
        assert line.startswith(("S3: ", f"{method}: ", "records between"))


def test_shards_that_are_many_are_counted() -> None:
    many = [move(EARLY, LATE, shard=f"shard-{number}") for number in range(7)]
    [line] = consequences("s3", many, [])
    assert "skipped in shard-0, shard-1, shard-2, shard-3 and 3 more:" in line


@pytest.mark.parametrize(
    ("one", "line"),
    [
        (
            move(LATE, EARLY),
            f"a: {NEXT.format('2' * 21)} -> {NEXT.format('1' * 21)} (back)",
        ),
        (move(None, Found(START)), "a: no lease -> TRIM_HORIZON, nothing behind it (back)"),
        (move(LATEST, Found(END)), "a: LATEST, wherever that was -> read to its end (unknown)"),
    ],
)
def test_each_shard_is_a_line(one: Move, line: str) -> None:
    assert list(table([one], [])) == [line]


def test_leases_that_go_are_told() -> None:
    found: Sequence[str] = list(table([], ["b", "a"]))
    assert [line.partition(":")[0] for line in found] == ["a", "b"]
    assert "the KCL makes it anew when its parents were read to their end" in found[0]
