"""BigQuery by the Storage Write API: each row exactly once, by counting the rows of a shard in each table."""
