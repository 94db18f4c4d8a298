"""The sum for the memory of a host, as docs/ec2.md tells it, in MiB. Tests hold it against real runs."""

from consumer.settings import Settings
from tests.bench.shard_level import MIB

BACKEND_MIB = 256
"""The JVM beside its heap, the supervisor, and the fork server, which has SERVER_MIB of it."""
SERVER_MIB = 60
FORKED_MIB = 25
APART_MIB = 60
"""A shard process without records, started without a fork server."""
GRPC_MIB = 20
PYARROW_MIB = 70
"""For rows that the C library cannot write."""

HEAP_LEAST_MIB = 384
HEAP_MIB = 128
HEAP_ANSWERS = 12
ANSWER_MIB = 10
"""As the supervisor has them, consumer/daemon/supervise/heap.py."""


def heap_mib(shards: int, *, answer_mib: float = ANSWER_MIB) -> int:
    """How large the JVM's heap may become where there is memory enough."""
    return max(HEAP_LEAST_MIB, round(HEAP_MIB + shards * HEAP_ANSWERS * answer_mib))


def shard_mib(settings: Settings) -> float:
    """The most that one shard takes beside the JVM: records on their way, those of open chunks, and what is made of
    them."""
    process = FORKED_MIB if settings.flag("shard.fork_server") else APART_MIB
    if settings.optional_text("bigquery.method") == "storage_write":
        process += GRPC_MIB
        if settings.text("bigquery.row") == "fields":
            process += PYARROW_MIB
    in_flight = settings.integer("delivery.max_in_flight_bytes")
    return process + (in_flight + 2 * settings.integer("chunk.max_bytes")) / MIB


def host_mib(settings: Settings, *, heap_mib: int, shards: int) -> float:
    """The most that one backend takes of a host, whose worker may hold so many shards."""
    return heap_mib + BACKEND_MIB + shards * shard_mib(settings)
