"""The table as lines of CloudWatch's embedded metric format: CloudWatch Logs makes metrics of them, without a request.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html

Counters are told as what came since the line before, as CloudWatch's statistics want it. Series of single shards are
left out: CloudWatch bills each series, and alarms are made on those of the application.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from consumer.daemon.metrics.metric import COMMON_LABELS, Buckets, Metric, Sample, Snapshot, Telling
from consumer.daemon.metrics.table import told_by
from consumer.domain.latency import BOUNDS_SECONDS

NAMESPACE = "consumer"
_UNITS = {"s": "Seconds", "By": "Bytes", "1": "None"}
_OTHER_UNIT = "Count"
_VALUES = (*BOUNDS_SECONDS, 2 * BOUNDS_SECONDS[-1])
"""What a bucket of the histogram is told as."""

type _Key = tuple[str, tuple[str, ...]]


class EmfLines:
    """Remembers the counters of the lines before."""

    def __init__(self) -> None:
        self._told: dict[_Key, float | Buckets] = {}

    def lines(self, snapshot: Snapshot) -> list[str]:
        return self.lines_of(told_by(snapshot))

    def lines_of(self, telling: Telling) -> list[str]:
        """One for the series without labels of their own, and one for each value of each label."""
        together: dict[tuple[tuple[str, str], ...], list[tuple[Metric[Any], Any]]] = {}
        for metric, samples in telling.series:
            if metric.of_shard:
                continue
            for sample in samples:
                own = tuple(zip(metric.labels, sample.labels, strict=True))
                value = self._value(metric, sample)
                if value is not None:
                    together.setdefault(own, []).append((metric, value))
        return [_line(telling, own, values) for own, values in together.items()]

    def _value(self, metric: Metric[Any], sample: Sample) -> Any:
        if metric.kind == "gauge":
            return sample.value
        key = (metric.name, sample.labels)
        before, self._told[key] = self._told.get(key), sample.value
        if isinstance(sample.value, Buckets):
            assert before is None or isinstance(before, Buckets)
            return _distribution(sample.value, before)
        assert not isinstance(before, Buckets)
        return sample.value - (before or 0)


def _distribution(now: Buckets, before: Buckets | None) -> dict[str, Any] | None:
    """None where nothing was measured."""
    base = before or Buckets((0,) * len(now.counts), 0.0)
    found = [
        (value, new - old)
        for value, new, old in zip(_VALUES, now.counts, base.counts, strict=True)
        if new > old
    ]
    if not found:
        return None
    values, counts = zip(*found, strict=True)
    return {
        "Values": values,
        "Counts": counts,
        "Min": values[0],
        "Max": values[-1],
        "Count": sum(counts),
        "Sum": now.sum - base.sum,
    }


def _line(telling: Telling, own: tuple[tuple[str, str], ...], values: list[tuple[Metric[Any], Any]]) -> str:
    labels = dict(zip(COMMON_LABELS, (telling.application, telling.backend), strict=True)) | dict(own)
    declared: Iterator[dict[str, str]] = (
        {"Name": metric.name, "Unit": _UNITS.get(metric.unit, _OTHER_UNIT)} for metric, _ in values
    )
    head = {
        "Timestamp": int(telling.at * 1000),
        "CloudWatchMetrics": [
            {"Namespace": NAMESPACE, "Dimensions": [list(labels)], "Metrics": list(declared)}
        ],
    }
    line = {"_aws": head, **labels, "worker_id": telling.worker_id}
    line.update({metric.name: value for metric, value in values})
    return msgspec.json.encode(line).decode()
