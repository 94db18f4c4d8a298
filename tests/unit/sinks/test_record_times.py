"""A record's own time is the same with the C library and without it."""

import datetime
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.columns import Records
from consumer.domain.excerpts import excerpt
from consumer.domain.routing import epoch_ms
from consumer.domain.unread_times import Unread
from consumer.native import library
from consumer.sinks.s3.record_times import RecordTimes
from tests.unit.builders import ARRIVAL_MS, record
from tests.unit.times_cases import TIME_CASES, TimeCase

texts = st.one_of(
    st.datetimes(timezones=st.just(datetime.UTC)).map(lambda time: time.isoformat().replace("+00:00", "Z")),
    st.datetimes().map(lambda time: f"{time.isoformat(timespec='milliseconds')}Z"),
    st.sampled_from(
        [
            "2024-02-30T00:00:00Z",
            "2024-02-29T24:00:00Z",
            "2023-11-14 22:13:20+01:00",
            "0001-01-01T00:00:00Z",
            "2024-02-29x12:00:00Z",
            "2024-02-29T12:00:60Z",
            "2024-02-29T12:00:00z",
            "20240229120000000000000Z",
        ]
    ),
)
members = st.one_of(
    texts.map(lambda text: f'"t":"{text}"'),
    st.sampled_from(
        ['"t":null', '"t":7', '"T":"2024-02-29T00:00:00Z"', '"t":"\\u0032024-02-29T00:00:00Z"', '"t":']
    ),
)
payloads = st.lists(members, max_size=2).map(
    lambda some: b"{" + ", ".join(['"k":{"t":"x"}', *some]).encode() + b"}"
)


@pytest.mark.parametrize("native", [True, False])
def test_every_case_of_the_table_has_its_time_or_that_of_its_arrival(
    native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not native:
        monkeypatch.setattr(library, "load", lambda: None)
    for time_format in {case.time_format for case in TIME_CASES}:
        cases = [case for case in TIME_CASES if case.time_format == time_format]
        times = RecordTimes(time_field="t", time_format=time_format, max_depth=500)
        found = list(times.times_ms(records_of([f'{{"t":{case.spelled}}}'.encode() for case in cases])))
        assert [ms for ms, case in zip(found, cases, strict=True) if case.moment is not None] == [
            epoch_ms(datetime.datetime.fromisoformat(f"{case.moment}Z"))
            for case in cases
            if case.moment is not None
        ]
        unread = {place for place, case in enumerate(cases) if case.moment is None}
        assert {place for place, ms in enumerate(found) if ms == ARRIVAL_MS + place} == unread
        assert times.unread.take() == (Unread(len(unread), shown(cases[min(unread)])) if unread else None)
        assert times.unread.take() is None


def shown(case: TimeCase) -> str:
    """As a log quotes its value."""
    value = json.loads(case.spelled)
    return excerpt(repr(value) if isinstance(value, str | float) and value is not True else case.spelled, 64)


def records_of(batch: list[bytes]) -> Records:
    return Records.of(record(data, arrival_ms=ARRIVAL_MS + place) for place, data in enumerate(batch))


@given(st.lists(payloads, max_size=8))
def test_both_ways_find_the_same_times(batch: list[bytes]) -> None:
    found = RecordTimes(time_field="t", time_format="iso8601", max_depth=500).times_ms(records_of(batch))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "load", lambda: None)
        assert list(
            RecordTimes(time_field="t", time_format="iso8601", max_depth=500).times_ms(records_of(batch))
        ) == list(found)


@pytest.mark.parametrize("levels", [64, 65, 66])
@pytest.mark.parametrize("native", [True, False])
def test_a_record_that_is_too_deep_has_the_time_of_its_arrival(
    native: bool, levels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not native:
        monkeypatch.setattr(library, "load", lambda: None)
    inside = levels - 1
    payload = b'{"x":%b%b,"t":"1970-01-01T00:00:01Z"}' % (b"[" * inside, b"]" * inside)
    times = RecordTimes(time_field="t", time_format="iso8601", max_depth=64)
    assert list(times.times_ms(records_of([payload]))) == [1000 if levels <= 64 else ARRIVAL_MS]


def test_times_in_the_own_notation_are_left_to_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    times = RecordTimes(time_field="t", time_format="iso8601", max_depth=500)
    monkeypatch.setattr(times, "_reader", None)
    batch = [b'{"t":"1970-01-01T00:00:01.250Z"}', b'{"t":"2024-02-29T12:00:00Z"}', b"{}"] * 400
    assert list(times.times_ms(records_of(batch)))[-3:] == [1250, 1_709_208_000_000, ARRIVAL_MS + 1199]


def test_other_formats_are_read_as_the_setting_says() -> None:
    batch = [b'{"t":1700000000}', b'{"t":"1700000000.5"}', b"[1]", b'"t"', b"{"]
    found = RecordTimes(time_field="t", time_format="epoch_s", max_depth=500).times_ms(records_of(batch))
    assert list(found) == [
        1_700_000_000_000,
        1_700_000_000_500,
        ARRIVAL_MS + 2,
        ARRIVAL_MS + 3,
        ARRIVAL_MS + 4,
    ]
