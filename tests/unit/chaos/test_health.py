"""What the workers should have said while nobody could read."""

from typing import Any, cast

import pytest

from tests.chaos.health import ILL_WITHIN_SECONDS, WELL_WITHIN_SECONDS, HealthWatch, Look

ILL, WELL = ILL_WITHIN_SECONDS, WELL_WITHIN_SECONDS


def faults(looks: list[Look], began: float, ended: float) -> list[str]:
    watch = HealthWatch(cast(Any, {}), lambda: 0.0)
    watch.looks["s3"] = looks
    watch.looks["bigquery"] = [(began, False), (ended, True)]
    return list(watch.faults("denied", began, ended))


def test_ill_in_time_and_well_in_time_is_in_order() -> None:
    assert faults([(0, True), (100 + ILL, False), (140 + WELL, True)], 100, 140) == []


@pytest.mark.parametrize("looks", [[(0, False), (141, True)], [(101 + ILL, False), (141, True)]])
def test_a_long_fault_that_does_not_show_in_time_is_told(looks: list[Look]) -> None:
    (line,) = faults(looks, 100, 140)
    assert line.startswith("s3: denied of 40 s: ")
    assert "ill" in line


def test_a_short_fault_need_not_show() -> None:
    assert faults([(0, True), (130, True)], 100, 100 + ILL) == []


@pytest.mark.parametrize("looks", [[(110, False)], [(110, False), (141 + WELL, True)]])
def test_ill_health_that_outlasts_the_fault_is_told(looks: list[Look]) -> None:
    (line,) = faults(looks, 100, 140)
    assert line.startswith("s3: denied: ")
    assert line.endswith("its end")


def test_nothing_follows_from_a_backend_that_was_disturbed() -> None:
    watch = HealthWatch(cast(Any, {}), lambda: 0.0)
    watch.looks["s3"] = watch.looks["bigquery"] = [(0, True)]
    assert {line.split(":")[0] for line in watch.faults("denied", 100, 140, {"s3"})} == {"bigquery"}
