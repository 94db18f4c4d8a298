"""What of a range can be compared: whole spans of s3.partition that both applications have passed."""

from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.daemon.prepare.distances import Distance
from consumer.daemon.report.leases import Lease
from consumer.domain.routing import partition_path
from consumer.operate.errors import Refused
from consumer.operate.reconcile.progress import Course, Reached
from consumer.operate.reconcile.spans import DAY_MS, HOUR_MS, MINUTE_MS, Partition, Scope, scope_of, spans
from consumer.settings import Settings, load

NOON = 1_769_860_800_000
HOURLY = Partition("dt=%Y-%m-%d/hour=%H")


@pytest.mark.parametrize(
    ("template", "span_ms"),
    [
        ("dt=%Y-%m-%d/hour=%H", HOUR_MS),
        ("%Y/%m/%d/%H/%M", HOUR_MS),
        ("%Y/%j", DAY_MS),
        ("dt=%Y-%m-%d", DAY_MS),
    ],
)
def test_an_hour_or_a_day_is_what_a_key_tells(template: str, span_ms: int) -> None:
    assert Partition(template).span_ms == span_ms


@pytest.mark.parametrize("template", ["logs", "%H", "%Y-%m", "%m-%d", "%Y/%d"])
def test_paths_that_do_not_tell_the_day_are_refused(template: str) -> None:
    with pytest.raises(Refused, match="does not tell of which day"):
        Partition(template)


ZONES = [UTC, ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata"), ZoneInfo("America/Santiago")]


@given(
    st.sampled_from(["dt=%Y-%m-%d/hour=%H", "%Y%m%d/%H/%M", "%Y/%j", "%Y/%Y-%m-%d"]),
    st.sampled_from(ZONES),
    st.integers(0, 4 * 10**12),
    st.integers(1, 30 * HOUR_MS),
    st.data(),
)
def test_every_object_of_a_range_has_one_of_its_paths_which_tells_its_span(
    template: str, zone: tzinfo, begin_ms: int, length_ms: int, data: st.DataObject
) -> None:
    partition = Partition(template, zone)
    time_ms = data.draw(st.integers(begin_ms, begin_ms + length_ms - 1))
    path = partition_path(template, time_ms, zone).rstrip("/")
    assert path in partition.expanded(template, begin_ms, begin_ms + length_ms)
    span = partition.span_of(path)
    assert span == partition.floor(time_ms)
    assert span <= time_ms < partition.after(span)
    assert partition.ceil(span) == span


@given(st.sampled_from(ZONES), st.sampled_from(["%Y-%m-%d", "%Y-%m-%d/%H"]), st.integers(0, 4 * 10**12))
def test_spans_follow_each_other_without_a_gap(zone: tzinfo, template: str, begin_ms: int) -> None:
    partition = Partition(template, zone)
    found = list(spans(partition, begin_ms, begin_ms + 3 * DAY_MS))
    assert found[0] <= begin_ms
    assert [partition.after(span) for span in found[:-1]] == found[1:]
    assert all(partition.floor(partition.after(span) - 1) == span for span in found)


def test_fields_of_records_may_stand_in_a_path() -> None:
    partition = Partition("type={event|none}/{shard}/dt=%Y-%m-%d/hour=%H")
    assert partition.has_fields
    path = "type=Free%20Kick/shardId-000000000000/dt=2026-01-31/hour=12"
    assert partition.span_of(path) == NOON
    assert partition.span_of(path.replace("dt=", "at=")) is None
    assert partition.span_of(path.replace("01-31", "02-31")) is None
    assert partition.span_of(path.replace("hour=12", "hour=25")) is None


def scope(begin_ms: int, end_ms: int, passed_ms: int, **changes: bool) -> Scope | None:
    given = {"nothing_left": False, "by_arrival": False, "by_record": False} | changes
    return scope_of(
        HOURLY,
        begin_ms=begin_ms,
        end_ms=end_ms,
        passed_ms=passed_ms,
        now_ms=NOON + 10 * MINUTE_MS,
        late_ms=HOUR_MS,
        **given,
    )


def test_whole_hours_around_the_range_are_compared() -> None:
    found = scope(NOON - 5 * HOUR_MS + 7, NOON - 3 * HOUR_MS - 7, NOON)
    assert found is not None
    assert (found.begin_ms, found.end_ms, found.is_open) == (NOON - 5 * HOUR_MS, NOON - 3 * HOUR_MS, False)
    assert found.arrivals == (NOON - 6 * HOUR_MS, NOON - 2 * HOUR_MS)


def test_what_one_has_not_passed_is_left_out() -> None:
    late = scope(NOON - 5 * HOUR_MS, NOON, NOON - 1)
    assert late is not None
    assert late.end_ms == NOON - 2 * HOUR_MS  # an hour late, and the hour before is not over
    exact = scope(NOON - 5 * HOUR_MS, NOON, NOON - 1, by_arrival=True)
    assert exact is not None
    assert exact.end_ms == NOON - HOUR_MS
    assert exact.arrivals == (exact.begin_ms, exact.end_ms)
    assert scope(NOON - 2 * HOUR_MS, NOON, NOON - 1) is None


def test_an_hour_that_is_not_over_is_compared_once_nothing_is_left() -> None:
    found = scope(NOON - HOUR_MS, NOON + 5, NOON + 9, nothing_left=True)
    assert found is not None
    assert (found.end_ms, found.is_open) == (NOON + HOUR_MS, True)


def test_a_record_is_of_its_own_time_unless_arrivals_are_known() -> None:
    by_time = Scope(partition=HOURLY, begin_ms=0, end_ms=HOUR_MS, arrivals=(0, HOUR_MS), by_arrival=False)
    by_arrival = Scope(partition=HOURLY, begin_ms=0, end_ms=HOUR_MS, arrivals=(0, HOUR_MS), by_arrival=True)
    assert by_time.span_of(5, 2 * HOUR_MS) == 0
    assert by_arrival.span_of(5, 2 * HOUR_MS) is None
    assert by_time.span_of(None, 2 * HOUR_MS) is None
    assert by_time.span_of(-1, 5) is None
    assert by_arrival.span_of(-1, 5) == 0


SETTINGS = [
    load("s3", overrides={"streamName": "logs", "applicationName": f"app-{n}", "s3.bucket": "bucket"})
    for n in (1, 2)
]


def reached(*distances: Distance, leases: bool = True) -> Reached:
    """Of two applications, each with a shard at such a distance."""
    each = {settings.text("applicationName"): one for settings, one in zip(SETTINGS, distances, strict=True)}

    def leases_of(settings: Settings) -> list[Lease]:
        return [Lease(shard="shardId-1", owner=None, counter=1, checkpoint="1")] if leases else []

    return Course(
        SETTINGS,
        leases_of=lambda settings: lambda: leases_of(settings),
        distances_of=lambda settings: (
            lambda found: {lease.shard: each[settings.text("applicationName")] for lease in found}
        ),
    ).reached(NOON)


GRACE_MS = 10_000


def test_both_have_passed_what_arrived_before_the_first_record_that_one_has_not() -> None:
    found = reached(Distance(next_arrived_at=NOON / 1000 - 60), Distance(next_arrived_at=NOON / 1000 - 30))
    assert found.passed_ms == NOON - 60_000 - GRACE_MS
    assert found.slowest == "app-1 shardId-1"
    assert not found.nothing_left


def test_nothing_is_left_where_no_record_is_past_any_checkpoint() -> None:
    found = reached(Distance(behind_latest_seconds=0.0), Distance())
    assert (found.passed_ms, found.nothing_left) == (NOON, True)
    assert found.checkpoints == {("app-1", "shardId-1", "1"), ("app-2", "shardId-1", "1")}


def test_one_that_is_behind_by_an_unknown_record_has_passed_what_is_older() -> None:
    fault = "Kinesis answers with no record, though there are more"
    found = reached(Distance(behind_latest_seconds=90.0, fault=fault), Distance())
    assert (found.passed_ms, found.nothing_left) == (NOON - 90_000 - GRACE_MS, False)


def test_an_application_without_checkpoints_is_refused() -> None:
    with pytest.raises(Refused, match="applicationName app-1 has no checkpoints"):
        reached(Distance(), Distance(), leases=False)


def test_a_checkpoint_that_cannot_be_followed_is_refused() -> None:
    with pytest.raises(Refused, match="how far app-2 shardId-1 has come: begins at LATEST"):
        reached(Distance(), Distance(fault="begins at LATEST"))
