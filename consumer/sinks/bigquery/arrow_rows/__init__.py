"""Rows as Arrow, by the rules of the tables: for the Storage Write API, and for Parquet in S3."""
