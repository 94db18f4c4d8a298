"""The results of `bin/bench` as tables in Markdown. docs/benchmarks.md has those of docs/benchmarks/*.json."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from consumer.local.bill import prices
from consumer.settings import PROJECT_ROOT
from tests.bench import cost_report

_RESULTS = PROJECT_ROOT / "docs/benchmarks"

type Columns = Sequence[tuple[str, str]]

_COLUMNS: dict[str, Columns] = {
    "shard": (
        ("backend", "backend"),
        ("format", "format"),
        ("record_bytes", "record, bytes"),
        ("cpu_seconds_per_million", "CPU s per million"),
        ("records_per_second", "records/s"),
        ("peak_rss_mib", "peak RSS, MiB"),
        ("peak_pss_mib", "peak PSS, MiB"),
        ("start_cpu_seconds", "start, CPU s"),
    ),
    "flat": (
        ("backend", "backend"),
        ("records", "records so far"),
        ("cpu_seconds_per_million", "CPU s per million"),
        ("by_second", "by a second tenth at the same time"),
        ("rss_mib", "RSS, MiB"),
    ),
    "forks": (
        ("backend", "backend"),
        ("shards", "shard processes"),
        ("start", "started"),
        ("server_mib", "fork server before, PSS, MiB"),
        ("total_pss_mib", "all together, PSS, MiB"),
        ("each_pss_mib", "each, PSS, MiB"),
    ),
    "idle": (
        ("shards", "shards"),
        ("settings", "settings"),
        ("jvm_cpu_seconds_per_hour", "JVM, CPU s an hour"),
        ("beside_cpu_seconds_per_hour", "shard processes, CPU s an hour"),
        ("supervisor_cpu_seconds_per_hour", "supervisor, CPU s an hour"),
        ("kinesis_reads_per_hour", "GetRecords an hour"),
        ("dynamodb_read_units_per_hour", "DynamoDB, read units an hour"),
        ("dynamodb_write_units_per_hour", "DynamoDB, write units an hour"),
        ("jvm_rss_mib", "JVM, RSS, MiB"),
        ("later", "records are read later by"),
    ),
    "scrape": (
        ("shards", "shards"),
        ("scrape_bytes", "/metrics, bytes"),
        ("scrape_cpu_ms", "/metrics, CPU ms"),
        ("push_cpu_ms", "OTLP, CPU ms"),
        ("report_cpu_us", "status of a shard process, CPU µs"),
    ),
    "watched": (
        ("backend", "backend"),
        ("format", "format"),
        ("watched_by", "watched by"),
        ("watching_percent", "for that, % of a processor"),
        ("most_watching_percent", "most of a run, %"),
        ("cpu_seconds_per_million", "CPU s per million"),
    ),
    "memory": (
        ("backend", "backend"),
        ("started", "started"),
        ("state", "state"),
        ("peak_rss_mib", "peak RSS, MiB"),
        ("peak_pss_mib", "peak PSS, MiB"),
        ("allowed_mib", "allowance, MiB"),
    ),
    "hostile": (
        ("case", "shard process"),
        ("kind", "kind"),
        ("record_bytes", "record, bytes"),
        ("outcomes", "delivered, and dead letters by reason"),
        ("peak_rss_mib", "peak RSS, MiB"),
        ("allowed_mib", "allowance, MiB"),
        ("cpu_seconds_per_mb", "CPU s per MB"),
        ("faults", "faults"),
    ),
    "originals": (
        ("backend", "backend"),
        ("system", "system"),
        ("delay_ms", "request latency, ms"),
        ("peak_rss_mib", "maximum memory, MiB"),
        ("total_average_seconds", "total average time, s"),
        ("average_seconds", "average time, s"),
        ("interval_seconds", "interval, s"),
        ("average_records", "average records"),
        ("records_per_second", "records/s"),
        ("total_records_per_second", "total records/s"),
        ("error_rate_percent", "error rate, %"),
        ("ended_by", "ended by"),
    ),
    "latency": (
        ("backend", "backend"),
        ("rate", "wanted records/s"),
        ("put_per_second", "put records/s"),
        ("p50_seconds", "p50, s"),
        ("p99_seconds", "p99, s"),
        ("max_seconds", "max, s"),
        ("look_seconds", "between looks, s"),
    ),
    "kcl": (
        ("shards", "shards"),
        ("child", "child"),
        ("wire", "wire"),
        ("max_records", "maxRecords"),
        ("jvm_cpu_seconds_per_million", "JVM, CPU s per million"),
        ("shards_cpu_seconds_per_million", "children, CPU s per million"),
        ("cpu_seconds_per_million", "both, CPU s per million"),
        ("ratio", "ratio"),
        ("records_per_second", "records/s"),
        ("jvm_start_cpu_seconds", "JVM until warm, CPU s"),
        ("jvm_warming_cpu_seconds", "of that, for the start, CPU s"),
        ("jvm_peak_rss_mib", "JVM, peak RSS, MiB"),
    ),
    "recovery": (
        ("backend", "backend"),
        ("event", "event"),
        ("median_seconds", "median, s"),
        ("max_seconds", "largest, s"),
    ),
    "catchup": (
        ("retrieval", "`retrievalMode`"),
        ("applications", "applications"),
        ("backlog_mb", "behind at first, MB"),
        ("feed_mb_per_second", "feed, MB/s"),
        ("backend", "application"),
        ("caught_up_seconds", "at the end after, s"),
        ("delivered_mb_per_second", "delivered, MB/s"),
        ("behind_mb", "behind when last seen, MB"),
        ("reads_refused", "reads refused, of all"),
    ),
    "sizes": (
        ("vcpu", "vCPU"),
        ("backend", "backend"),
        ("shards", "shards"),
        ("by", "by"),
        ("records_per_second", "records/s"),
        ("cpu_seconds_per_million", "CPU s per million"),
        ("throttled_percent", "periods throttled, %"),
        ("start_seconds", "all shards after, s"),
        ("start_cpu_seconds", "CPU s until then"),
        ("peak_pss_mib", "peak PSS, MiB"),
    ),
    "workers": (
        ("event", "event"),
        ("workers", "workers"),
        ("shards", "shards"),
        ("balanced_seconds", "balanced after, s"),
        ("running_seconds", "running after, s"),
        ("pause_seconds", "longest pause, s"),
        ("shards_by_worker", "shards by worker"),
        ("moved", "moved meanwhile"),
        ("records_per_second", "records/s"),
        ("jvm_cpu_seconds_per_thousand", "JVMs, CPU s per 1,000 records"),
        ("shards_cpu_seconds_per_thousand", "beside, CPU s per 1,000 records"),
        ("cores", "cores used"),
        ("shard_pss_mib", "beside, PSS per shard, MiB"),
        ("jvm_rss_mib", "largest JVM, RSS, MiB"),
        ("jvm_threads_per_shard", "threads of the JVMs per shard"),
        ("shard_threads", "threads of a shard process"),
        ("records", "records"),
        ("late", "late"),
        ("lost", "lost"),
        ("duplicated", "duplicated"),
    ),
}


_MANY_ROWS = 100


def report(result: dict[str, Any], table_of_prices: prices.Prices | None = None) -> str:
    """The table of one run, under the command that made it; of level `cost` at these prices, or else at our own."""
    rows = result["rows"]
    if result["level"] == "cost":
        table = cost_report.tables(rows, table_of_prices or prices.load())
    elif "kind" in rows[0] and len(rows) > _MANY_ROWS:
        table = _table(_BRIEF, list(_brief(rows)))
    elif _is_compared(result):
        table = _table(_COMPARED, rows)
    else:
        table = _table(_COLUMNS[result["level"]], rows)
    return "\n".join(
        [f"`{result['command']}`, {result['runs']} runs; {_described(result['machine'])}", "", *table]
    )


def committed(level: str, *, compared: bool = False) -> str:
    """The tables of a level that are in the repository, each with an empty line behind it: those of `--against`, or all
    others."""
    results = [json.loads(path.read_bytes()) for path in sorted(_RESULTS.glob("*.json"))]
    chosen = (each for each in results if each["level"] == level and _is_compared(each) == compared)
    return "".join(f"{report(result)}\n\n" for result in chosen)


def _is_compared(result: dict[str, Any]) -> bool:
    return result["level"] == "kcl" and "settings" in result["rows"][0]


_COMPARED: Columns = (
    ("shards", "shards"),
    ("child", "child"),
    ("settings", "settings"),
    ("ratio", "ratio"),
    ("cpu_seconds_per_million", "JVM and children, CPU s per million"),
    ("jvm_cpu_seconds_per_million", "JVM, CPU s per million"),
    ("jvm_start_cpu_seconds", "JVM until warm, CPU s"),
    ("jvm_warming_cpu_seconds", "of that, for the start, CPU s"),
    ("first_seconds", "first record after, s"),
    ("records_per_second", "records/s"),
    ("jvm_peak_rss_mib", "JVM, peak RSS, MiB"),
)
"""Of level kcl with --against."""

_BRIEF: Columns = (
    ("case", "shard process"),
    ("kinds", "kinds"),
    ("faults", "with faults"),
    ("peak_mib", "most memory, MiB"),
    ("allowed_mib", "allowance, MiB"),
    ("peak_kind", "by"),
    ("cpu_seconds_per_mb", "most CPU s per MB"),
    ("cpu_kind", "by"),
)


def _brief(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Of rows of level hostile, one for each shard process."""
    for case in dict.fromkeys(row["case"] for row in rows):
        own = [row for row in rows if row["case"] == case]
        largest = max(own, key=_own_mib)
        slowest = max(own, key=lambda row: row["cpu_seconds_per_mb"] or 0)
        yield {
            "case": case,
            "kinds": len(own),
            "faults": sum(bool(row["faults"]) for row in own),
            "peak_mib": round(_own_mib(largest), 1),
            "allowed_mib": largest["allowed_mib"],
            "peak_kind": largest["kind"],
            "cpu_seconds_per_mb": slowest["cpu_seconds_per_mb"],
            "cpu_kind": slowest["kind"],
        }


def _own_mib(row: dict[str, Any]) -> float:
    own: float = (row["peak_rss_mib"] or 0) - row["shared_mib"]
    return own


def _described(machine: dict[str, Any]) -> str:
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']},"
        f" Python {machine['python']}"
    )


def _table(columns: Columns, rows: Sequence[dict[str, Any]]) -> list[str]:
    aligned = ["---" if isinstance(rows[0][name], str | list | dict) else "--:" for name, _ in columns]
    return [
        _line([title for _, title in columns]),
        _line(aligned),
        *(_line([_shown(row[name]) for name, _ in columns]) for row in rows),
    ]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _shown(value: object) -> str:
    if value is None or value == [] or value == {}:
        return "–"
    if isinstance(value, list):
        return "; ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {count:,}" for name, count in value.items())
    return f"{value:,}" if isinstance(value, int | float) else str(value)
