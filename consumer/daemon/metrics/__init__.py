"""The daemon's metrics: one table, and the three forms in which they leave: /metrics, OTLP and EMF."""
