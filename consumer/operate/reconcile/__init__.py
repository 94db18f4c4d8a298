"""Holds what S3 and BigQuery have against each other: what is missing or doubled where."""
