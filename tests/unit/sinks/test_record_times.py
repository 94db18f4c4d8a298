"""A record's own time is the same with the C library and without it."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.columns import Records
from consumer.native import library
from consumer.sinks.s3.record_times import RecordTimes
from tests.unit.builders import ARRIVAL_MS, record

texts = st.one_of(
    st.datetimes(timezones=st.just(datetime.UTC)).map(lambda time: time.isoformat().replace("+00:00", "Z")),
    st.datetimes().map(lambda time: f"{time.isoformat(timespec='milliseconds')}Z"),
    st.sampled_from(
        ["2024-02-30T00:00:00Z", "2024-02-29T24:00:00Z", "2023-11-14 22:13:20+01:00", "0001-01-01T00:00:00Z"]
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
