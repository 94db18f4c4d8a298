"""The embedded stack: AWS and BigQuery on loopback, a producer, and the demo that proves delivery."""
