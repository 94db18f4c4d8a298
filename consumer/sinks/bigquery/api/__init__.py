"""BigQuery's REST API: who asks, and by which connection."""
