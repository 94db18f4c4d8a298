"""Children to compare the shard process with."""
