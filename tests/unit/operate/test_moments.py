"""Times as an operator writes them."""

import argparse
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.operate.errors import Refused
from consumer.operate.moments import moment, past, span, written

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2h", NOW - timedelta(hours=2)),
        ("3d", NOW - timedelta(days=3)),
        ("90s", NOW - timedelta(seconds=90)),
        ("0m", NOW),
        ("1w", NOW - timedelta(days=7)),
        ("2026-01-31T12:00Z", NOW),
        ("2026-01-31T13:00+01:00", NOW),
        ("2026-01-31 11:00", NOW - timedelta(hours=1)),
        ("2026-01-31", NOW - timedelta(hours=12)),
    ],
)
def test_a_time_is_iso_8601_or_how_long_ago(text: str, meant: datetime) -> None:
    assert past("--since", moment(text), NOW) == meant


@pytest.mark.parametrize("text", ["", "yesterday", "2 h", "h", "-2h", "2y", "2026-13-01", "²h"])
def test_anything_else_is_wrong_usage(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no time"):
        moment(text)


def test_a_time_before_the_calendar_is_refused() -> None:
    with pytest.raises(Refused):
        past("--since", moment("999999999w"[1:]), NOW)


@given(st.timedeltas(min_value=timedelta(days=-9000), max_value=timedelta(days=9000)))
def test_only_a_time_in_the_future_is_refused(distance: timedelta) -> None:
    time = NOW + distance
    if time <= NOW:
        assert past("--until", moment(time.isoformat()), NOW) == time
        return
    with pytest.raises(Refused, match=rf"--until: {written(time)} is in the future".replace("+", r"\+")):
        past("--until", moment(time.isoformat()), NOW)


def test_an_empty_range_is_refused() -> None:
    assert span(moment("2h"), moment("1h"), NOW) == (NOW - timedelta(hours=2), NOW - timedelta(hours=1))
    assert span(None, None, NOW) == (None, None)
    for since, until in (("1h", "2h"), ("1h", "1h")):
        with pytest.raises(Refused, match="empty range"):
            span(moment(since), moment(until), NOW)
