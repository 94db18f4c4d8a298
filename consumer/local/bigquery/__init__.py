"""BigQuery on loopback: local-bigquery, its insertAll corrected."""
