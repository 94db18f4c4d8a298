"""What counts as isolated, and as an outage that was come through."""

from dataclasses import replace

import pytest

from tests.chaos.isolation import Isolation, Outage, Phase

CALM = Phase(seconds=60, records_per_second=200, mean_age_seconds=1, max_age_seconds=4)
OUTAGE = Outage(
    seconds=300, refused_requests=50, memory_before=1, memory_peak=2, ended=0, resumed_seconds=9.9
)
ISOLATION = Isolation(down="s3", observed="bigquery", before=CALM, during=CALM, after=CALM, outage=OUTAGE)


def test_an_outage_that_the_other_backend_does_not_feel_holds() -> None:
    assert ISOLATION.holds


@pytest.mark.parametrize(
    "during", [replace(CALM, records_per_second=189), replace(CALM, mean_age_seconds=4.1)]
)
def test_fewer_records_or_older_ones_do_not(during: Phase) -> None:
    assert not replace(ISOLATION, during=during).holds


@pytest.mark.parametrize(
    "outage",
    [replace(OUTAGE, ended=1), replace(OUTAGE, resumed_seconds=10.1), replace(OUTAGE, resumed_seconds=None)],
)
def test_nor_does_an_outage_that_ends_processes_or_lasts_on(outage: Outage) -> None:
    assert not replace(ISOLATION, outage=outage).holds
