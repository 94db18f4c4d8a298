"""The dashboard for Grafana: python -m deploy.alarms.grafana > deploy/grafana/dashboard.json"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from deploy.alarms.table import BY, LATE_SECONDS

_SOURCE = {"type": "prometheus", "uid": "${source}"}
_PICKED = 'application=~"$application"'
_ONE_BACKEND = f'{_PICKED}, backend="$backend"'
_WIDTH = 24
_HEIGHT = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One picture: `queries` are pairs of a legend and an expression; with `late`, a line where freshness is late.
    `text` is what a stat shows."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"
    width: int = 12
    late: bool = False
    text: Literal["value_and_name", "name"] = "value_and_name"


def _of(metric: str, *more: str) -> str:
    return f"{metric}{{{', '.join((_ONE_BACKEND, *more))}}}"


def _rate(metric: str, by: str = "application") -> str:
    return f"sum by ({by}) (rate({_of(metric)}[$__rate_interval]))"


def _max(metric: str, by: str = "application") -> str:
    return f"max by ({by}) ({_of(metric)})"


def _sum(metric: str) -> str:
    return f"sum by (application) ({_of(metric)})"


def _quantile(quantile: float) -> str:
    return (
        f"histogram_quantile({quantile}, {_rate('consumer_write_latency_seconds_bucket', 'application, le')})"
    )


_NAME = "{{application}}"
FRESHNESS = Panel(
    title="Freshness: how old what the backend misses is",
    unit="s",
    queries=(
        (
            "{{application}} ({{backend}})",
            f"max {BY} (consumer_freshness_seconds{{{_PICKED}}})",
        ),
    ),
    width=_WIDTH,
)
OF_BACKEND: tuple[Panel, ...] = (
    Panel(
        title="Freshness",
        unit="s",
        kind="stat",
        width=6,
        queries=((_NAME, _max("consumer_freshness_seconds")),),
    ),
    Panel(
        title="State",
        unit="short",
        kind="stat",
        width=6,
        text="name",
        queries=(("{{state}}", f"{_max('consumer_state', 'state')} > 0"),),
    ),
    Panel(
        title="Shards: read here, held, without a reader",
        unit="short",
        kind="stat",
        width=6,
        queries=(
            ("read", _sum("consumer_shards")),
            ("held", _sum("consumer_shards_held")),
            ("without a reader", _max("consumer_shards_without_reader")),
        ),
    ),
    Panel(
        title="Conservation: 0, always",
        unit="short",
        kind="stat",
        width=6,
        queries=((_NAME, f"max by (application) (abs({_of('consumer_conservation_records')}))"),),
    ),
    Panel(
        title="Freshness of the five shards that are furthest behind",
        unit="s",
        late=True,
        queries=(("{{shard}}", f"topk(5, {_max('consumer_shard_freshness_seconds', 'shard')})"),),
    ),
    Panel(
        title="Records",
        unit="cps",
        queries=(
            ("read", _rate("consumer_records_read_total")),
            ("delivered", _rate("consumer_records_delivered_total")),
            ("dead letters", _rate("consumer_records_dead_lettered_total")),
        ),
    ),
    Panel(
        title="Back pressure: share of time that reading waits for the backend",
        unit="percentunit",
        queries=((_NAME, _max("consumer_back_pressure_ratio")),),
    ),
    Panel(
        title="Bytes in flight, and their limit",
        unit="bytes",
        queries=(
            ("in flight", _sum("consumer_in_flight_bytes")),
            ("limit", _sum("consumer_in_flight_bytes_limit")),
        ),
    ),
    Panel(
        title="Requests and retries",
        unit="cps",
        queries=(
            ("requests", _rate("consumer_requests_total")),
            ("retries: {{class}}", _rate("consumer_retries_total", "class")),
        ),
    ),
    Panel(
        title="How long a request takes",
        unit="s",
        queries=(("median", _quantile(0.5)), ("99 %", _quantile(0.99))),
    ),
    Panel(
        title="Dead letters by reason",
        unit="cps",
        queries=(("{{reason}}", _rate("consumer_dead_letters_total", "reason")),),
    ),
    Panel(
        title="Bytes read and delivered",
        unit="Bps",
        queries=(
            ("read", _rate("consumer_bytes_read_total")),
            ("delivered", _rate("consumer_bytes_delivered_total")),
        ),
    ),
    Panel(
        title="Memory by kind of process",
        unit="bytes",
        queries=(("{{process}}", _max("consumer_process_memory_bytes", "process")),),
    ),
    Panel(
        title="Restarts of the JVM, errors of the KCL, failed pushes of metrics",
        unit="short",
        queries=tuple(
            (legend, f"sum by (application) (increase({_of(metric)}[$__rate_interval]))")
            for legend, metric in (
                ("restarts", "consumer_jvm_restarts_total"),
                ("errors", "consumer_kcl_errors_total"),
                ("failed pushes", "consumer_metrics_failed_pushes_total"),
            )
        ),
    ),
)


def dashboard() -> dict[str, Any]:
    """Freshness first, then a row for each backend that is picked."""
    place = {"x": 0, "y": 0, "w": _WIDTH, "h": _HEIGHT}
    row = {
        "id": 2,
        "type": "row",
        "title": "$backend",
        "repeat": "backend",
        "collapsed": False,
        "panels": [],
        "gridPos": {"x": 0, "y": _HEIGHT, "w": _WIDTH, "h": 1},
    }
    return {
        "uid": "consumer",
        "title": "Consumer",
        "tags": ["kinesis"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": list(_variables())},
        "panels": [_panel(1, FRESHNESS, place), row, *_laid_out(first=3, top=_HEIGHT + 1)],
    }


def _variables() -> Iterator[dict[str, Any]]:
    yield {"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
    for name, within in (("application", ""), ("backend", f"{{{_PICKED}}}")):
        yield {
            "name": name,
            "type": "query",
            "datasource": _SOURCE,
            "query": f"label_values(consumer_start_time_seconds{within}, {name})",
            "refresh": 2,
            "multi": True,
            "includeAll": True,
            "current": {"text": ["All"], "value": ["$__all"]},
        }


def _laid_out(first: int, top: int) -> Iterator[dict[str, Any]]:
    """Panels from left to right, in lines."""
    x, y = 0, top
    for place, panel in enumerate(OF_BACKEND, first):
        if x + panel.width > _WIDTH:
            x, y = 0, y + _HEIGHT
        yield _panel(place, panel, {"x": x, "y": y, "w": panel.width, "h": _HEIGHT})
        x += panel.width


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit}
    if panel.late:
        steps = [
            {"color": "transparent", "value": None},
            {"color": "red", "value": max(LATE_SECONDS.values())},
        ]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
        defaults["custom"] = {"thresholdsStyle": {"mode": "line"}}
    options: dict[str, Any] = {}
    if panel.kind == "stat":
        options = {"textMode": panel.text, "reduceOptions": {"calcs": ["lastNotNull"]}}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": [
            {"refId": chr(ord("A") + at), "datasource": _SOURCE, "expr": expression, "legendFormat": legend}
            for at, (legend, expression) in enumerate(panel.queries)
        ],
    }


def page() -> str:
    """The whole file."""
    return json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
