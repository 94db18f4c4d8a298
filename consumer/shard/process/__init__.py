"""The shard process: how it starts, is forked and ends."""
