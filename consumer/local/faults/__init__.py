"""Faults on request: what the embedded AWS and BigQuery can be told to do wrong."""
