"""Delivers a Kinesis stream of player logs to S3 and BigQuery; see docs/architecture.md."""

__version__ = "0.1.0"
"""The one place of the version; CHANGELOG.md says what each has."""
