"""The table as OTLP over HTTP. The only module that knows OpenTelemetry, imported where metrics are pushed."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import requests
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from consumer.daemon.metrics.metric import COMMON_LABELS, Buckets, Sample, Snapshot, Telling
from consumer.daemon.metrics.metric import Metric as Declared
from consumer.daemon.metrics.table import told_by
from consumer.domain.excerpts import excerpt
from consumer.domain.latency import BOUNDS_SECONDS

_PATH = "/v1/metrics"
_NANO = 1_000_000_000
_NAME = "consumer"
_CUMULATIVE = AggregationTemporality.CUMULATIVE
_REASON_CHARACTERS = 500
_POINTS = 500
"""In one request."""


class PushFailed(Exception):
    """The endpoint has not taken it, with the reason."""


class OtlpPush:
    """Pushes to one endpoint. What OpenTelemetry's environment variables say of headers and certificates holds."""

    def __init__(self, endpoint: str, *, timeout_seconds: float, session: requests.Session | None) -> None:
        """`endpoint` without a path gets that of OTLP. `session` signs, where that is needed."""
        self._words = _Words()
        logger = logging.getLogger("opentelemetry")
        logger.propagate = False
        logger.handlers = [self._words]
        self._exporter = OTLPMetricExporter(
            endpoint=endpoint if urlsplit(endpoint).path.strip("/") else endpoint.rstrip("/") + _PATH,
            timeout=timeout_seconds,
            compression=Compression.Gzip,
            session=session,
            max_export_batch_size=_POINTS,
        )

    def push(self, snapshot: Snapshot) -> None:
        """Blocks for the timeout, or for several where an endpoint answers in small pieces; raises PushFailed."""
        self.push_told(told_by(snapshot))

    def push_told(self, telling: Telling) -> None:
        """As `push`."""
        self._words.last = ""
        if self._exporter.export(_data(telling)) is not MetricExportResult.SUCCESS:
            raise PushFailed(self._words.last or "refused")


def pusher_to(endpoint: str, region: str | None, *, timeout_seconds: float) -> OtlpPush:
    """What metrics.otlp_endpoint asks for. May ask for credentials."""
    if endpoint != "cloudwatch":
        return OtlpPush(endpoint, timeout_seconds=timeout_seconds, session=None)
    from consumer.daemon.metrics.cloudwatch import cloudwatch_endpoint, signing_session

    return OtlpPush(
        cloudwatch_endpoint(region), timeout_seconds=timeout_seconds, session=signing_session(region)
    )


class _Words(logging.Handler):
    """What the exporter says of a failure: it tells its caller nothing but that there was one."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.last = excerpt(record.getMessage(), _REASON_CHARACTERS)


def metrics_data(snapshot: Snapshot) -> MetricsData:
    """All series at the moment of the status."""
    return _data(told_by(snapshot))


def _data(telling: Telling) -> MetricsData:
    resource = Resource(
        {
            "service.name": _NAME,
            "service.namespace": telling.application,
            "service.instance.id": telling.worker_id,
            "service.version": telling.version,
        }
    )
    scope = InstrumentationScope(_NAME, telling.version)
    found = (_metric(metric, samples, telling) for metric, samples in telling.series)
    metrics = [metric for metric in found if metric is not None]
    return MetricsData([ResourceMetrics(resource, [ScopeMetrics(scope, metrics, "")], "")])


def _metric(metric: Declared[Any], samples: Sequence[Sample], telling: Telling) -> Metric | None:
    """None where it has no series."""
    if metric.kind == "histogram":
        histograms = list(_histograms(metric, samples, telling))
        return Metric(metric.name, metric.meaning, metric.unit, Histogram(histograms, _CUMULATIVE))
    numbers = list(_numbers(metric, samples, telling))
    if not numbers:
        return None
    data = Sum(numbers, _CUMULATIVE, is_monotonic=True) if metric.kind == "counter" else Gauge(numbers)
    return Metric(metric.name, metric.meaning, metric.unit, data)


def _numbers(metric: Declared[Any], samples: Sequence[Sample], telling: Telling) -> Iterator[NumberDataPoint]:
    for sample in samples:
        assert not isinstance(sample.value, Buckets)
        since = sample.since or telling.since
        yield NumberDataPoint(
            attributes=_attributes(metric, telling, sample),
            start_time_unix_nano=int(since * _NANO) if metric.kind == "counter" else 0,
            time_unix_nano=int(telling.at * _NANO),
            value=sample.value,
        )


def _histograms(
    metric: Declared[Any], samples: Sequence[Sample], telling: Telling
) -> Iterator[HistogramDataPoint]:
    for sample in samples:
        assert isinstance(sample.value, Buckets)
        yield HistogramDataPoint(
            attributes=_attributes(metric, telling, sample),
            start_time_unix_nano=int(telling.since * _NANO),
            time_unix_nano=int(telling.at * _NANO),
            count=sum(sample.value.counts),
            sum=sample.value.sum,
            bucket_counts=sample.value.counts,
            explicit_bounds=BOUNDS_SECONDS,
            min=None,  # type: ignore[arg-type] # not kept, and optional in the protocol
            max=None,  # type: ignore[arg-type]
        )


def _attributes(metric: Declared[Any], telling: Telling, sample: Sample) -> dict[str, str]:
    common = dict(zip(COMMON_LABELS, (telling.application, telling.backend), strict=True))
    return common | dict(zip(metric.labels, sample.labels, strict=True))
