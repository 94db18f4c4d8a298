"""How long writes take, as counts in fixed buckets: what many processes have measured can be added up."""

from bisect import bisect_left

BOUNDS_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""The upper bound of each bucket, itself included; one more bucket holds what took longer."""


class Latency:
    """Of the requests of one shard process."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_SECONDS) + 1)
        self.sum_seconds = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS_SECONDS, seconds)] += 1
        self.sum_seconds += seconds
