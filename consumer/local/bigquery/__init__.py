"""BigQuery on loopback: local-bigquery, its insertAll corrected."""

ROWS_PATH = "/_rows"
"""Beside the API: how many rows each table holds. Query: project, dataset, prefix of the tables' names."""
