"""Which sink the settings ask for: the one table of backends and methods.

Each has a module `build` of its own. It imports all that can be imported before a fork; what starts threads (gRPC,
pyarrow) it leaves to the shard process.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

from consumer.domain.chunks import Footprint
from consumer.domain.dead_letters import ShareGuard
from consumer.domain.records import Position
from consumer.settings import Settings
from consumer.sinks.base import Sink

_MODULES = {
    "s3": "consumer.sinks.s3.build",
    "insert_all": "consumer.sinks.bigquery.insert_all.build",
    "load": "consumer.sinks.bigquery.load.build",
    "storage_write": "consumer.sinks.bigquery.storage_write.build",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardContext:
    """What a sink is built from. `start` is the checkpoint that the shard is read from, None where there is none;
    `is_replay` says that the shard was delivered before, by another application; `new_guard` makes a judge of how many
    dead letters are too many; `sleep` blocks the calling greenlet, in seconds."""

    settings: Settings
    shard: str
    start: Position | None
    is_replay: bool = False
    new_guard: Callable[[], ShareGuard]
    sleep: Callable[[float], object]
    transform_digest: str = ""
    """Of the transform that records have gone through, empty without one."""


class SinkModule(Protocol):
    """What a module `build` offers."""

    AWS_SERVICES: tuple[str, ...]
    """Those of which every shard process has a client."""

    USES_GRPC: bool

    @staticmethod
    def build(context: ShardContext) -> Sink[Any]: ...

    @staticmethod
    def footprint(settings: Settings) -> Footprint: ...


def sink_module(settings: Settings) -> SinkModule:
    """The one that the settings ask for."""
    name = "s3" if settings.backend == "s3" else settings.text("bigquery.method")
    return cast("SinkModule", importlib.import_module(_MODULES[name]))
