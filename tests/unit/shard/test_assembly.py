"""What the settings come to in a shard process."""

from consumer.domain.columns import RECORD_BYTES, Records
from consumer.settings import load
from consumer.shard.process.assembly import in_flight_limits
from tests.unit.builders import record

MEBIBYTE = 1024 * 1024


def test_bigquery_s_rows_count_beside_the_payloads_they_are_made_of() -> None:
    in_flight = {"delivery.max_in_flight_bytes": "96MiB"}
    s3 = load("s3", overrides={"s3.bucket": "bucket", **in_flight})
    names = {"bigquery.project": "project", "bigquery.dataset": "dataset", "deadletter.bucket": "bucket"}
    bigquery = load("bigquery", overrides={**names, **in_flight})
    assert in_flight_limits(s3).max_bytes == in_flight_limits(bigquery).max_bytes == 96 * MEBIBYTE
    records = Records.of([record(b"x" * 1000, sequence="1" * 56)] * 3)
    held = 3 * (1000 + len("\n") + len("pk") + 56 + RECORD_BYTES)
    assert in_flight_limits(s3).footprint.of(records) == held
    assert in_flight_limits(bigquery).footprint.of(records) == held + 3 * (4 * 1000 + 300)
    parquet = load("s3", overrides={"s3.bucket": "bucket", "s3.format": "parquet"})
    assert in_flight_limits(parquet).footprint.of(records) == held + 3 * (3 * 1000 + 150)
    metadata = load("bigquery", overrides={**names, "bigquery.metadata_columns": "true"})
    assert in_flight_limits(metadata).footprint.of(records) == held + 3 * (4 * 1000 + 300 + 250)
