"""The backends: how a chunk becomes durable."""
