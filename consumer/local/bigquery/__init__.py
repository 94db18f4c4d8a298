"""BigQuery on loopback: local-bigquery, its insertAll corrected."""

ROWS_PATH = "/_rows"
"""Beside the API: how many rows the tables hold. Query: project, dataset, prefix of the tables' names."""
