"""Level `cost`: its input, and what is made of its counts."""

import base64
import json
from itertools import pairwise
from typing import Any

import pytest

from consumer.local.bill import prices
from consumer.local.bill.invoice import TOKEN_BYTES
from consumer.local.child import ROOT
from consumer.settings import load
from tests.bench import cost_report
from tests.bench.cost_level import CASES, RATE, SHARDS, Case, messages

TABLE = prices.load()
ROWS: list[dict[str, Any]] = [
    {
        "case": "insert_all, none",
        "rate": 1000,
        "shards": 2,
        "records": 1000,
        "record_bytes": 1000.0,
        "egress_bytes_a_record": 1300.0,
        "counts": {
            "google_sent_bytes": 1_300_000.0,
            "google_unsigned_requests": 20.0,
            "insert_all_bytes": 1_100_000.0,
            "bigquery_stored_bytes": 1_050_000.0,
        },
        "clock_seconds": 10.0,
        "clock_counts": {"dynamodb_write_units": 5.0, "google_sent_bytes": 1e9},
    },
]
MONTH = 1000 * 730 * 3600


def invoice(name: str) -> cost_report.Invoice:
    return next(made for made in cost_report.invoices(ROWS, TABLE) if made.name == name)


def quantity(made: cost_report.Invoice, item: str) -> float:
    return next(line.quantity for line in made.lines if line.price.item == item)


def test_records_come_as_densely_as_those_of_one_shard_of_the_stream() -> None:
    records = [record for text, _ in messages(1200) for record in json.loads(text)["records"]]
    arrivals = [record["approximateArrivalTimestamp"] for record in records]
    assert len(records) == len({record["sequenceNumber"] for record in records}) == 1200
    assert {later - earlier for earlier, later in pairwise(arrivals)} == {1000 * SHARDS // RATE}
    size = sum(len(base64.b64decode(record["data"])) for record in records)
    assert size == sum(payload_bytes for _, payload_bytes in messages(1200))


@pytest.mark.parametrize(
    ("case", "variant"),
    [(case, variant) for case in CASES if case.backend == "bigquery" for variant in case.variants],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_row_is_of_the_method_the_shape_and_the_compression_that_it_is_named_after(
    case: Case, variant: str
) -> None:
    """Whatever properties/bigquery.properties chooses."""
    places = {"streamName": "s", "bigquery.project": "project", "deadletter.bucket": "bucket"}
    file = ROOT / "properties" / "bigquery.properties"
    chosen = {**places, **case.settings, **case.variants[variant]}
    settings = load("bigquery", file=file, overrides=chosen)
    words = variant.split(", ") if variant else []
    assert settings.text("bigquery.method") == case.name
    assert settings.text("bigquery.row") == ("fields" if "fields" in words else "log")
    if case.name != "load":
        assert settings.text("bigquery.compression") == words[-1]


def test_an_invoice_takes_bytes_by_record_and_leases_by_the_clock() -> None:
    made = invoice("insert_all, none")
    assert quantity(made, "google_sent_bytes") == pytest.approx(MONTH * (1300 + 0.02 * TOKEN_BYTES))
    assert quantity(made, "insert_all_bytes") == pytest.approx(MONTH * 1100)
    assert quantity(made, "dynamodb_write_units") == pytest.approx(730 * 3600 * 0.5)
    assert quantity(made, "fargate_vcpu_hours") == 730 / 2
    assert made.token_bytes == pytest.approx(0.02 * TOKEN_BYTES)


def test_the_stream_is_billed_once_for_all_of_them() -> None:
    made = invoice(cost_report.STREAM)
    assert quantity(made, "kinesis_shard_hours") == 2 * 730
    assert quantity(made, "kinesis_put_units") == MONTH
    assert all("kinesis" not in line.price.item for line in invoice("insert_all, none").lines)


def test_the_tables_show_sums_and_every_line() -> None:
    text = "\n".join(cost_report.tables(ROWS, TABLE))
    assert "| insert_all, none | 1,300 + 20 | " in text
    lines = [line for made in cost_report.invoices(ROWS, TABLE) for line in made.lines]
    assert all(line.price.label in text for line in lines)


def test_other_ways_take_what_their_services_bill() -> None:
    by_name = {way.name: way.month for way in cost_report.ways(ROWS, TABLE)}
    assert by_name["Firehose to S3, gzip"]["firehose_bytes"] == MONTH * 5120
    assert by_name["Lambda to BigQuery, insertAll"]["lambda_requests"] == MONTH / 500
    assert by_name["Pub/Sub import and BigQuery subscription"]["kinesis_fanout_bytes"] == MONTH * 1000
    priced = {price.item for price in TABLE.price}
    assert all(set(month) <= priced for month in by_name.values())
