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

_ALWAYS = (
    "consumer.shard.process.entry",
    "consumer.sinks.json.judge",
    # imported by others when they are first needed
    "encodings.idna",
    "gevent.resolver.thread",
    "gevent.threadpool",
)
_S3 = ("consumer.sinks.s3.sink", "boto3.s3.inject")
_BY_METHOD = {
    "insert_all": ("consumer.shard.process.bigquery_sinks",),
    "load": (
        "consumer.shard.process.bigquery_sinks",
        "consumer.sinks.bigquery.load.jobs",
        "consumer.sinks.bigquery.load.sieve",
        "consumer.sinks.bigquery.load.sink",
    ),
    "storage_write": (
        "consumer.sinks.bigquery.storage_write.messages",
        "consumer.sinks.bigquery.storage_write.rows.log_rows",
        "consumer.sinks.bigquery.storage_write.store",
        "consumer.sinks.bigquery.api.token",
        "consumer.sinks.bigquery.api.identity",
    ),
}


def preload() -> None:
    """For the settings that the environment names."""
    settings = Settings.parse(Path(os.environ[SETTINGS_VARIABLE]).read_bytes())
    for module in (*_ALWAYS, *_of_backend(settings)):
        importlib.import_module(module)
    library.load()
    for service in _services(settings):
        share_models(service)


def settle() -> None:
    """Leaves no event loop behind: importing urllib3 makes one, by opening a socket to see whether there is IPv6."""
    get_hub().destroy(destroy_loop=True)


def _of_backend(settings: Settings) -> tuple[str, ...]:
    return _S3 if settings.backend == "s3" else _BY_METHOD[settings.text("bigquery.method")]


def _services(settings: Settings) -> tuple[str, ...]:
    """Those of AWS that every shard process has a client of."""
    if settings.backend == "s3":
        return ("s3",)
    return ("dynamodb",) if settings.text("bigquery.method") == "storage_write" else ()
