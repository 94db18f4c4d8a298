"""Lines of the embedded metric format, read as CloudWatch Logs reads them."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec

from consumer.daemon.metrics.emf import NAMESPACE, EmfLines
from consumer.daemon.metrics.metric import Snapshot
from consumer.daemon.metrics.table import METRICS
from tests.unit.daemon.statuses import COUNTERS, NOW, event, snapshot, status_of

MOST_METRICS = 100
MOST_DIMENSIONS = 30
"""Of one directive: the specification."""


def metrics_of(lines: list[str]) -> dict[tuple[str, ...], Any]:
    """Values by name and the values of the dimensions beside application and backend."""
    return dict(_metrics_of(lines))


def _metrics_of(lines: list[str]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for line in lines:
        assert "\n" not in line
        found = json.loads(line)
        assert found["_aws"]["Timestamp"] == NOW * 1000
        (directive,) = found["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == NAMESPACE
        assert len(directive["Metrics"]) <= MOST_METRICS
        (dimensions,) = directive["Dimensions"]
        assert len(dimensions) <= MOST_DIMENSIONS
        assert dimensions[:2] == ["application", "backend"]
        own = tuple(found[name] for name in dimensions[2:])
        for metric in directive["Metrics"]:
            assert metric["Unit"] in ("Seconds", "Bytes", "Count", "None")
            yield (metric["Name"], *own), found[metric["Name"]]


def later(now: Snapshot, records: int) -> Snapshot:
    counters = {**COUNTERS, "records_read": COUNTERS["records_read"] + records}
    one = msgspec.structs.replace(
        event(), counters=counters, write_latency_counts=[3, *event().write_latency_counts[1:]]
    )
    return replace(now, status=status_of(one))


def test_gauges_are_told_as_they_are_and_counters_as_what_came_since_the_line_before() -> None:
    lines = EmfLines()
    first = metrics_of(lines.lines(snapshot()))
    assert first["consumer_records_read_total",] == 1_234_567
    second = metrics_of(lines.lines(later(snapshot(), 12)))
    assert second["consumer_records_read_total",] == 12
    assert second["consumer_requests_total",] == 0
    assert first["consumer_freshness_seconds",] == second["consumer_freshness_seconds",] == 12.5
    assert first["consumer_retries_total", "throttled"] == 3
    assert second["consumer_retries_total", "throttled"] == 0


def test_latencies_are_told_as_values_with_their_counts() -> None:
    lines = EmfLines()
    first = metrics_of(lines.lines(snapshot()))["consumer_write_latency_seconds",]
    assert first["Count"] == sum(first["Counts"]) == sum(event().write_latency_counts)
    second = metrics_of(lines.lines(later(snapshot(), 0)))["consumer_write_latency_seconds",]
    assert (second["Values"], second["Counts"]) == ([0.01], [3])
    assert ("consumer_write_latency_seconds",) not in metrics_of(lines.lines(later(snapshot(), 0)))


def test_everything_but_the_series_of_shards_is_told() -> None:
    told = {name for name, *_ in metrics_of(EmfLines().lines(snapshot()))}
    of_bigquery = {"consumer_rows_written_total", "consumer_billed_bytes_total"}
    assert told == {metric.name for metric in METRICS if not metric.of_shard} - of_bigquery
