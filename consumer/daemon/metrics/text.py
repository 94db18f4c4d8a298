"""GET /metrics: the table as Prometheus text, made once a second at most."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any

from prometheus_client import generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from consumer.daemon.metrics.metric import COMMON_LABELS, Buckets, Sample, Snapshot, Telling
from consumer.daemon.metrics.metric import Metric as Declared
from consumer.daemon.metrics.table import told_by
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
    return text_of(told_by(snapshot))


def text_of(*tellings: Telling) -> bytes:
    """All of the same metrics."""
    return generate_latest(_Table(tellings))


class _Table(Collector):
    def __init__(self, tellings: Sequence[Telling]) -> None:
        self._tellings = tellings

    def collect(self) -> Iterator[Metric]:
        for rows in zip(*(telling.series for telling in self._tellings), strict=True):
            metric = rows[0][0]
            family = _family(metric)
            for telling, (_, samples) in zip(self._tellings, rows, strict=True):
                _add(family, [telling.application, telling.backend], samples)
            yield family


_FAMILIES = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily}


def _family(metric: Declared[Any]) -> Any:
    return _FAMILIES[metric.kind](metric.name, metric.meaning, labels=(*COMMON_LABELS, *metric.labels))


def _add(family: Any, common: list[str], samples: Iterable[Sample]) -> None:
    for sample in samples:
        labels = [*common, *sample.labels]
        if isinstance(sample.value, Buckets):
            counts = zip(_BOUNDS, accumulate(sample.value.counts), strict=True)
            family.add_metric(labels, list(counts), sample.value.sum)
        else:
            family.add_metric(labels, sample.value)
