"""The bills of level `cost` as tables in Markdown, and what the same stream costs by other ways, at the same prices."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from consumer.local.bill import prices
from consumer.local.bill.invoice import TOKEN_BYTES, Line, Load, a_month, derived, lines, total
from consumer.local.bill.prices import Prices
from consumer.settings import PROJECT_ROOT

_TASK = PROJECT_ROOT / "deploy/ecs/bigquery.task.json"
_RESULTS = PROJECT_ROOT / "docs/benchmarks"
_FIREHOSE_BYTES = 5 * 1024
_FIREHOSE_OBJECTS_A_MINUTE = 1
_LAMBDA_BATCH = 500
_LAMBDA_GB = 0.25
_PUBSUB_OVERHEAD_BYTES = 40
"""Of a message: 20 for its time, and its id."""

_DATAFLOW_VCPU, _DATAFLOW_GB = 2, 7.5
"""One worker of n1-standard-2."""

STREAM = "the stream"


@dataclass(frozen=True, slots=True)
class Invoice:
    name: str
    load: Load
    lines: Sequence[Line]
    record_bytes: float
    egress_bytes: float
    """A record, tokens left out."""

    token_bytes: float
    """A record."""


def invoices(rows: Sequence[Mapping[str, Any]], table: Prices) -> list[Invoice]:
    """Of each row; before them the stream, which is billed whoever reads it."""
    return [_stream(rows[0], table), *(_invoice(row, table) for row in rows)]


def _load(row: Mapping[str, Any], table: Prices) -> Load:
    return Load(records_per_second=row["rate"], hours_a_month=table.hours_a_month)


def _stream(row: Mapping[str, Any], table: Prices) -> Invoice:
    load = _load(row, table)
    payloads = load.records_a_month * row["record_bytes"]
    month = {
        "kinesis_shard_hours": row["shards"] * load.hours_a_month,
        "kinesis_put_units": load.records_a_month,
        "kinesis_extended_shard_hours": row["shards"] * load.hours_a_month,
        "kinesis_fanout_shard_hours": row["shards"] * load.hours_a_month,
        "kinesis_fanout_bytes": payloads,
        "nat_kinesis_bytes": payloads,
        "nat_hours": load.hours_a_month,
    }
    return Invoice(STREAM, load, lines(month, table, load), row["record_bytes"], 0.0, 0.0)


def _invoice(row: Mapping[str, Any], table: Prices) -> Invoice:
    load, records = _load(row, table), row["records"]
    month = a_month(
        row["counts"], row["clock_counts"], records=records, seconds=row["clock_seconds"], load=load
    )
    month = derived(month) | _worker(load)
    tokens = row["counts"].get("google_unsigned_requests", 0.0) * TOKEN_BYTES / records
    invoice = lines(month, table, load)
    return Invoice(row["case"], load, invoice, row["record_bytes"], row["egress_bytes_a_record"], tokens)


def _worker(load: Load) -> dict[str, float]:
    """One task of deploy/ecs, all month."""
    task = json.loads(_TASK.read_bytes())
    return {
        "fargate_vcpu_hours": int(task["cpu"]) / 1024 * load.hours_a_month,
        "fargate_gb_hours": int(task["memory"]) / 1024 * load.hours_a_month,
    }


def tables(rows: Sequence[Mapping[str, Any]], table: Prices) -> list[str]:
    """A table of sums, and one of lines."""
    made = invoices(rows, table)
    return [f"At {table.described}:", "", *_sums(made), "", *_lines(made)]


def _sums(made: Sequence[Invoice]) -> Iterator[str]:
    yield (
        "| | bytes a record to Google, and of its access tokens | delivery, USD a million records | USD a month"
        " | storage of a month's records, USD a month |"
    )
    yield "| --- | --: | --: | --: | --: |"
    for invoice in made:
        delivery, storage = total(invoice.lines), total(invoice.lines, ("storage",))
        sent = f"{invoice.egress_bytes:,.0f}" if invoice.egress_bytes else "–"
        tokens = f" + {invoice.token_bytes:,.0f}" if invoice.token_bytes >= 0.5 else ""
        million = delivery / invoice.load.records_a_month * 1e6
        yield f"| {invoice.name} | {sent}{tokens} | {million:.4f} | {delivery:,.2f} | {_usd(storage)} |"


def _lines(made: Sequence[Invoice]) -> Iterator[str]:
    yield "| | | a month | unit | USD a million records | USD a month |"
    yield "| --- | --- | --: | --- | --: | --: |"
    for invoice in made:
        for line in invoice.lines:
            price = line.price
            mark = "" if price.kind == "delivery" else f" ({price.kind})"
            yield (
                f"| {invoice.name} | {price.label}{mark} | {_quantity(price.units(line.quantity))} | {price.unit}"
                f" | {line.usd_a_million:.4f} | {line.usd_a_month:,.2f} |"
            )


def _usd(value: float) -> str:
    return f"{value:,.2f}" if value else "–"


def _quantity(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"


@dataclass(frozen=True, slots=True)
class Way:
    """Another way to bring the stream to where the daemon brings it, and what a month of it takes."""

    name: str
    month: Mapping[str, float]


def ways(rows: Sequence[Mapping[str, Any]], table: Prices) -> list[Way]:
    """By the rows of the level, which say how large records are, and what goes over the wire uncompressed."""
    by_name = {row["case"]: row for row in rows}
    plain = by_name["insert_all, none"]
    load = _load(plain, table)
    records, hours = load.records_a_month, load.hours_a_month
    payloads = records * plain["record_bytes"]
    uncompressed = derived(a_month(plain["counts"], {}, records=plain["records"], seconds=1, load=load))
    stored = {"bigquery_stored_bytes": uncompressed["bigquery_stored_bytes"]}
    objects = {"s3_put_requests": _FIREHOSE_OBJECTS_A_MINUTE * 60 * hours}
    firehose = {"firehose_bytes": records * _FIREHOSE_BYTES, **objects}
    batches = records / _LAMBDA_BATCH
    messages = payloads + records * _PUBSUB_OVERHEAD_BYTES
    fan_out = {
        "kinesis_fanout_shard_hours": plain["shards"] * hours,
        "kinesis_fanout_bytes": payloads,
        "google_sent_bytes": payloads,
    }
    return [
        Way("Firehose to S3, gzip", firehose),
        Way("Firehose to S3, Parquet", {**firehose, "firehose_conversion_bytes": records * _FIREHOSE_BYTES}),
        Way(
            "Lambda to BigQuery, insertAll",
            {
                "lambda_requests": batches,
                "lambda_gb_seconds": batches * lambda_seconds() * _LAMBDA_GB,
                "google_sent_bytes": uncompressed["google_sent_bytes"],
                "insert_all_bytes": uncompressed["insert_all_bytes"],
                **stored,
            },
        ),
        Way(
            "Pub/Sub import and BigQuery subscription",
            {**fan_out, "pubsub_import_bytes": messages, "pubsub_bigquery_bytes": messages, **stored},
        ),
        Way(
            "Dataflow, Storage Write API",
            {
                "google_sent_bytes": payloads,
                "dataflow_vcpu_hours": _DATAFLOW_VCPU * hours,
                "dataflow_gb_hours": _DATAFLOW_GB * hours,
                "dataflow_bytes": payloads,
                "storage_write_bytes": stored["bigquery_stored_bytes"],
                **stored,
            },
        ),
    ]


def lambda_seconds() -> float:
    """How long a batch keeps a function busy: as docs/benchmarks/originals.json has it of the system that sends side by
    side."""
    rows = json.loads((_RESULTS / "originals.json").read_bytes())["rows"]
    [row] = [row for row in rows if row["system"] == "gevent, 16 tables"]
    return float(row["average_seconds"])


def other_ways() -> str:
    """The table of docs/cost.md, by docs/benchmarks/cost.json."""
    table, rows = prices.load(), _committed()
    load = _load(rows[0], table)
    made = [
        Invoice(way.name, load, _delivery(lines(way.month, table, load)), 0.0, 0.0, 0.0)
        for way in ways(rows, table)
    ]
    sums = ["| | USD a million records | USD a month |", "| --- | --: | --: |"]
    for invoice in made:
        month = total(invoice.lines, ("delivery", "option"))
        sums.append(f"| {invoice.name} | {month / load.records_a_month * 1e6:.4f} | {month:,.2f} |")
    checked = [
        "| | | a month | unit | USD a month | price checked |",
        "| --- | --- | --: | --- | --: | --- |",
    ]
    for invoice in made:
        for line in invoice.lines:
            price = line.price
            checked.append(
                f"| {invoice.name} | {price.label} | {_quantity(price.units(line.quantity))} | {price.unit}"
                f" | {line.usd_a_month:,.2f} | {price.checked} |"
            )
    return "\n".join([*sums, "", *checked]) + "\n"


def _delivery(invoice: Sequence[Line]) -> list[Line]:
    return [line for line in invoice if line.price.kind != "storage"]


def price_table() -> str:
    """prices.toml as docs/cost.md shows it."""
    table = prices.load()
    made = [
        f"{table.described[0].upper()}{table.described[1:]}; a month has {table.hours_a_month:.0f} hours.",
        "",
        "| | USD | for | free a month | checked | |",
        "| --- | --: | --- | --: | --- | --- |",
    ]
    for price in table.price:
        free = f"{price.free:,.0f}" if price.free else "–"
        more = "; ".join(
            [f"{after:,g} from {since:,.0f} on" for since, after in price.tiers]
            + ([price.note] * bool(price.note))
        )
        made.append(
            f"| [{price.label}]({price.page}) | {price.price:g} | {price.unit} | {free} | {price.checked} | {more} |"
        )
    return "\n".join(made) + "\n"


def _committed() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((_RESULTS / "cost.json").read_bytes())["rows"]
    return rows
