"""Rows that the C library finds are those that Python makes."""

import json
from collections.abc import Sequence
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.columns import PART_RECORDS, Records
from consumer.domain.records import Record
from consumer.native import library
from consumer.settings.values import Value
from consumer.sinks.bigquery.arrow_rows.log_columns import LogColumns
from consumer.sinks.bigquery.arrow_rows.log_rows import (
    MAX_ROW_BYTES,
    ROW_OVERHEAD_BYTES,
    LogRows,
    Rows,
)
from tests.unit.sinks.bigquery.storage_write.builders import decoded, log_rules

pytestmark = pytest.mark.skipif(library.load() is None, reason="without the C library there is one way only")

ARRIVAL_MS = 1_767_322_000_000
"""2026-01-02T02:46:40Z"""

LAST_ARRIVAL_MS = 7_258_118_399_999
"""Of the year 2199: later ones are Python's."""

DAY_MS = 86_400_000
KEY = "a" * 32


def maker(**changes: Value) -> LogRows:
    return LogRows(log_rules(**changes))


def record(payload: bytes | dict[str, Any], arrival_ms: int = ARRIVAL_MS) -> Record:
    data = payload if isinstance(payload, bytes) else json.dumps(payload, ensure_ascii=False).encode()
    return Record(data, "key", "1", 0, arrival_ms)


def assert_same(own: LogRows, mine: Rows, theirs: Rows) -> None:
    assert list(mine.indices) == list(theirs.indices)
    assert list(mine.sizes) == list(theirs.sizes)
    assert decoded(own, mine).equals(decoded(own, theirs))


def made_both_ways(own: LogRows, records: Sequence[Record], indices: Sequence[int]) -> bool:
    """Whether the C library was sure, once it is known that it makes no difference."""
    found, rejections = own.make(Records.of(records), indices)
    expected, expected_rejections = own.make(list(records), indices)
    assert rejections == expected_rejections
    assert found.keys() == expected.keys()
    for name, rows in found.items():
        assert_same(own, rows, expected[name])
    return all(isinstance(rows.columns, LogColumns) for rows in found.values())


usual_times = st.sampled_from(
    [
        "2026-01-02T03:04:05.678Z",
        "2026-02-28T23:59:59Z",
        "2024-02-29T00:00:00.001Z",
        "2016-03-01T12:00:00Z",
        None,
    ]
)
names = st.text(st.characters(categories=["L", "N"]), max_size=5).filter(
    lambda name: name not in ("player_id", "time")
)
usual_payloads = st.builds(
    lambda key, time, others: {"player_id": key, **others} | ({"time": time} if time else {}),
    st.text("0123456789abcdefABCDEF", min_size=2, max_size=32),
    usual_times,
    st.dictionaries(names, st.integers() | st.text()),
)
usual = st.builds(record, usual_payloads, st.sampled_from([ARRIVAL_MS, ARRIVAL_MS + DAY_MS, ARRIVAL_MS + 7]))
odd_times = st.sampled_from(
    [
        *(
            "2026-01-02T03:04:05.678901Z",
            "2026-01-02 03:04:05",
            "2026-01-02T03:04:05+01:00",
            "soon",
            "",
            7,
            True,
        ),
        *(
            "2026-02-29T00:00:00Z",
            "1999-01-01T00:00:00Z",
            "2026-01-02T24:00:00Z",
            "2026-01-02T03:04:60Z",
            None,
        ),
    ]
)
odd_keys = st.sampled_from([None, 7, "", "x", "é", "aé", "a\\", ["a"], "a" * 300, {"a": 1}])
odd_payloads = st.one_of(
    st.fixed_dictionaries({}, optional={"player_id": odd_keys | st.just(KEY), "time": odd_times}),
    st.sampled_from(
        [
            *(
                b"",
                b"[1]",
                b"not json",
                b'{"player_id":"a"} x',
                b'{"player_id":"a","player_id":"b"}',
                b"\xff",
            ),
            *(b'{"player_id":"\\u0061"}', b'{"player_id":"a\\ud800"}', b'{"player_id":"a","x":"\xff"}'),
            *(
                b' {"player_id" : "a1" ,\t"time":null}\t',
                b'{"player_id":\n"a"}',
                b'{"player_id":"a","x":' + b"[" * 80,
            ),
        ]
    ),
)
odd = st.builds(
    record, odd_payloads, st.sampled_from([ARRIVAL_MS, 0, LAST_ARRIVAL_MS + 1, 253_402_300_799_999, 999])
)


@given(records=st.lists(usual, min_size=1, max_size=40), digits=st.integers(0, 2), data=st.data())
def test_usual_records_are_surely_found(records: list[Record], digits: int, data: st.DataObject) -> None:
    own = maker(**{"bigquery.key_digits": digits})
    chosen = data.draw(st.sets(st.sampled_from(range(len(records)))).map(sorted))
    assert made_both_ways(own, records, range(len(records)))
    assert made_both_ways(own, records, chosen)


@given(records=st.lists(usual | odd, max_size=12), digits=st.integers(0, 2))
def test_odd_records_make_the_same_rows_and_rejections(records: list[Record], digits: int) -> None:
    made_both_ways(maker(**{"bigquery.key_digits": digits}), records, range(len(records)))


@given(records=st.lists(usual, min_size=1, max_size=30), data=st.data())
def test_parts_and_rests_hold_the_same_rows(records: list[Record], data: st.DataObject) -> None:
    own = maker(**{"bigquery.key_digits": 0})
    ((mine,), (theirs,)) = (
        own.make(some, range(len(records)))[0].values() for some in (Records.of(records), records)
    )
    places = st.integers(0, len(records))
    start, stop = sorted([data.draw(places), data.draw(places)])
    assert_same(own, mine.part(start, stop), theirs.part(start, stop))
    bad = data.draw(st.sets(st.sampled_from(range(len(records)))))
    assert_same(own, mine.without(bad), theirs.without(bad))
    most = data.draw(st.integers(1, 1000))
    for part, other in zip(mine.parts(most), theirs.parts(most), strict=True):
        assert_same(own, part, other)


@given(first=usual, digits=st.integers(0, 1), seed=st.integers(0, 2**32).map(Random))
def test_chunks_of_several_parts_are_found_as_a_whole(first: Record, digits: int, seed: Random) -> None:
    records = [first] + [
        record({"player_id": f"{seed.randrange(256):02x}{number}"}, ARRIVAL_MS + seed.choice([0, DAY_MS]))
        for number in range(2 * PART_RECORDS + 1)
    ]
    own = maker(**{"bigquery.key_digits": digits})
    chosen = sorted(seed.sample(range(len(records)), seed.randrange(len(records))))
    assert made_both_ways(own, records, range(len(records)))
    assert made_both_ways(own, records, chosen)


def test_keys_may_be_missing_where_they_choose_nothing() -> None:
    records = [record({"player_id": key} if key else {}) for key in (None, "b", *[None] * 7, "c")]
    own = maker(**{"bigquery.key_digits": 0})
    assert made_both_ways(own, records, range(len(records)))
    (rows,) = own.make(Records.of(records), range(len(records)))[0].values()
    assert decoded(own, rows).column("player_id").to_pylist() == [None, "b", *[None] * 7, "c"]


@pytest.mark.parametrize("arrival_ms", [0, 951_782_400_000, 4_107_542_399_999, LAST_ARRIVAL_MS])
@pytest.mark.parametrize("days", [-3650, -1, 0, 1, 59, 60, 61, 365])
def test_times_are_the_same_on_any_day(arrival_ms: int, days: int) -> None:
    day = pa.scalar(arrival_ms // DAY_MS + days, pa.int32()).cast(pa.date32()).as_py()
    records = [
        record({"player_id": KEY}, arrival_ms),
        record({"player_id": KEY, "time": f"{day}T23:59:59.999Z"}, arrival_ms),
        record({"player_id": KEY, "time": f"{day}T00:00:00Z"}, arrival_ms),
    ]
    assert made_both_ways(maker(), records, range(len(records)))


def test_the_largest_row_is_found_and_a_larger_one_is_not() -> None:
    frame = len(b'{"player_id":"a","x":""}') + ROW_OVERHEAD_BYTES
    largest, larger = (
        [record(b'{"player_id":"a","x":"%b"}' % (b"y" * (MAX_ROW_BYTES - frame + more)))] for more in (0, 1)
    )
    assert made_both_ways(maker(), largest, [0])
    made_both_ways(maker(), larger, [0])
    _, (rejection,) = maker().make(Records.of(larger), [0])
    assert rejection.reason == "too_large"


def test_other_notations_of_time_are_left_to_python() -> None:
    own = maker(**{"record.time_format": "epoch_ms"})
    found, _ = own.make(Records.of([record({"player_id": KEY, "time": ARRIVAL_MS})]), [0])
    assert [rows.columns for rows in found.values()] == [None]


@given(
    st.lists(usual, min_size=1, max_size=30), st.sets(st.integers(0, 29)), st.randoms(use_true_random=False)
)
def test_records_that_make_no_row_leave_the_others_to_the_library(
    records: list[Record], bad: set[int], random: Random
) -> None:
    chunk = [
        record(random.choice([b"{", b"[]", b'{"player_id":"x"}']), ARRIVAL_MS) if place in bad else one
        for place, one in enumerate(records)
    ]
    own = maker()
    assert made_both_ways(own, chunk, range(len(chunk)))
    _, rejections = own.make(Records.of(chunk), range(len(chunk)))
    assert [each.index for each in rejections] == sorted(bad & set(range(len(chunk))))


def test_a_chunk_in_which_most_records_make_no_row_takes_no_other_way() -> None:
    chunk = [record(b"{")] * 200 + [record({"player_id": KEY})]
    own = maker()
    assert made_both_ways(own, chunk, range(len(chunk)))
