"""Children to compare the shard process with."""

WATCHED_VARIABLE = "BENCH_WATCHED"
"""The file to which the program `watched` writes its result."""
