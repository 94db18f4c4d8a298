"""The shard process: one shard, one backend, one conversation with the KCL on stdin and stdout."""
