"""The line of a dead letter, and the guard that tells a bad record from a broken feed."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.dead_letters import (
    DETAIL_CHARACTERS,
    DeadLetter,
    Rejection,
    ShareGuard,
    ShareLimit,
    dead_letter,
)
from tests.unit.builders import ARRIVAL_MS, record


def letter(data: bytes = b"x", *, sub: int = 0, arrival_ms: int = ARRIVAL_MS) -> DeadLetter:
    return dead_letter(
        record(data, sequence="4957", sub=sub, arrival_ms=arrival_ms, key="key"),
        Rejection(3, "not_json", "why"),
        application="app",
        stream="logs",
        shard="shardId-000000000001",
    )


def test_a_dead_letter_holds_everything_needed_to_deliver_the_record_again() -> None:
    assert msgspec.to_builtins(letter(b"\xff\x00", sub=2)) == {
        "application": "app",
        "stream": "logs",
        "shard": "shardId-000000000001",
        "sequence_number": "4957",
        "sub_sequence_number": 2,
        "partition_key": "key",
        "arrived_at": "2023-11-14T22:13:20.123Z",
        "reason": "not_json",
        "detail": "why",
        "payload": "/wA=",
    }


@given(st.binary())
def test_the_payload_comes_back_byte_for_byte_from_the_line(data: bytes) -> None:
    line = msgspec.json.encode(letter(data))
    assert b"\n" not in line
    assert msgspec.json.decode(line, type=DeadLetter).payload == data


@pytest.mark.parametrize("text", ["x" * 8_000_000, "é" * 301, "\ud800" * 300, "x" * 299 + "\ud800"])
def test_a_detail_that_is_too_long_ends_where_it_is_cut(text: str) -> None:
    rejection = Rejection(0, "rejected", text)
    made = msgspec.structs.replace(letter(), detail=text)
    assert len(rejection.detail) == len(made.detail) == DETAIL_CHARACTERS
    assert rejection.detail.endswith("…")
    assert rejection.detail == made.detail
    assert msgspec.json.decode(msgspec.json.encode(made), type=DeadLetter) == made


@pytest.mark.parametrize("text", ["", "x" * DETAIL_CHARACTERS, "é" * DETAIL_CHARACTERS])
def test_a_detail_that_fits_stays_as_it_is(text: str) -> None:
    assert Rejection(0, "rejected", text).detail == text


def test_half_a_surrogate_pair_in_a_detail_is_written_escaped() -> None:
    assert Rejection(0, "rejected", "no \ud800").detail == "no \\ud800"


@given(st.integers(0, 4_102_444_800_000))
def test_arrival_keeps_its_milliseconds(arrival_ms: int) -> None:
    arrived_at = letter(arrival_ms=arrival_ms).arrived_at
    assert arrived_at.endswith(f".{arrival_ms % 1000:03}Z")
    assert len(arrived_at) == len("2023-11-14T22:13:20.123Z")


def guard(*, max_ratio: float = 0.5, window_records: int = 100) -> ShareGuard:
    return ShareGuard(ShareLimit(max_ratio, window_records))


def feed(share_guard: ShareGuard, *chunks: tuple[int, int]) -> None:
    for records, bad in chunks:
        assert share_guard.allows(records, bad)
        share_guard.count(records, bad)


def test_a_handful_of_bad_records_on_a_quiet_stream_passes() -> None:
    feed(guard(max_ratio=0.5, window_records=100), *[(1, 1)] * 5)
    feed(guard(max_ratio=0.5, window_records=1000), *[(1, 1)] * 50)


def test_bad_records_below_the_limit_pass_for_ever() -> None:
    feed(guard(), *[(10, 5)] * 1000)


@given(st.lists(st.integers(1, 300), min_size=1), st.floats(0, 0.99), st.integers(1, 200))
def test_a_feed_of_all_bad_records_is_stopped_before_a_tenth_of_a_window_of_them(
    sizes: list[int], max_ratio: float, window_records: int
) -> None:
    share_guard = guard(max_ratio=max_ratio, window_records=window_records)
    buried = 0
    for size in sizes:
        if share_guard.allows(size, size):
            share_guard.count(size, size)
            buried += size
        else:
            break
    allowed = max_ratio * max(1, window_records // 10)
    assert buried <= allowed
    # and it was stopped as soon as it could be told from a handful
    assert buried == sum(sizes) or buried + size > allowed


def remembered(passed: list[tuple[int, int]], window_records: int) -> list[tuple[int, int]]:
    """The fewest latest chunks that make up the window."""
    latest: list[tuple[int, int]] = []
    for each in reversed(passed):
        if sum(records for records, _ in latest) >= window_records:
            break
        latest.append(each)
    return latest


@given(
    st.lists(st.tuples(st.integers(0, 150), st.integers(0, 150)).filter(any), max_size=25),
    st.sampled_from([0.0, 0.1, 0.5, 1.0]),
)
def test_what_passes_is_decided_by_the_latest_window_of_records(
    chunks: list[tuple[int, int]], max_ratio: float
) -> None:
    share_guard = guard(max_ratio=max_ratio)
    passed: list[tuple[int, int]] = []
    for good, bad in chunks:
        seen = [*remembered(passed, 100), (good + bad, bad)]
        records, bad_records = (sum(column) for column in zip(*seen, strict=True))
        expected = bad == 0 or bad_records <= max_ratio * max(records, 10)
        assert share_guard.allows(good + bad, bad) == expected
        if expected:
            share_guard.count(good + bad, bad)
            passed.append((good + bad, bad))


def test_one_chunk_as_large_as_the_window_is_judged_by_itself() -> None:
    assert not guard().allows(100, 51)
    assert guard().allows(100, 50)
    assert not guard().allows(99, 99)


def test_750_good_records_refused_for_one_reason_are_held_at_once() -> None:
    assert not guard(window_records=1000).allows(750, 750)
    assert not guard(window_records=1000).allows(51, 51)


def test_no_bad_record_passes_where_none_may() -> None:
    assert not guard(max_ratio=0).allows(1, 1)


def test_asking_counts_nothing() -> None:
    share_guard = guard()
    for _ in range(10):
        assert share_guard.allows(5, 5)


def test_a_chunk_without_bad_records_always_passes() -> None:
    share_guard = guard(max_ratio=0)
    feed(share_guard, (99, 0))
    assert not share_guard.allows(1, 1)
    assert share_guard.allows(1, 0)


def test_good_records_make_room_again() -> None:
    share_guard = guard()
    feed(share_guard, (99, 49))
    assert not share_guard.allows(10, 10)
    feed(share_guard, (1000, 0))
    assert share_guard.allows(10, 10)


def test_the_window_forgets_bad_records_as_well_as_good_ones() -> None:
    share_guard = guard()
    feed(share_guard, (10_000, 0), *[(10, 0)] * 10)
    # the ten thousand good ones are forgotten: they buy no dead letters
    assert not share_guard.allows(110, 110)
    feed(share_guard, (90, 90), *[(50, 0)] * 2)
    # the ninety bad ones are forgotten too
    assert share_guard.allows(80, 80)


def test_a_limit_of_one_never_holds() -> None:
    feed(guard(max_ratio=1), *[(1000, 1000)] * 100)


@pytest.mark.parametrize("bad", [1, 40])
def test_what_was_delivered_before_a_feed_broke_does_not_hide_that_it_broke(bad: int) -> None:
    share_guard = guard(max_ratio=0.1, window_records=100)
    feed(share_guard, *[(10, 0)] * 50)
    passed = 0
    while share_guard.allows(bad, bad) and passed < 10_000:
        share_guard.count(bad, bad)
        passed += bad
    assert passed <= 100
