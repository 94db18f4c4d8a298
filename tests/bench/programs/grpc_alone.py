"""The shard process on gRPC's own support of gevent, without what consumer/shard/process/grpc_on_gevent.py adds."""

from consumer.shard.process.patching import patch_all

patch_all()

import grpc.experimental.gevent  # noqa: E402 - sockets and threads are patched before it uses them

from consumer.shard.process import grpc_on_gevent  # noqa: E402
from consumer.shard.process.entry import main  # noqa: E402

grpc_on_gevent.use_gevent = grpc.experimental.gevent.init_gevent
main()
