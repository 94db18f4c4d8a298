"""Level `scrape`: what metrics cost the supervisor, by the number of shards that it has, and each shard process."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics

from consumer.daemon.metrics.otlp import metrics_data
from consumer.daemon.metrics.text import render
from consumer.domain.events import Event, encode
from consumer.shard.delivery.status import ShardStatus
from tests.unit.daemon.statuses import COUNTERS, snapshot

USUAL_SHARDS = (1, 16, 64)
_TURNS = 50
_REPORTS_A_TURN = 100


@dataclass(frozen=True, slots=True)
class _Busy:
    """A pipeline that has something of everything in flight."""

    state: str = "running"
    in_flight_records: int = 4000
    in_flight_chunks: int = 3
    in_flight_bytes: int = 31_457_280
    max_in_flight_chunks: int = 8
    max_in_flight_bytes: int = 100_663_296
    waited_seconds: float = 12.5
    oldest_undelivered_ms: int | None = 1_800_000_000_000
    oldest_undelivered_read_ms: int | None = 1_800_000_000_000


def measure(shards: Sequence[int], *, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """A row for each number of shards."""
    report_us = _report_us()
    rows = []
    for count in shards:
        now = snapshot(count)
        rows.append(
            {
                "shards": count,
                "scrape_bytes": len(render(now)),
                "scrape_cpu_ms": round(_cpu_ms(lambda now=now: render(now)), 2),  # type: ignore[misc]
                "push_cpu_ms": round(_cpu_ms(lambda now=now: encode_metrics(metrics_data(now))), 2),  # type: ignore[misc]
                "report_cpu_us": round(report_us, 1),
            }
        )
        say(str(rows[-1]))
    return rows


def _report_us() -> float:
    """Of one status of a shard process, which sends one a second."""

    def send(event: Event) -> None:
        encode(event)

    status = ShardStatus("shardId-000000000000", send)
    status.counters.update(COUNTERS)
    busy = _Busy()

    def report() -> None:
        for _ in range(_REPORTS_A_TURN):
            status.report(busy, waiting_since=None)

    return _cpu_ms(report) * 1000 / _REPORTS_A_TURN


def _cpu_ms(work: Callable[[], object]) -> float:
    """Of a usual turn, once it is warm."""
    work()
    turns = []
    for _ in range(_TURNS):
        began = time.process_time()
        work()
        turns.append(time.process_time() - began)
    return median(turns) * 1000
