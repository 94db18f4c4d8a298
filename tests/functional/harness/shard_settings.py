"""Settings of shard processes under test: quick retries and checkpoints, stubs for backends."""

from collections.abc import Mapping

from consumer.settings import Settings, load
from tests.functional.harness.bigquery_stub import BigQueryStub
from tests.functional.harness.s3_stub import S3Stub

COMMON = {
    "streamName": "player-logs",
    "regionName": "us-east-1",
    "AwsCredentialsProvider": "DefaultCredentialsProvider",
    "retry.base": "1ms",
    "retry.max": "100ms",
    "checkpoint.interval": "100ms",
}

ONE_RECORD_A_CHUNK = {"chunk.max_records": "1", "delivery.max_in_flight_chunks": "100"}


def s3_overrides(s3: S3Stub) -> dict[str, str]:
    return {
        **COMMON,
        "applicationName": "player-log-s3",
        "s3.bucket": s3.bucket,
        "s3.endpoint_url": s3.url,
    }


def s3_settings(s3: S3Stub, changes: Mapping[str, str] | None = None) -> Settings:
    return load("s3", overrides={**s3_overrides(s3), **(changes or {})})


def bigquery_overrides(bigquery: BigQueryStub, s3: S3Stub) -> dict[str, str]:
    return {
        **COMMON,
        "applicationName": "player-log-bigquery",
        "deadletter.bucket": s3.bucket,
        "s3.endpoint_url": s3.url,
        "bigquery.project": "local-project",
        "bigquery.dataset": "player_logs",
        "bigquery.api_endpoint": bigquery.url,
        "bigquery.credentials": "anonymous",
    }


def bigquery_settings(
    bigquery: BigQueryStub, s3: S3Stub, changes: Mapping[str, str] | None = None
) -> Settings:
    return load("bigquery", overrides={**bigquery_overrides(bigquery, s3), **(changes or {})})


def storage_write_settings(
    google_url: str, dynamodb_url: str, s3: S3Stub, changes: Mapping[str, str] | None = None
) -> Settings:
    """One chunk a batch: records arrive at one moment, and the next is sealed by their number."""
    own = {
        "applicationName": "player-log-bigquery",
        "deadletter.bucket": s3.bucket,
        "s3.endpoint_url": s3.url,
        "dynamoDBEndpoint": dynamodb_url,
        "bigquery.method": "storage_write",
        "bigquery.project": "local-project",
        "bigquery.dataset": "player_logs",
        "bigquery.storage_endpoint": google_url,
        "bigquery.credentials": "anonymous",
        "bigquery.compression": "gzip",
        "chunk.max_records": "1",
    }
    return load("bigquery", overrides={**COMMON, **own, **(changes or {})})
