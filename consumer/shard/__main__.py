"""`python3 -m consumer.shard`: what the KCL starts for each shard."""

from consumer.shard.orphans import end_when_orphaned

end_when_orphaned()

from consumer.shard.patching import patch_all  # noqa: E402 - it takes a while, and the JVM may end meanwhile

patch_all()

from consumer.shard.entry import main  # noqa: E402 - sockets and sleeps are patched before anything uses them

main()
