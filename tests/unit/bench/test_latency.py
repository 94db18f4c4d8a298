import pytest

from tests.bench.latency import Series, holds, latencies, percentile, put_before

PUTS: Series = [(0.0, {"a": 2, "b": 1}), (1.0, {"a": 1}), (2.0, {"b": 2})]
LOOKS: Series = [(0.5, {}), (1.5, {"a": 2}), (2.5, {"a": 3, "b": 1}), (4.0, {"a": 3, "b": 3})]


def taken(since: float, until: float, looks: Series = LOOKS) -> list[float]:
    return sorted(latencies(PUTS, looks, since=since, until=until))


def test_a_record_is_seen_with_the_first_look_that_counts_as_many_in_its_lane() -> None:
    assert taken(0.0, 1.0) == [1.5, 1.5, 2.5]
    assert taken(1.0, 2.0) == [1.5]
    assert taken(2.0, 3.0) == [2.0, 2.0]


def test_only_records_put_within_the_time_are_measured() -> None:
    assert taken(0.0, 9.0) == [1.5, 1.5, 1.5, 2.0, 2.0, 2.5]
    assert taken(3.0, 9.0) == []


def test_a_record_that_no_look_has_seen_has_no_latency() -> None:
    assert taken(0.0, 9.0, LOOKS[:2]) == [1.5, 1.5]
    assert taken(0.0, 9.0, []) == []


def test_a_lane_that_is_late_is_not_hidden_by_another_that_is_ahead() -> None:
    puts: Series = [(0.0, {"a": 1, "b": 1}), (1.0, {"a": 1, "b": 1})]
    looks: Series = [(2.0, {"a": 2}), (9.0, {"a": 2, "b": 2})]
    assert sorted(latencies(puts, looks, since=0.0, until=0.5)) == [2.0, 9.0]


def test_what_was_put_before_a_moment_is_told_by_lane() -> None:
    assert put_before(PUTS, 2.0) == {"a": 3, "b": 1}
    assert put_before(PUTS, 2.1) == {"a": 3, "b": 3}
    assert put_before(PUTS, 0.0) == {}


def test_a_backend_holds_what_was_put_once_every_lane_does() -> None:
    assert holds({"a": 3, "b": 1}, {"a": 3})
    assert not holds({"a": 4}, {"a": 3, "b": 1})


@pytest.mark.parametrize(
    ("percent", "value"), [(0, 1.0), (50, 50.0), (50.5, 51.0), (99, 99.0), (99.5, 100.0), (100, 100.0)]
)
def test_a_percentile_is_a_value_that_occurred(percent: float, value: float) -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert percentile(values, percent) == value
    assert percentile([7.0], percent) == 7.0
