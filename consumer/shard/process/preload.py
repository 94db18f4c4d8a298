"""What a shard process imports and reads before it knows its shard, done once for all that are forked from here.

gRPC and pyarrow are left to the shard processes: both start threads, which a fork does not carry over.
"""

import importlib
import os
from pathlib import Path

from gevent.hub import get_hub

from consumer.domain.names import SETTINGS_VARIABLE
from consumer.native import library
from consumer.settings import Settings
from consumer.sinks.aws import share_models
from consumer.sinks.build import sink_module

_ALWAYS = (
    "consumer.shard.process.entry",
    "consumer.sinks.json.judge",
    # imported by others when they are first needed
    "encodings.idna",
    "gevent.resolver.thread",
    "gevent.threadpool",
)


def preload() -> None:
    """For the settings that the environment names."""
    settings = Settings.parse(Path(os.environ[SETTINGS_VARIABLE]).read_bytes())
    for name in _ALWAYS:
        importlib.import_module(name)
    library.load()
    for service in sink_module(settings).AWS_SERVICES:
        share_models(service)


def settle() -> None:
    """Leaves no event loop behind: importing urllib3 makes one, by opening a socket to see whether there is IPv6."""
    get_hub().destroy(destroy_loop=True)
