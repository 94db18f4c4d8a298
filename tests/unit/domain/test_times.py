"""Times of records: what is read as one, and what is not."""

import datetime
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.routing import epoch_ms, time_parser

UTC = datetime.UTC


def at(
    year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0, microsecond: int = 0
) -> datetime.datetime:
    return datetime.datetime(year, month, day, hour, minute, second, microsecond, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2023-11-14T22:13:20Z", at(2023, 11, 14, 22, 13, 20)),
        ("2023-11-14T22:13:20.5Z", at(2023, 11, 14, 22, 13, 20, 500_000)),
        ("2023-11-14T22:13:20.123456789Z", at(2023, 11, 14, 22, 13, 20, 123_456)),
        ("2023-11-14T22:13:20,123Z", at(2023, 11, 14, 22, 13, 20, 123_000)),
        ("2023-11-14 22:13:20", at(2023, 11, 14, 22, 13, 20)),
        ("2023-11-14T22:13:20+05:30", at(2023, 11, 14, 16, 43, 20)),
        ("20231114T221320Z", at(2023, 11, 14, 22, 13, 20)),
        ("2023-11-14", at(2023, 11, 14)),
        ("0001-01-01T00:00:00Z", at(1, 1, 1)),
        ("9999-12-31T23:59:59.999999Z", at(9999, 12, 31, 23, 59, 59, 999_999)),
        ("0001-01-01T00:00:00+01:00", None),
        ("9999-12-31T23:59:59-01:00", None),
        ("2023-11-14T22:13:20+99:00", None),
        ("2023-02-30T00:00:00Z", None),
        ("2023-11-14T22:13:60Z", None),
        ("yesterday", None),
        ("", None),
        ("\u0662\u0660\u0662\u0663-01-01", None),
        ("\ud800", None),
        ("2023-11-14\ud80022:13", at(2023, 11, 14, 22, 13)),
        (1_700_000_000, None),
        (True, None),
        (None, None),
        ([], None),
        ({}, None),
    ],
)
def test_iso8601(value: object, moment: datetime.datetime | None) -> None:
    assert time_parser("iso8601")(value) == moment


SECONDS = [
    (0, at(1970, 1, 1)),
    (1_700_000_000, at(2023, 11, 14, 22, 13, 20)),
    (1_700_000_000.25, at(2023, 11, 14, 22, 13, 20, 250_000)),
    (-1, at(1969, 12, 31, 23, 59, 59)),
    ("1700000000", at(2023, 11, 14, 22, 13, 20)),
    ("1700000000.5", at(2023, 11, 14, 22, 13, 20, 500_000)),
    ("-1", at(1969, 12, 31, 23, 59, 59)),
    (-62_135_596_800, at(1, 1, 1)),
    (253_402_300_799, at(9999, 12, 31, 23, 59, 59)),
    (-62_135_596_801, None),
    (253_402_300_800, None),
    (253_402_300_799.999_999_9, None),
    (10**30, None),
    (10**400, None),
    (1e308, None),
    (math.nan, None),
    (math.inf, None),
    (-math.inf, None),
    ("nan", None),
    ("inf", None),
    ("1_000", None),
    (" 5", None),
    ("5\n", None),
    ("\u0665", None),
    ("0x10", None),
    ("9" * 5000, None),
    ("2023-11-14", None),
    ("", None),
    (True, None),
    (False, None),
    (None, None),
    ([1], None),
]


@pytest.mark.parametrize(("value", "moment"), SECONDS)
def test_epoch_seconds(value: object, moment: datetime.datetime | None) -> None:
    assert time_parser("epoch_s")(value) == moment


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        (1_700_000_000_123, at(2023, 11, 14, 22, 13, 20, 123_000)),
        ("1700000000123", at(2023, 11, 14, 22, 13, 20, 123_000)),
        (1_700_000_000_123.5, at(2023, 11, 14, 22, 13, 20, 123_500)),
        (True, None),
        (10**400, None),
        (math.nan, None),
        ("soon", None),
    ],
)
def test_epoch_milliseconds(value: object, moment: datetime.datetime | None) -> None:
    assert time_parser("epoch_ms")(value) == moment


@pytest.mark.parametrize(
    ("pattern", "value", "moment"),
    [
        ("%d/%m/%Y %H:%M:%S", "14/11/2023 22:13:20", at(2023, 11, 14, 22, 13, 20)),
        ("%d/%m/%Y %H:%M:%S", "11/14/2023 22:13:20", None),
        ("%Y-%m-%dT%H:%M:%S%z", "2023-11-14T22:13:20+0530", at(2023, 11, 14, 16, 43, 20)),
        ("%Y-%m-%dT%H:%M:%S%z", "9999-12-31T23:59:59-0100", None),
        ("%Y-%m-%dT%H:%M:%S.%fZ", "2023-11-14T22:13:20.5Z", at(2023, 11, 14, 22, 13, 20, 500_000)),
        ("%Y", "2023 and more", None),
        ("%Y", "2023\ud800", None),
        ("%Y", 2023, None),
        ("%Y", True, None),
        ("%Y", None, None),
        ("%G %V %u", "9999 53 7", None),
        ("%Y %U %w", "0001 00 0", None),
    ],
)
def test_strptime_patterns(pattern: str, value: object, moment: datetime.datetime | None) -> None:
    assert time_parser(pattern)(value) == moment


@pytest.mark.parametrize("pattern", ["%Q", "%Y-%", "%Y %d %d", "%s", "%Y\ud800"])
def test_a_pattern_that_can_read_nothing_is_refused_before_the_first_record(pattern: str) -> None:
    with pytest.raises(ValueError):
        time_parser(pattern)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
any_format = st.sampled_from(["iso8601", "epoch_s", "epoch_ms", "%Y-%m-%d", "%Y %U %w", "%H:%M %z %Y"])


@given(json_values, any_format)
def test_no_value_is_too_strange_to_be_asked_for_its_time(value: object, time_format: str) -> None:
    moment = time_parser(time_format)(value)
    assert moment is None or moment.utcoffset() == datetime.timedelta(0)


@given(st.datetimes(timezones=st.just(UTC)))
def test_every_time_is_read_back_from_its_iso_text(moment: datetime.datetime) -> None:
    assert time_parser("iso8601")(moment.isoformat()) == moment


@given(st.datetimes(timezones=st.just(UTC)))
def test_milliseconds_of_any_time_are_whole_and_rounded_down(moment: datetime.datetime) -> None:
    millis = epoch_ms(moment)
    read_back = datetime.datetime(1970, 1, 1, tzinfo=UTC) + datetime.timedelta(milliseconds=millis)
    assert datetime.timedelta(0) <= moment - read_back < datetime.timedelta(milliseconds=1)


def test_the_last_microsecond_of_the_calendar_stays_in_it() -> None:
    last: Any = datetime.datetime.max.replace(tzinfo=UTC)
    assert epoch_ms(last) == 253_402_300_799_999
    assert epoch_ms(at(1, 1, 1)) == -62_135_596_800_000
    assert json.dumps(epoch_ms(last)) == "253402300799999"
