"""`python3 -m consumer.shard`: what the KCL starts for each shard."""

from gevent import monkey

monkey.patch_all()

from consumer.shard.entry import main  # noqa: E402 - sockets and sleeps are patched before anything uses them

main()
