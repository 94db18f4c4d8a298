"""`python3 -m consumer.shard`: what the KCL starts for each shard."""

from consumer.shard.orphans import end_when_orphaned

end_when_orphaned()

from gevent import monkey  # noqa: E402 - what follows takes a while, and the JVM may end meanwhile

monkey.patch_all()

from consumer.shard.entry import main  # noqa: E402 - sockets and sleeps are patched before anything uses them

main()
