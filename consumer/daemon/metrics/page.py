"""The reference page of all metrics, made from the table: python -m consumer.daemon.metrics.page > docs/metrics.md"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

from consumer.daemon.metrics.emf import NAMESPACE
from consumer.daemon.metrics.metric import COMMON_LABELS, Metric
from consumer.daemon.metrics.reconciled import RECONCILED
from consumer.daemon.metrics.table import METRICS
from consumer.domain.latency import BOUNDS_SECONDS

_COMMON = " and ".join(f"`{name}`" for name in COMMON_LABELS)
_HEAD = f"""\
# Metrics

This page is made from the table in `consumer/daemon/metrics/table.py` by
`python -m consumer.daemon.metrics.page > docs/metrics.md`.

The supervisor of each worker keeps them, from what its shard processes report once a second. Each series carries the
labels {_COMMON}; a worker tells of itself, so take the maximum (freshness, state) or the sum (counters)
over the workers of an application. Look at `consumer_freshness_seconds` first: it says how old what is missing in the
backend is. **No sample at all is the worst sample**: a daemon that is gone says nothing.

Counters begin at zero with the daemon. Those of the application go on when a shard process ends and another begins; a
process that was killed may have done more than it has told, at most what a second brings. Series of a shard vanish
with the shard.

## Where they go

* **Prometheus** scrapes `http://HOST:PORT/metrics` (`http.host`, `http.port`), which is made once a second at most. 64
  shards take some 60 KB and 4 ms of CPU time.
* **OTLP**: with `metrics.otlp_endpoint` they are pushed every `metrics.interval` by HTTP, cumulative, under the same
  names, without an agent beside the daemon. `http://127.0.0.1:4318` is a collector; headers and certificates are taken
  from OpenTelemetry's variables (`OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_EXPORTER_OTLP_CERTIFICATE`).
* **CloudWatch by OTLP**: `metrics.otlp_endpoint = cloudwatch` pushes to the endpoint of `regionName`, signed with the
  daemon's own credentials, which need `cloudwatch:PutMetricData`.
* **CloudWatch by the log** (`metrics.emf = true`): lines of the embedded metric format on standard output every
  `metrics.interval`, for a log driver that sends them to CloudWatch Logs (`awslogs` on ECS), under the namespace
  `{NAMESPACE}`. Counters are told as what came since the line before: take their sum. Series of single shards are
  left out, since CloudWatch bills each.

An endpoint that fails or hangs holds up nothing: a push takes a thread, one at a time, and what failed is counted
(`consumer_metrics_failed_pushes_total`) and logged ever more rarely.

[runbook.md](runbook.md#alarms) has the alarms on them: rules for Prometheus, templates for CloudWatch and a dashboard
for Grafana stand in `deploy`.

"""
_RECONCILED = """\
## Of bin/reconcile

[operate.md](operate.md#do-both-hold-the-same) has the command. With `--every` it tells these after each look,
labelled with the application and backend of each side: in `--metrics-file`, for the textfile collector of Prometheus'
node_exporter, and wherever the settings of that side send the daemon's (`metrics.otlp_endpoint`, `metrics.emf`).
"""
_LATENCY = ", ".join(map(str, BOUNDS_SECONDS))


def page() -> str:
    """The whole page in Markdown."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield _HEAD + "## Of the application\n"
    yield from _table(metric for metric in METRICS if not metric.of_shard)
    yield f"Buckets of the histogram end at {_LATENCY} seconds.\n"
    yield "## Of each shard\n"
    yield from _table(metric for metric in METRICS if metric.of_shard)
    yield _RECONCILED
    yield from _table(RECONCILED)


def _table(metrics: Iterable[Metric[Any]]) -> Iterator[str]:
    yield "| name | type | unit | labels | meaning | from |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for metric in metrics:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        yield f"| `{metric.name}` | {metric.kind} | {metric.unit} | {labels} | {metric.meaning} | {metric.source} |"
    yield ""


if __name__ == "__main__":
    sys.stdout.write(page())
