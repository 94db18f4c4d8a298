"""BigQuery by tabledata.insertAll."""
