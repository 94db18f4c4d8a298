"""Delivers a Kinesis stream of player logs to S3 and BigQuery; see docs/architecture.md."""
