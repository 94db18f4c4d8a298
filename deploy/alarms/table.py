"""The one table of alarms: when each goes off, by PromQL and by CloudWatch's metrics, and how urgent it is.

Rules for Prometheus and alarms of CloudWatch are made from it; docs/runbook.md has a section for each. Thresholds
follow from the settings' defaults.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from consumer.daemon.report.health import State
from consumer.settings import BACKENDS, PROJECT_ROOT, Backend, Settings, load

type Severity = Literal["page", "ticket"]
type Statistic = Literal["Maximum", "Minimum", "Sum"]

BY = "by (application, backend)"
RETENTION_SECONDS = 24 * 3600
"""Of a stream whose retention nobody has raised."""
HALF_OF_RETENTION_SECONDS = RETENTION_SECONDS // 2
WINDOWS = 5
LOOK_BACK = "7d"
"""For how long Prometheus misses an application that has gone."""


def _late_seconds(settings: Settings) -> int:
    """Freshness that is late: several windows, and never less than what health waits for before it complains."""
    window = settings.seconds("chunk.window")
    unhealthy = window + settings.seconds("chunk.grace") + settings.seconds("hold.unhealthy_after")
    return round(max(WINDOWS * window, unhealthy))


LATE_SECONDS: dict[Backend, int] = {
    backend: _late_seconds(load(backend, file=PROJECT_ROOT / "properties" / f"{backend}.properties"))
    for backend in BACKENDS
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What an expression looks at: series that `matchers` pick, with the thresholds that hold for them. A `named`
    application is one that has to be there."""

    matchers: tuple[str, ...] = ()
    late_seconds: str = ""
    half_of_retention_seconds: str = str(HALF_OF_RETENTION_SECONDS)
    named: bool = False

    def of(self, metric: str, *more: str) -> str:
        """A selector."""
        matchers = ", ".join((*self.matchers, *more))
        return f"{metric}{{{matchers}}}" if matchers else metric


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A metric of the embedded metric format, summed up over a period and over all workers."""

    metric: str
    statistic: Statistic = "Maximum"
    state: State | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Classic:
    """CloudWatch's form. One metric stands for itself; of several, `expression` names them m1, m2 and so on.

    `threshold` is what the value has to exceed, or to fall below, or a name for it of the template's. A missing sample
    is `missing`: notBreaching, or breaching where it is what the alarm is about.
    """

    watched: tuple[Watched, ...]
    threshold: float | Literal["Late", "HalfOfRetention"] = 0
    comparison: Literal["GreaterThanThreshold", "LessThanThreshold"] = "GreaterThanThreshold"
    expression: str | None = None
    period_seconds: int = 60
    periods: int
    missing: Literal["breaching", "notBreaching"] = "notBreaching"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One row. `means` is a sentence, `promql` gives the series for which it holds, for `minutes` before the alarm
    goes off; `of_backend` says whether its threshold depends on the backend."""

    name: str
    severity: Severity
    means: str
    promql: Callable[[Scope], str]
    minutes: int
    classic: Classic
    of_backend: bool = False

    @property
    def anchor(self) -> str:
        """Of its section in docs/runbook.md."""
        return self.name.lower()


def _late(scope: Scope) -> str:
    return f"max {BY} ({scope.of('consumer_freshness_seconds')}) > {scope.late_seconds}"


def _half_of_retention(scope: Scope) -> str:
    return f"max {BY} ({scope.of('consumer_freshness_seconds')}) > {scope.half_of_retention_seconds}"


def _no_sample(scope: Scope) -> str:
    metric = scope.of("consumer_start_time_seconds")
    if scope.named:
        return f"absent({metric})"
    return f"group {BY} (last_over_time({metric}[{LOOK_BACK}])) unless group {BY} ({metric})"


def _blocked(scope: Scope) -> str:
    blocked = scope.of("consumer_state", f'state="{State.SETUP_BLOCKED}"')
    return f"max {BY} ({scope.of('consumer_shards_held')}) > 0 or max {BY} ({blocked}) > 0"


def _unread(scope: Scope) -> str:
    """A KCL that may read nothing leaves shards that nobody knows of, so their number alone does not tell."""
    stuck = scope.of("consumer_state", f'state="{State.STUCK}"')
    return f"max {BY} ({scope.of('consumer_shards_without_reader')}) > 0 or max {BY} ({stuck}) > 0"


def _unprepared(scope: Scope) -> str:
    preparing = scope.of("consumer_state", f'state="{State.PREPARING}"')
    return f"min {BY} ({preparing}) > 0"


def _dead_letters(scope: Scope) -> str:
    dead = f"sum {BY} (rate({scope.of('consumer_records_dead_lettered_total')}[15m]))"
    delivered = f"sum {BY} (rate({scope.of('consumer_records_delivered_total')}[15m]))"
    return f"{dead} / ({dead} + {delivered}) > 0.01"


def _grows(metric: str, by_more_than: int) -> Callable[[Scope], str]:
    """Prometheus extrapolates an increase to the whole range: 3 may read as 3.2, and 4 as no less than 4."""
    return lambda scope: f"sum {BY} (increase({scope.of(metric)}[15m])) >= {by_more_than + 1}"


def _above_zero(metric: str) -> Callable[[Scope], str]:
    return lambda scope: f"max {BY} ({scope.of(metric)}) > 0"


def _not_conserved(scope: Scope) -> str:
    return f"max {BY} (abs({scope.of('consumer_conservation_records')})) > 0"


LATE = Alarm(
    name="ConsumerLate",
    severity="ticket",
    means=f"The oldest record that is not delivered is older than {WINDOWS} x chunk.window and than what makes a"
    " shard unhealthy.",
    promql=_late,
    minutes=5,
    of_backend=True,
    classic=Classic(watched=(Watched(metric="consumer_freshness_seconds"),), threshold="Late", periods=5),
)

ALARMS: tuple[Alarm, ...] = (
    LATE,
    Alarm(
        name="ConsumerNearRetention",
        severity="page",
        means="The oldest record that is not delivered is older than half of the stream's retention: when that ends,"
        " records are lost.",
        promql=_half_of_retention,
        minutes=1,
        classic=Classic(
            watched=(Watched(metric="consumer_freshness_seconds"),), threshold="HalfOfRetention", periods=1
        ),
    ),
    Alarm(
        name="ConsumerSilent",
        severity="page",
        means="No worker of the application has sent a sample: none runs, or none is seen.",
        promql=_no_sample,
        minutes=5,
        classic=Classic(
            watched=(Watched(metric="consumer_start_time_seconds"),),
            threshold=1,
            comparison="LessThanThreshold",
            periods=5,
            missing="breaching",
        ),
    ),
    Alarm(
        name="ConsumerBlocked",
        severity="page",
        means="A shard is held, since too many of its records would become dead letters (deadletter.max_ratio), or the"
        " stream, a bucket or a table cannot be used: nothing goes on until someone acts.",
        promql=_blocked,
        minutes=1,
        classic=Classic(
            watched=(
                Watched(metric="consumer_shards_held"),
                Watched(metric="consumer_state", state=State.SETUP_BLOCKED),
            ),
            expression="m1 + m2",
            periods=1,
        ),
    ),
    Alarm(
        name="ConsumerDeadLetters",
        severity="ticket",
        means="More than 1 % of the records of the last 15 minutes became dead letters.",
        promql=_dead_letters,
        minutes=1,
        classic=Classic(
            watched=(
                Watched(metric="consumer_records_dead_lettered_total", statistic="Sum"),
                Watched(metric="consumer_records_delivered_total", statistic="Sum"),
            ),
            expression="IF(m1 > 0, m1 / (m1 + m2), 0)",
            threshold=0.01,
            period_seconds=900,
            periods=1,
        ),
    ),
    Alarm(
        name="ConsumerRestarts",
        severity="ticket",
        means="The JVM has ended by itself more than 3 times in 15 minutes.",
        promql=_grows("consumer_jvm_restarts_total", 3),
        minutes=0,
        classic=Classic(
            watched=(Watched(metric="consumer_jvm_restarts_total", statistic="Sum"),),
            threshold=3,
            period_seconds=900,
            periods=1,
        ),
    ),
    Alarm(
        name="ConsumerPaused",
        severity="ticket",
        means="The application has been paused for more than an hour.",
        promql=_above_zero("consumer_paused"),
        minutes=60,
        classic=Classic(watched=(Watched(metric="consumer_paused"),), period_seconds=300, periods=12),
    ),
    Alarm(
        name="ConsumerUnread",
        severity="page",
        means="A shard of the stream has no reader, the process that reads it is stuck, or the KCL may read nothing.",
        promql=_unread,
        minutes=3,
        classic=Classic(
            watched=(
                Watched(metric="consumer_shards_without_reader"),
                Watched(metric="consumer_state", state=State.STUCK),
            ),
            expression="m1 + m2",
            periods=3,
        ),
    ),
    Alarm(
        name="ConsumerUnprepared",
        severity="page",
        means="No worker has got past its preparation for 10 minutes: the stream, a bucket or a table does not answer"
        " or is not ready, and nothing is read.",
        promql=_unprepared,
        minutes=10,
        classic=Classic(
            watched=(Watched(metric="consumer_state", statistic="Minimum", state=State.PREPARING),),
            periods=10,
        ),
    ),
    Alarm(
        name="ConsumerNotConserved",
        severity="page",
        means="Records read are not all delivered, dead-lettered, in flight or left to the next owner: a fault of the"
        " daemon.",
        promql=_not_conserved,
        minutes=5,
        classic=Classic(
            watched=(
                Watched(metric="consumer_conservation_records"),
                Watched(metric="consumer_conservation_records", statistic="Minimum"),
            ),
            expression="ABS(m1) + ABS(m2)",
            periods=5,
        ),
    ),
    Alarm(
        name="ConsumerPushFails",
        severity="ticket",
        means="More than 5 pushes to metrics.otlp_endpoint have failed in 15 minutes, of 15 at the default"
        " metrics.interval.",
        promql=_grows("consumer_metrics_failed_pushes_total", 5),
        minutes=0,
        classic=Classic(
            watched=(Watched(metric="consumer_metrics_failed_pushes_total", statistic="Sum"),),
            threshold=5,
            period_seconds=900,
            periods=1,
        ),
    ),
)

THROTTLED = "ConsumerThrottled"
"""The stream refuses reads while the application is late. Kinesis tells of that by a metric of its own, so only
CloudWatch has this alarm: https://docs.aws.amazon.com/streams/latest/dev/monitoring-with-cloudwatch.html"""
THROTTLED_MEANS = (
    "The stream refuses reads (ReadProvisionedThroughputExceeded) while the application is late."
)
THROTTLED_METRIC = "ReadProvisionedThroughputExceeded"
