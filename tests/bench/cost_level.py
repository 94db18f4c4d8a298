"""Level `cost`: what AWS and Google would bill for a steady stream, counted on the embedded stack.

What goes by records (requests, bytes) is counted while a shard process delivers records that lie on the stream as
densely as they would: it cuts the same chunks, however fast the machine is. What goes by the clock (leases,
checkpoints) is counted while the real KCL runs with production's settings and few records flow.
"""

import base64
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from consumer.daemon.prepare.bigquery_tables import BigQueryTables
from consumer.local import backends
from consumer.local import stack as stacks
from consumer.local.bill.ask import Bill
from consumer.local.child import ROOT
from consumer.local.generate import Logs
from consumer.local.readback import BigQueryReader, S3Reader, records_named
from consumer.local.stack import Stack
from consumer.settings import Settings, load
from consumer.settings.table import Backend
from tests.bench.kcl import BenchError, Child
from tests.bench.latency_feed import Feed
from tests.bench.production import production_leases

SHARDS = 2
RATE = 1_000
"""Records a second of the stream that the bill is for."""

RECORDS = 60_000
SECONDS = 60.0
_CLOCK_RATE = 4.0
"""Few enough that the embedded BigQuery, which commits each request, never holds the stream up."""

_MESSAGE_RECORDS = 500
_START_SECONDS = 300.0
_POLL_SECONDS = 0.5
_FIRST_SHARD = 100
"""Past those that the KCL reads; each variant has one of its own, so that none finds the rows of another."""

type Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A backend with its settings, and variants of them that leave leases and checkpoints as they are."""

    name: str
    backend: Backend
    settings: Mapping[str, str] = field(default_factory=dict)
    variants: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: {"": {}})


_COMPRESSION = {name: {"bigquery.compression": name} for name in ("none", "gzip")}
_COLUMNS = {
    "bigquery.row": "fields",
    "bigquery.schema_file": "properties/player_log.schema.json",
    "bigquery.table_prefix": "player_fields",
}
"""A column for each field of the generated logs, RECORDs among them."""

_METHODS: Mapping[str, Mapping[str, str]] = {
    "insert_all": {"bigquery.method": "insert_all"},
    "storage_write": {"bigquery.method": "storage_write"},
    "load": {
        "bigquery.method": "load",
        "chunk.window": "60s",
        "chunk.max_bytes": "64MiB",
        "delivery.max_in_flight_bytes": "256MiB",
    },
}


def _variants(method: str) -> dict[str, Mapping[str, str]]:
    """Both shapes of rows. A load job's file is always compressed."""
    if method == "load":
        return {"": {}, "fields": _COLUMNS}
    by_columns = {f"fields, {name}": {**_COLUMNS, **chosen} for name, chosen in _COMPRESSION.items()}
    return {**_COMPRESSION, **by_columns}


CASES = [
    Case(name="s3", backend="s3"),
    *(
        Case(name=method, backend="bigquery", settings=settings, variants=_variants(method))
        for method, settings in _METHODS.items()
    ),
]


def measure(
    cases: Sequence[Case], *, records: int, seconds: float, folder: Path, say: Say
) -> list[dict[str, Any]]:
    """A row for each variant of each case, which has a fresh stack.

    Raises BenchError when a record is not delivered, or twice.
    """
    rows = []
    for case in cases:
        rows += list(_measured(case, records, seconds, folder / case.name, say))
    return rows


def _measured(case: Case, records: int, seconds: float, folder: Path, say: Say) -> Iterator[dict[str, Any]]:
    with stacks.running(folder, shards=SHARDS) as running:
        stack = running.stack
        chosen = {
            **production_leases(case.backend),
            "worker.state_dir": str(folder / "workers"),
            "http.port": "0",
            **case.settings,
        }
        clock, took = _clock(case, stack, chosen, running.check, seconds, folder, say)
        for shard, (variant, settings) in enumerate(case.variants.items(), _FIRST_SHARD):
            name = f"{case.name}, {variant}" if variant else case.name
            effective = load(
                case.backend,
                file=ROOT / "properties" / f"{case.backend}.properties",
                overrides={**stacks.overrides(stack, case.backend), **chosen, **settings},
            )
            if case.backend == "bigquery":
                _make_tables(effective)
            run = _Run(name, case.backend, stack, effective, f"shardId-{shard:012}")
            counts = run.counts(records, folder)
            row = _row(name, {**case.settings, **settings}, counts, records, clock, took)
            say(f"{name}: {row['egress_bytes_a_record']:,} bytes a record to Google")
            yield row


def _make_tables(settings: Settings) -> None:
    """As the supervisor does, whose tables have the other shape of rows."""
    tables = BigQueryTables(settings)
    for name in tables.names():
        tables.ensure_table(name)


def _clock(
    case: Case,
    stack: Stack,
    chosen: Mapping[str, str],
    check: Callable[[], None],
    seconds: float,
    folder: Path,
    say: Say,
) -> tuple[dict[str, float], float]:
    """What was counted in so many seconds, and how many there were."""
    with ExitStack() as world:
        [daemon] = world.enter_context(backends.started(folder, {case.backend: chosen}))
        feed = world.enter_context(Feed(stack, rate=_CLOCK_RATE, lane_of=lambda player: ""))
        checks = (check, daemon.check, feed.check)
        bill = Bill(stack)
        say(f"{case.name}: waiting for the first checkpoints of the KCL")
        _wait(checks, _START_SECONDS, until=lambda: bill.counts().get("kinesis_get_requests", 0) > SHARDS)
        _wait(checks, seconds / 2)
        bill.reset()
        began = time.monotonic()
        _wait(checks, seconds)
        counts, took = bill.counts(), time.monotonic() - began
        feed.stop()
    return counts, took


@dataclass(frozen=True, slots=True)
class _Run:
    """A shard process that delivers to the stack."""

    name: str
    backend: Backend
    stack: Stack
    settings: Settings
    shard: str

    def counts(self, records: int, folder: Path) -> dict[str, float]:
        """What is counted while it delivers so many; raises BenchError."""
        bill, before = Bill(self.stack), self._delivered()
        settings_file = folder / "settings.json"
        settings_file.write_bytes(self.settings.dump())
        environment = {**stacks.environment(self.stack), "CONSUMER_SETTINGS": str(settings_file)}
        first = {"action": "initialize", "sequenceNumber": "TRIM_HORIZON", "subSequenceNumber": 0}
        with Child(["consumer.shard"], folder, environment) as child:
            child.call(msgspec.json.encode({**first, "shardId": self.shard}) + b"\n")
            bill.reset()
            size = 0
            for message, payload_bytes in messages(records):
                child.call(message)
                size += payload_bytes
            child.end_shard()
            child.close()
        if (found := self._delivered() - before) != records:
            raise BenchError(f"{self.name}: {found} of {records} records are delivered")
        return {**bill.counts(), "payload_bytes": size}

    def _delivered(self) -> int:
        """How many records the backend holds."""
        if self.backend == "s3":
            objects = S3Reader(self.stack, self.settings.text("s3.prefix")).keys()
            return records_named(key for key in objects if self.shard in key)
        tables = BigQueryReader(self.stack, time_column=self.settings.text("bigquery.partition_field"))
        return tables.count(f"{self.settings.text('bigquery.table_prefix')}_")


def messages(records: int) -> Iterator[tuple[bytes, int]]:
    """Messages of the protocol with generated player logs, and the bytes of their payloads: the records of one shard
    of the stream, at the times at which they would have come."""
    base = datetime(2026, 1, 1, tzinfo=UTC)
    arrived_ms = int(base.timestamp()) * 1000
    logs = Logs(count=records, seed=11, base_time=base, records_per_second=RATE).lines()
    first = 0
    while batch := list(islice(logs, _MESSAGE_RECORDS)):
        entries = [
            {
                "action": "record",
                "data": base64.b64encode(log).decode(),
                "partitionKey": f"{index:032x}",
                "sequenceNumber": f"49{index:054}",
                "subSequenceNumber": 0,
                "approximateArrivalTimestamp": arrived_ms + index * 1000 * SHARDS // RATE,
            }
            for index, log in enumerate(batch, first)
        ]
        first += len(batch)
        message = {"action": "processRecords", "millisBehindLatest": 100_000, "records": entries}
        yield msgspec.json.encode(message) + b"\n", sum(map(len, batch))


def _row(
    name: str,
    settings: Mapping[str, str],
    counts: Mapping[str, float],
    records: int,
    clock: Mapping[str, float],
    seconds: float,
) -> dict[str, Any]:
    return {
        "case": name,
        "settings": dict(settings),
        "rate": RATE,
        "shards": SHARDS,
        "records": records,
        "record_bytes": round(counts["payload_bytes"] / records, 1),
        "egress_bytes_a_record": round(counts.get("google_sent_bytes", 0.0) / records, 1),
        "counts": _rounded(counts),
        "clock_seconds": round(seconds, 1),
        "clock_counts": _rounded(clock),
    }


def _rounded(counts: Mapping[str, float]) -> dict[str, float]:
    return {item: round(count, 1) for item, count in sorted(counts.items())}


def _wait(
    checks: Sequence[Callable[[], None]], seconds: float, until: Callable[[], bool] | None = None
) -> None:
    """So long, or until that is so; raises what has ended meanwhile, and BenchError where it does not come to be."""
    deadline = time.monotonic() + seconds
    while not (until and until()):
        for check in checks:
            check()
        left = deadline - time.monotonic()
        if left <= 0:
            if until:
                raise BenchError(f"what was waited for has not happened in {seconds:.0f} s")
            return
        time.sleep(min(_POLL_SECONDS, left))
