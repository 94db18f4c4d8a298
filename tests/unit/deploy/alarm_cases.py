"""For each alarm: series for which it goes off, and series for which it does not, in promtool's notation, and the same
as values of CloudWatch's metrics."""

from __future__ import annotations

from dataclasses import dataclass

from consumer.settings.table import Backend
from deploy.alarms.table import LATE_SECONDS

type Series = dict[str, str]
"""Values by a metric's name, with those labels in braces that are not common to all; a minute from one to the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`at` is the minute at which somebody looks, between two samples where that tells. `values` are those of the
    alarm's watched metrics, in their order."""

    alarm: str
    goes_off: bool
    at: float
    series: Series
    values: tuple[float | None, ...]
    backend: Backend = "s3"


def _off(alarm: str, at: float, series: Series, *values: float | None, backend: Backend = "s3") -> Case:
    return Case(alarm=alarm, goes_off=True, at=at, series=series, values=values, backend=backend)


def _quiet(alarm: str, at: float, series: Series, *values: float | None, backend: Backend = "s3") -> Case:
    return Case(alarm=alarm, goes_off=False, at=at, series=series, values=values, backend=backend)


def _fresh(seconds: int) -> Series:
    return {"consumer_freshness_seconds": f"{seconds}+0x20"}


def _counts(dead: int, delivered: int) -> Series:
    return {
        "consumer_records_dead_lettered_total": f"0+{dead}x20",
        "consumer_records_delivered_total": f"0+{delivered}x20",
    }


def _state(state: str, held: int = 0) -> Series:
    series = {
        f'consumer_state{{state="{name}"}}': f"{int(name == state)}+0x20"
        for name in ("preparing", "running", "held", "setup-blocked", "stuck")
    }
    return series | {"consumer_shards_held": f"{held}+0x20"}


S3, BIGQUERY = LATE_SECONDS["s3"], LATE_SECONDS["bigquery"]
_TWO_WORKERS = {
    'consumer_freshness_seconds{instance="a"}': "3+0x20",
    'consumer_freshness_seconds{instance="b"}': f"{S3 + 1}+0x20",
}
_ONE_OF_TWO_PREPARES = {
    'consumer_state{instance="a",state="preparing"}': "1+0x20",
    'consumer_state{instance="b",state="preparing"}': "0+0x20",
}
CASES: tuple[Case, ...] = (
    _off("ConsumerLate", 6, _fresh(S3 + 1), S3 + 1),
    _off("ConsumerLate", 6, _fresh(BIGQUERY + 1), BIGQUERY + 1, backend="bigquery"),
    _off("ConsumerLate", 6, _TWO_WORKERS, S3 + 1),
    _quiet("ConsumerLate", 10, _fresh(S3), S3),
    _quiet("ConsumerLate", 10, _fresh(BIGQUERY), BIGQUERY, backend="bigquery"),
    _quiet("ConsumerLate", 4, _fresh(S3 + 1)),
    _off("ConsumerNearRetention", 2, _fresh(43_201), 43_201),
    _quiet("ConsumerNearRetention", 9, _fresh(43_200), 43_200),
    _off("ConsumerSilent", 9, {"consumer_start_time_seconds": "1800000000+0x3 stale"}, None),
    _quiet("ConsumerSilent", 7, {"consumer_start_time_seconds": "1800000000+0x3 stale"}),
    _quiet(
        "ConsumerSilent",
        20,
        {
            'consumer_start_time_seconds{instance="a"}': "1800000000+0x3 stale",
            'consumer_start_time_seconds{instance="b"}': "1800000000+0x20",
        },
        1_800_000_000,
    ),
    _off("ConsumerBlocked", 2, _state("setup-blocked"), 0, 1),
    _off("ConsumerBlocked", 2, _state("held", held=1), 1, 0),
    _off("ConsumerBlocked", 2, _state("running", held=2), 2, 0),
    _quiet("ConsumerBlocked", 9, _state("running"), 0, 0),
    _off("ConsumerDeadLetters", 17, _counts(2, 98), 2, 98),
    _off("ConsumerDeadLetters", 17, _counts(1, 0), 1, 0),
    _quiet("ConsumerDeadLetters", 17, _counts(1, 199), 1, 199),
    _quiet("ConsumerDeadLetters", 17, _counts(0, 0), 0, 0),
    _off("ConsumerRestarts", 15.5, {"consumer_jvm_restarts_total": "0 0 1 2 3 4+0x20"}, 4),
    _quiet("ConsumerRestarts", 15.5, {"consumer_jvm_restarts_total": "0 0 1 2 3+0x20"}, 3),
    _quiet("ConsumerRestarts", 25, {"consumer_jvm_restarts_total": "0 0 1 2 3 4+0x20"}, 0),
    _off("ConsumerPaused", 61, {"consumer_paused": "1+0x70"}, 1),
    _quiet("ConsumerPaused", 59, {"consumer_paused": "1+0x70"}),
    _quiet("ConsumerPaused", 70, {"consumer_paused": "0+0x70"}, 0),
    _off("ConsumerUnread", 3, {"consumer_shards_without_reader": "1+0x20"}, 1, 0),
    _off("ConsumerUnread", 3, {"consumer_shards_without_reader": "0+0x20", **_state("stuck")}, 0, 1),
    _quiet("ConsumerUnread", 2, {"consumer_shards_without_reader": "1+0x20"}),
    _quiet("ConsumerUnread", 9, {"consumer_shards_without_reader": "0+0x20", **_state("running")}, 0, 0),
    _off("ConsumerUnprepared", 10, _state("preparing"), 1),
    _quiet("ConsumerUnprepared", 9, _state("preparing")),
    _quiet("ConsumerUnprepared", 15, _ONE_OF_TWO_PREPARES, 0),
    _off("ConsumerNotConserved", 6, {"consumer_conservation_records": "-3+0x20"}, 0, -3),
    _off("ConsumerNotConserved", 6, {"consumer_conservation_records": "3+0x20"}, 3, 0),
    _quiet("ConsumerNotConserved", 4, {"consumer_conservation_records": "3+0x20"}),
    _quiet("ConsumerNotConserved", 9, {"consumer_conservation_records": "0+0x20"}, 0, 0),
    _off("ConsumerPushFails", 16, {"consumer_metrics_failed_pushes_total": "0+1x20"}, 15),
    _quiet("ConsumerPushFails", 16, {"consumer_metrics_failed_pushes_total": "0 0 1 2 3 4 5+0x20"}, 5),
)
