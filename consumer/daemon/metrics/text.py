"""GET /metrics: the table as Prometheus text, made once a second at most."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate

from prometheus_client import generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from consumer.daemon.metrics.metric import COMMON_LABELS, Buckets, Sample, Snapshot
from consumer.daemon.metrics.metric import Metric as Declared
from consumer.daemon.metrics.table import METRICS
from consumer.domain.latency import BOUNDS_SECONDS

_FRESH_SECONDS = 1.0
_BOUNDS = (*map(str, BOUNDS_SECONDS), "+Inf")


class MetricsText:
    """Whoever asks within a second of another gets the same bytes."""

    def __init__(self, snapshot: Callable[[], Snapshot], *, monotonic: Callable[[], float]) -> None:
        self._snapshot = snapshot
        self._monotonic = monotonic
        self._made_at: float | None = None
        self._made = b""

    def metrics_text(self) -> bytes:
        now = self._monotonic()
        if self._made_at is None or now - self._made_at >= _FRESH_SECONDS:
            self._made = render(self._snapshot())
            self._made_at = now
        return self._made


def render(snapshot: Snapshot) -> bytes:
    return generate_latest(_Table(snapshot))


class _Table(Collector):
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        identity = self._snapshot.status.identity
        common = [identity.application, identity.backend]
        for metric in METRICS:
            yield _family(metric, common, metric.read(self._snapshot))


def _family(metric: Declared, common: list[str], samples: Iterable[Sample]) -> Metric:
    labels = (*COMMON_LABELS, *metric.labels)
    if metric.kind == "histogram":
        histogram = HistogramMetricFamily(metric.name, metric.meaning, labels=labels)
        for sample in samples:
            assert isinstance(sample.value, Buckets)
            counts = zip(_BOUNDS, accumulate(sample.value.counts), strict=True)
            histogram.add_metric([*common, *sample.labels], list(counts), sample.value.sum)
        return histogram
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.meaning, labels=labels)
    for sample in samples:
        assert not isinstance(sample.value, Buckets)
        family.add_metric([*common, *sample.labels], sample.value)
    return family
