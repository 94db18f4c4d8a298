"""What sizes of workers carry, and a thousand shards over fleets of them, as tables in Markdown."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Literal

from consumer.local.bill import prices
from consumer.settings import PROJECT_ROOT, Backend, Settings
from tests.bench import sizes_level
from tests.bench.production import production_settings
from tests.bench.sizes_model import (
    Application,
    Costs,
    Fleet,
    Plan,
    Waits,
    costs,
    dynamodb,
    most_shards,
    plan,
    start_seconds,
)

_RESULTS = PROJECT_ROOT / "docs/benchmarks"
_GIB = 1024
_PERCENT = 100

BACKENDS: Mapping[str, Backend] = {"s3": "s3", "insert_all": "bigquery", "storage_write": "bigquery"}
"""The settings that each method is of."""

FULL, USUAL = 1000.0, 100.0
"""Records/s of a shard: as many as it takes in, and a tenth of that."""

MOST_MEMORY_GIB: Mapping[float, int] = {0.25: 2, 0.5: 4, 1.0: 8, 2.0: 16}
"""That Fargate gives to so many vCPU:
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html"""

SHARDS = 1000
"""Of the fleets."""


def rows_of(level: Literal["sizes", "idle", "workers", "cost"]) -> list[dict[str, Any]]:
    """Of all committed results of a level."""
    results = (json.loads(path.read_bytes()) for path in sorted(_RESULTS.glob("*.json")))
    return [row for result in results if result["level"] == level for row in result["rows"]]


@cache
def costs_of(backend: str) -> Costs:
    return costs(backend, sizes=rows_of("sizes"), idle=rows_of("idle"))


def settings_of(backend: str) -> Settings:
    return production_settings(BACKENDS[backend])


def waits_of(backend: str) -> Waits:
    return Waits.of(settings_of(backend))


def application_of(backend: str, *, shards: int, rate: float) -> Application:
    """With the write units of checkpoints that level `cost` counted beside leases and workers. A checkpoint is made as
    often by both methods of BigQuery; what storage_write takes more is for the counts that it keeps."""
    units = _busy_write_units(backend)
    checkpoints = min(units, _busy_write_units("insert_all"))
    return Application(shards=shards, rate=rate, checkpoints=checkpoints, kept_units=units - checkpoints)


def _busy_write_units(backend: str) -> float:
    """Of a shard in a second."""
    row = next(row for row in rows_of("cost") if row["case"].partition(",")[0] == backend)
    counted = row["clock_counts"]["dynamodb_write_units"] / row["clock_seconds"]
    quiet = dynamodb(Application(shards=row["shards"], rate=0.0), 1, waits_of(backend)).write_units
    return float(max(0.0, counted - quiet) / row["shards"])


def carried() -> str:
    """A row for each size and backend."""
    rows = [row for row in rows_of("sizes") if row["shards"] == sizes_level.SHARDS]
    titles = (
        "vCPU",
        "backend",
        "records/s at most",
        "shards of 1,000 records/s, with half of the CPU free",
        "memory for them, GiB",
        f"{sizes_level.SHARDS} shards are read after, s",
    )
    lines = [_line(titles), "| --: | --- | --: | --: | --: | --: |"]
    for row in sorted(rows, key=lambda row: (row["vcpu"], list(BACKENDS).index(row["backend"]))):
        fleet = Fleet(workers=1, vcpu=row["vcpu"], memory_mib=MOST_MEMORY_GIB[row["vcpu"]] * _GIB)
        shards = shards_of(row["backend"], fleet, FULL)
        needed = _planned(row["backend"], fleet, Application(shards=shards, rate=shards * FULL)).memory_mib
        start = row["start_seconds"] or start_seconds(
            shards=row["shards"], vcpu=row["vcpu"], costs=costs_of(row["backend"])
        )
        rate = round(row["records_per_second"], -2)
        lines.append(
            f"| {row['vcpu']:g} | {row['backend']} | {rate:,} | {shards} | {needed / _GIB:.1f} | {start:.0f} |"
        )
    return "\n".join(lines) + "\n"


def shards_of(backend: str, fleet: Fleet, rate_a_shard: float) -> int:
    """The most for one worker, with half of its processors free."""
    return most_shards(fleet, rate_a_shard, waits_of(backend), costs_of(backend), settings_of(backend))


FLEETS: Sequence[Fleet] = (
    Fleet(workers=200, vcpu=0.25, memory_mib=2 * _GIB),
    Fleet(workers=84, vcpu=0.5, memory_mib=4 * _GIB),
    Fleet(workers=42, vcpu=1.0, memory_mib=8 * _GIB),
    Fleet(workers=21, vcpu=2.0, memory_mib=16 * _GIB),
)
"""For SHARDS."""


def thousand(backend: str = "s3") -> str:
    """A row for each fleet and rate."""
    return "\n".join(_thousand(backend)) + "\n"


def _thousand(backend: str) -> Iterator[str]:
    yield _line(
        (
            "workers",
            "vCPU, GiB each",
            "shards each",
            "records/s of a shard",
            "CPU busy, %",
            "DynamoDB calls/s",
            "read units/s",
            "write units/s",
            "DynamoDB, USD a month",
            "tasks, USD a month",
            "all read after a start, s",
        )
    )
    yield "| --: | --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |"
    for fleet in FLEETS:
        for rate in (USUAL, FULL):
            made = _planned(backend, fleet, application_of(backend, shards=SHARDS, rate=SHARDS * rate))
            asked = made.requests
            yield (
                f"| {fleet.workers} | {fleet.vcpu:g}, {fleet.memory_mib // _GIB} | {made.shards} | {rate:,.0f}"
                f" | {_PERCENT * made.cores / fleet.vcpu:.0f} | {asked.calls:,.0f} | {asked.read_units:,.0f}"
                f" | {asked.write_units:,.0f} | {_dynamodb_usd(made):,.0f} | {_tasks_usd(fleet):,.0f}"
                f" | {made.start_seconds:.0f} |"
            )


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _planned(backend: str, fleet: Fleet, application: Application) -> Plan:
    return plan(application, fleet, waits_of(backend), costs_of(backend), settings_of(backend))


def _dynamodb_usd(made: Plan) -> float:
    table = prices.load()
    seconds = table.hours_a_month * 3600
    return table["dynamodb_write_units"].of_a_month(made.requests.write_units * seconds) + table[
        "dynamodb_read_units"
    ].of_a_month(made.requests.read_units * seconds)


def _tasks_usd(fleet: Fleet) -> float:
    table = prices.load()
    hours = table.hours_a_month * fleet.workers
    return table["fargate_vcpu_hours"].of_a_month(fleet.vcpu * hours) + table["fargate_gb_hours"].of_a_month(
        fleet.memory_mib / _GIB * hours
    )
