"""Times of records: what is read as one, and what is not."""

import datetime
import json
import math
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.routing import MAGNITUDES, epoch_ms, time_parser
from consumer.settings import PROJECT_ROOT
from consumer.sinks.json.fields import FieldReader
from consumer.sinks.json.rule import BIGQUERY
from tests.unit.times_cases import TIME_CASES, TimeCase

UTC = datetime.UTC


def at(
    year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0, microsecond: int = 0
) -> datetime.datetime:
    return datetime.datetime(year, month, day, hour, minute, second, microsecond, tzinfo=UTC)


FIELDS = FieldReader(key_field="k", time_field="t", limits=BIGQUERY)


def shown(moment: datetime.datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(" ", "microseconds").removesuffix("+00:00")


@pytest.mark.parametrize(
    "case", TIME_CASES, ids=lambda case: f"{case.time_format} {ascii(case.spelled)[:60]}"
)
def test_what_is_read_as_a_time_and_as_which(case: TimeCase) -> None:
    [fields], _ = FIELDS.read([f'{{"k":"a","t":{case.spelled}}}'.encode()])
    moment = None if fields is None else time_parser(case.time_format)(fields.time)
    assert shown(moment) == case.moment
    assert moment is None or moment.tzinfo is UTC


def test_the_page_shows_the_cases_that_it_should() -> None:
    page = (PROJECT_ROOT / "docs" / "times.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?:`(\w+)` \| )?`(.+)` \| (no time|\d{4}-.+) \|$", page, re.MULTILINE)
    found = [(time_format or "iso8601", spelled, moment) for time_format, spelled, moment in rows]
    wanted = [case for case in TIME_CASES if case.in_docs]
    assert found == [(case.time_format, case.spelled, case.moment or "no time") for case in wanted]


def test_the_page_tells_the_unit_by_the_digits() -> None:
    page = (PROJECT_ROOT / "docs" / "times.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?:up to |\d+ to )(\d+) \| (\w+) \|", page, re.MULTILINE)
    units = {"seconds": 0, "milliseconds": 3, "microseconds": 6}
    assert tuple((int(digits), units[unit]) for digits, unit in rows) == MAGNITUDES


@pytest.mark.parametrize(
    "value", [None, [], {}, "\ud800", "2023-11-14\ud80022:13", "9" * 5000, 10**5000, -(10**400)], ids=range(8)
)
@pytest.mark.parametrize("time_format", ["iso8601", "epoch", "epoch_ns"])
def test_what_no_json_of_a_record_spells_is_no_time(time_format: str, value: object) -> None:
    assert time_parser(time_format)(value) is None


@pytest.fixture
def far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "XYZ-9")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("far_from_utc")
def test_the_name_of_the_hosts_own_zone_is_no_time() -> None:
    assert time.tzname[0] == "XYZ"
    assert time_parser("%Y-%m-%d %Z")("2026-11-20 XYZ") is None
    assert time_parser("%Y-%m-%d %Z")("2026-11-20 UTC") == at(2026, 11, 20)


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
any_format = st.sampled_from(
    [
        *("iso8601", "epoch", "epoch_s", "epoch_ms", "epoch_us", "epoch_ns"),
        "%Y-%m-%d",
        "%Y %U %w",
        "%H:%M %z %Y",
    ]
)


@given(json_values, any_format)
def test_no_value_is_too_strange_to_be_asked_for_its_time(value: object, time_format: str) -> None:
    moment = time_parser(time_format)(value)
    assert moment is None or moment.utcoffset() == datetime.timedelta(0)


@given(st.datetimes(timezones=st.just(UTC)))
def test_every_time_is_read_back_from_its_iso_text(moment: datetime.datetime) -> None:
    assert time_parser("iso8601")(moment.isoformat()) == moment
    assert time_parser("iso8601")(f"{moment:%Y-%m-%d %H:%M:%S.%f} UTC".rjust(30, "0")) == moment


SINCE_1973 = st.datetimes(
    datetime.datetime(1973, 3, 4),  # noqa: DTZ001 - the strategy adds the zone
    datetime.datetime(2262, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)


@given(SINCE_1973, st.sampled_from([("epoch_s", 10**6), ("epoch_ms", 10**3), ("epoch_us", 1)]), st.booleans())
def test_a_number_of_any_unit_is_read_back(
    moment: datetime.datetime, unit: tuple[str, int], in_a_text: bool
) -> None:
    time_format, micros_of_unit = unit
    number = (moment - at(1970, 1, 1)) // datetime.timedelta(microseconds=micros_of_unit)
    value: object = str(number) if in_a_text else number
    wanted = at(1970, 1, 1) + datetime.timedelta(microseconds=number * micros_of_unit)
    assert time_parser(time_format)(value) == time_parser("epoch")(value) == wanted


@given(SINCE_1973, st.integers(0, 999), st.booleans())
def test_nanoseconds_are_cut_off(moment: datetime.datetime, nanos: int, in_a_text: bool) -> None:
    number = (moment - at(1970, 1, 1)) // datetime.timedelta(microseconds=1) * 1000 + nanos
    value: object = str(number) if in_a_text else number
    assert time_parser("epoch_ns")(value) == time_parser("epoch")(value) == moment


@given(st.datetimes(timezones=st.just(UTC)), st.characters())
def test_day_and_clock_stand_apart_by_one_of_three_characters(
    moment: datetime.datetime, between: str
) -> None:
    text = moment.isoformat().replace("T", between)
    assert time_parser("iso8601")(text) == (moment if between in ("T", "t", " ") else None)


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
