"""`python3 -m consumer.shard`: what the KCL starts for each shard."""

from consumer.shard.process.orphans import end_when_orphaned

end_when_orphaned()

from consumer.shard.process.patching import patch_all  # noqa: E402 - it takes a while, and the JVM may end meanwhile

patch_all()

from consumer.shard.process.entry import main  # noqa: E402 - sockets and sleeps are patched before anything uses them

main()
