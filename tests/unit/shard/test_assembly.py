"""What the settings come to in a shard process."""

from consumer.settings import load
from consumer.shard.assembly import in_flight_limits

MEBIBYTE = 1024 * 1024


def test_bigquery_s_rows_count_beside_the_payloads_they_are_made_of() -> None:
    in_flight = {"delivery.max_in_flight_bytes": "96MiB"}
    s3 = load("s3", overrides={"s3.bucket": "bucket", **in_flight})
    names = {"bigquery.project": "project", "bigquery.dataset": "dataset", "deadletter.bucket": "bucket"}
    bigquery = load("bigquery", overrides={**names, **in_flight})
    assert in_flight_limits(s3).max_bytes == 96 * MEBIBYTE
    assert in_flight_limits(bigquery).max_bytes == 96 * MEBIBYTE // 5
