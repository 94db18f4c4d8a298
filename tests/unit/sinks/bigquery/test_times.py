"""The partition column: canonical texts, and only those that BigQuery has partitions for."""

import datetime
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.routing import time_parser
from consumer.sinks.bigquery.rows.bad_record import BadRecord
from consumer.sinks.bigquery.rows.times import NEWEST_DAYS, OLDEST_DAYS, PartitionTimes
from tests.unit.builders import ARRIVAL_MS

UTC = datetime.UTC
ARRIVED = datetime.datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=UTC)
DAY_SECONDS = 86_400


def moment_texts(days: int, timespec: str) -> st.SearchStrategy[str]:
    """Times so many days around the usual arrival."""
    around = st.integers(-days * DAY_SECONDS, days * DAY_SECONDS)
    return around.map(
        lambda seconds: (
            (ARRIVED + datetime.timedelta(seconds=seconds)).isoformat(timespec=timespec)[:-6] + "Z"
        )
    )


TIME_VALUES = st.one_of(
    moment_texts(1, "milliseconds"),
    moment_texts(1, "seconds"),
    moment_texts(12 * 365, "milliseconds"),
    st.from_regex(
        r"20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{3})?Z", fullmatch=True
    ),
    st.sampled_from(
        [None, 5, "", "2023-11-14", "2023-11-14T22:13:20.123\n", "2023-11-14T22:13:2\u0663Z", ["x"]]
    ),
)
DAY = datetime.timedelta(days=1)
MICROSECOND = datetime.timedelta(microseconds=1)
ARRIVAL_DAY = ARRIVED.replace(hour=0, minute=0, second=0, microsecond=0)


def times(time_format: str = "iso8601") -> PartitionTimes:
    return PartitionTimes(time_parser(time_format), iso8601=time_format == "iso8601")


@pytest.mark.parametrize(
    "value", ["2023-11-14T22:13:20Z", "2023-11-14T22:13:20.120Z", "2023-11-14T22:13:20.123456Z"]
)
def test_canonical_texts_pass_unchanged(value: str) -> None:
    assert times().own_time(value, ARRIVAL_MS) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("2023-11-14T22:13:20,120Z", "2023-11-14T22:13:20.120Z"),
        ("2023-11-14 22:13:20Z", "2023-11-14T22:13:20.000Z"),
        ("2023-11-14t22:13:20Z", "2023-11-14T22:13:20.000Z"),
        ("2023-11-14T22:13:20z", None),
        ("2023-11-14T22:13:20", "2023-11-14T22:13:20.000Z"),
        ("2023-11-14T22:13:20+00:00", "2023-11-14T22:13:20.000Z"),
        ("2023-11-14T22:13:20-02:00", "2023-11-15T00:13:20.000Z"),
        ("2023-11-14T22:13:20.5Z", "2023-11-14T22:13:20.500Z"),
        ("2023-11-14T22:13:20.123400Z", "2023-11-14T22:13:20.123400Z"),
        ("2023-11-14T22:13:20.123000Z", "2023-11-14T22:13:20.123Z"),
        ("2023-11-14T22:13:20.123456789Z", "2023-11-14T22:13:20.123456Z"),
        ("20231114T221320Z", "2023-11-14T22:13:20.000Z"),
        ("2023-11-14", "2023-11-14T00:00:00.000Z"),
        ("2023-W46-2", "2023-11-14T00:00:00.000Z"),
    ],
)
def test_other_iso_forms_are_put_into_bigquerys_notation(value: str, text: str | None) -> None:
    found = times().own_time(value, ARRIVAL_MS)
    if text is None:
        assert found in (None, "2023-11-14T22:13:20.000Z")
    else:
        assert found == text


@pytest.mark.parametrize(
    ("time_format", "value", "text"),
    [
        ("epoch_s", 1_700_000_000, "2023-11-14T22:13:20.000Z"),
        ("epoch_s", "1700000000.5", "2023-11-14T22:13:20.500Z"),
        ("epoch_ms", 1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
        ("%d.%m.%Y", "14.11.2023", "2023-11-14T00:00:00.000Z"),
        # a text that looks canonical and has the day before the month
        ("%Y-%d-%mT%H:%M:%SZ", "2023-05-11T00:00:00Z", "2023-11-05T00:00:00.000Z"),
    ],
)
def test_other_formats_are_put_into_bigquerys_notation(time_format: str, value: object, text: str) -> None:
    assert times(time_format).own_time(value, ARRIVAL_MS) == text


@pytest.mark.parametrize("value", [None, "", "no time", 5, True, [], {}])
def test_what_is_no_time_has_no_text(value: object) -> None:
    assert times().own_time(value, ARRIVAL_MS) is None


@pytest.mark.parametrize(
    ("moment", "is_in"),
    [
        (ARRIVAL_DAY - OLDEST_DAYS * DAY, True),
        (ARRIVAL_DAY - OLDEST_DAYS * DAY - MICROSECOND, False),
        (ARRIVAL_DAY + (NEWEST_DAYS + 1) * DAY - MICROSECOND, True),
        (ARRIVAL_DAY + (NEWEST_DAYS + 1) * DAY, False),
        (datetime.datetime.min.replace(tzinfo=UTC), False),
        (datetime.datetime.max.replace(tzinfo=UTC), False),
    ],
)
def test_times_without_a_partition_are_out_of_range(moment: datetime.datetime, is_in: bool) -> None:
    text = moment.isoformat().replace("+00:00", "Z")
    if is_in:
        assert times().own_time(text, ARRIVAL_MS) is not None
    else:
        with pytest.raises(BadRecord, match="too far from arrival 2023-11-14"):
            times().own_time(text, ARRIVAL_MS)


def test_the_present_is_the_arrival_so_that_a_replay_decides_alike() -> None:
    a_year_ms = 365 * 86_400_000
    text = "2024-12-01T00:00:00Z"
    with pytest.raises(BadRecord):
        times().own_time(text, ARRIVAL_MS)
    assert times().own_time(text, ARRIVAL_MS + a_year_ms) == text


def test_every_record_is_measured_by_its_own_arrival() -> None:
    partition_times = times()
    assert partition_times.arrival_time(ARRIVAL_MS) == "2023-11-14T22:13:20.123Z"
    assert partition_times.arrival_time(ARRIVAL_MS + 1) == "2023-11-14T22:13:20.124Z"
    assert partition_times.arrival_time(0) == "1970-01-01T00:00:00.000Z"
    with pytest.raises(BadRecord):
        partition_times.own_time("2023-11-14T22:13:20Z", 0)
    assert partition_times.own_time("2023-11-14T22:13:20Z", ARRIVAL_MS) == "2023-11-14T22:13:20Z"


CANONICAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3}|\.\d{6})?Z")


@given(
    st.datetimes(
        min_value=datetime.datetime(2015, 1, 1),  # noqa: DTZ001 - the strategy adds the zone
        max_value=datetime.datetime(2024, 6, 1),  # noqa: DTZ001
        timezones=st.timezones(),
    ),
    st.sampled_from(["T", " "]),
)
def test_every_text_is_canonical_and_means_the_same_time(moment: datetime.datetime, separator: str) -> None:
    text = times().own_time(moment.isoformat(separator), ARRIVAL_MS)
    assert text is not None
    assert CANONICAL.fullmatch(text)
    # read back from its text, since Python calls a time inside of a clock change unequal to everything
    assert datetime.datetime.fromisoformat(text) == datetime.datetime.fromisoformat(moment.isoformat())


SECONDS = st.sampled_from(
    [
        "2023-11-14T22:13:20",
        "2023-11-14T24:00:00",
        "2023-11-31T00:00:00",
        "2013-01-01T00:00:00",
        "2023-W46-2T00:00:00",
    ]
)
FRACTIONS = st.sampled_from(["Z", ".123Z", ".5Z", ",120Z", "z", "+00:00", ""])


@given(st.lists(st.builds("".join, st.tuples(SECONDS, FRACTIONS)), max_size=20), st.booleans())
def test_what_was_read_before_changes_no_answer(values: list[str], a_year_later: bool) -> None:
    used = times()
    for value in values:
        assert answer(used, value, ARRIVAL_MS) == answer(times(), value, ARRIVAL_MS)
    later_ms = ARRIVAL_MS + a_year_later * 400 * 86_400_000
    for value in values:
        assert answer(used, value, later_ms) == answer(times(), value, later_ms)


def answer(partition_times: PartitionTimes, value: str, arrival_ms: int) -> str | None:
    try:
        return partition_times.own_time(value, arrival_ms)
    except BadRecord as error:
        return f"out of range: {error}"


@given(st.lists(st.tuples(TIME_VALUES, st.integers(-2, 2)), max_size=6))
def test_a_record_without_a_time_has_that_of_its_arrival(values: list[tuple[object, int]]) -> None:
    """Whatever was read before, and on whichever day."""
    used = times()
    for value, days in values:
        arrival_ms = ARRIVAL_MS + days * 86_400_000
        try:
            expected = times().own_time(value, arrival_ms) or times().arrival_time(arrival_ms)
        except BadRecord:
            with pytest.raises(BadRecord):
                used.text(value, arrival_ms)
        else:
            assert used.text(value, arrival_ms) == expected


def test_records_of_two_days_are_each_judged_by_their_own_day() -> None:
    newest_of_the_next_day = (ARRIVED + (NEWEST_DAYS + 1) * DAY).isoformat(timespec="milliseconds")[:-6] + "Z"
    used = times()
    with pytest.raises(BadRecord):
        used.own_time(newest_of_the_next_day, ARRIVAL_MS)
    assert used.own_time(newest_of_the_next_day, ARRIVAL_MS + 86_400_000) == newest_of_the_next_day
    with pytest.raises(BadRecord):
        used.own_time(newest_of_the_next_day, ARRIVAL_MS)


def test_the_last_days_that_there_are_bound_times_as_well() -> None:
    last_ms = 253_402_300_799_000
    times = PartitionTimes(time_parser("iso8601"), iso8601=True)
    assert times.bounds(last_ms) == ("9990-01-02", "9999-12-31")
    assert times.own_time("9999-12-31T23:59:59Z", last_ms) == "9999-12-31T23:59:59Z"
