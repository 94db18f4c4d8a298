"""docs/benchmarks.md from the JSON of `bin/bench`: `python -m tests.bench.page FILE...`."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

_HEAD = """# Benchmarks

Made by `python -m tests.bench.page docs/benchmarks/*.json > docs/benchmarks.md` from what the commands named
below printed with `--json`. Figures are medians where nothing else is said. CPU seconds are user and system time of the
measured process alone; they tell more than wall time where a machine is shared, but they too grow with the work that
others give it: on the machine of these runs the same work took up to half as much again a few minutes later, so compare
rows, not absolute figures. Every run counted what arrived, and would have failed had a record been lost.
"""

type Columns = Sequence[tuple[str, str]]

_TITLES = {
    "shard": "One shard process",
    "flat": "Cost and number of records",
    "memory": "Memory limits",
    "hostile": "Hostile records",
    "forks": "Memory of many shard processes",
    "originals": "The systems that the daemon replaces",
    "latency": "From put to readable",
    "kcl": "The real KCL, end to end",
    "recovery": "Start and recovery",
    "workers": "Many shards",
}
_TEXTS = {
    "shard": "Messages of the KCL's protocol through the real shard process, JSON checked, into a backend in another"
    " process that takes everything and keeps nothing. Start-up is not in the CPU seconds per million.",
    "flat": "One shard process from its first record to its last: each row is the tenth that ends there, the least"
    " of the runs: whatever else the machine does only adds. But that changes from one tenth to the next: what tells"
    " whether a record costs more by then is the last tenth, which takes turns, message by message, with the second"
    " tenth of a younger shard process; the ratio of these two is the median of the runs.",
    "forks": "Proportional memory after real work, launchers included: shard processes forked from one that has"
    " everything imported (`shard.fork_server = true`), and each started on its own.",
    "memory": "The allowance is `delivery.max_in_flight_bytes` and 40 MiB. In an outage the backend answers 503"
    " (UNAVAILABLE by gRPC) until the shard process has stopped reading. Forked (`shard.fork_server = true`, as in"
    " production), modules are shared with the fork server and count in parts in PSS; RSS counts them whole. With"
    " `--hostile` the records are such as are made to break who reads them: three of a kind, of 10 MiB each, between"
    " good ones, or half a million tiny ones in one message.",
    "hostile": "Records made to break who reads them, between good ones: of 10 MiB three of a kind through a shard"
    " process of their own, of 20 KB two of every kind through one. It is a fault where a record is not delivered and"
    " becomes no dead letter, or both, or twice, or with a reason that is wrong for its kind; where a good one is not"
    " delivered; where the process does not end with status 0, takes more memory than [ec2.md](ec2.md) gives a shard"
    " (pages that it shares with the fork server do not count), or more than half a second of CPU time a megabyte of"
    " payloads and partition keys. For each shard process the page has the kinds that took most.",
    "originals": "Each system is really run, as one process and at the same request latency: a backend on"
    " loopback answers each request after it. All are given the same records (700 bytes), a batch after the other,"
    " until the records or the time is over (the last column says which); a batch that fails is given again as a"
    " whole, as Lambda does. Average time is what a batch keeps the system busy, what is left to deliver at the end"
    " divided among the batches; interval is what lies between batches; the total average time is the sum of both."
    " Records/s is average records by average time, total records/s by total average time. The error rate is the"
    " share of batches that failed: in each batch one player is new, and a table just created takes no rows for a"
    " while (`--new-table-seconds`).",
    "latency": "Player logs (1 KB) put at a rate on one shard of the embedded stack, read by the real KCL every 250 ms"
    " and delivered with `chunk.window = 1s`. A record's time begins with the call of PutRecords and ends with the look"
    " at the backend that sees it (names of objects in S3; rows by table in BigQuery), so it is too long by the time"
    " between two looks at most. Records are not told apart: in a table, and in S3, the k-th record put counts as seen"
    " when k are there. Where a chunk overtakes the one before it, the longer times of the two get too short. A dead"
    " letter or a record written twice voids the run.",
    "kcl": "A stub of Kinesis gives prepared answers of `maxRecords` records (700 bytes; HTTP/2 without TLS) to one"
    " worker of the real KCL, whose leases are in the embedded DynamoDB. Its children are shard processes that deliver"
    " to a backend in another process, which takes everything and looks at it afterwards, or a program that only"
    " acknowledges."
    " The records of a run belong to all its shards together; as many before them warm the JVM up and are not in the"
    " CPU seconds per million. Of several runs of a case, which take turns, the one that cost least counts: whatever"
    " else the machine does only adds. The ratio is to the child that only acknowledges.",
    "recovery": "One shard of the embedded stack at 20 records/s, leases and waits of the KCL as properties/ has them,"
    " `chunk.window = 1s`. From the start of the supervisor, or from the signal, to the first look at the backend that"
    " sees more records. What was on its way at a SIGKILL may still arrive: what the first 3 s bring does not count, so"
    " no figure is below that. On lease tables that do not exist yet the KCL itself waits up to 30 s, at random.",
    "workers": "Workers of the real KCL on one host (`supervisor.lock = worker`), each with supervisor, JVM and fork"
    " server, share the shards of the embedded stack and deliver to its S3, under leases and waits as properties/ has"
    " them. Records of 1 KB come at a steady rate of the whole stream. Balanced is when the workers hold all leases,"
    " none a quarter more or less than its even part; running is when each shard has its process there too; the pause"
    " is the longest that a shard was without one meanwhile. Then CPU time, memory and threads of all workers are"
    " measured for some seconds. Memory beside the JVMs is proportional: of shard processes, launchers and fork"
    " servers, divided by the shards. At this rate most of the JVM's CPU time goes into its polls, one in two seconds"
    " for each shard: what a record costs by the number of shards is told by `bin/bench kcl --shards 1,4,16,64`, which"
    " reads as fast as it can. At the end every object is read and compared with what was put; late are records that"
    " nobody has come to in three minutes, and that a new worker has delivered.",
}
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
        ("jvm_peak_rss_mib", "JVM, peak RSS, MiB"),
    ),
    "recovery": (
        ("backend", "backend"),
        ("event", "event"),
        ("median_seconds", "median, s"),
        ("max_seconds", "largest, s"),
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


def section(*results: dict[str, Any]) -> str:
    """The results of one level as Markdown."""
    level = results[0]["level"]
    lines = [f"## {_TITLES[level]}", "", _TEXTS[level]]
    for result in results:
        lines += [
            "",
            f"`{result['command']}`, {result['runs']} runs; {_described(result['machine'])}",
            "",
            *(
                _table(_BRIEF, list(_brief(result["rows"])))
                if "kind" in result["rows"][0] and len(result["rows"]) > _MANY_ROWS
                else _table(_COLUMNS[level], result["rows"])
            ),
        ]
    return "\n".join(lines)


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


def page(results: Sequence[dict[str, Any]]) -> str:
    """All of docs/benchmarks.md."""
    by_level = [[result for result in results if result["level"] == level] for level in _TITLES]
    return "\n".join([_HEAD, *(f"{section(*same)}\n" for same in by_level if same)])


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


if __name__ == "__main__":
    sys.stdout.write(page([json.loads(Path(name).read_text()) for name in sys.argv[1:]]))
