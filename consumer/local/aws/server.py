"""moto as one process on a free loopback port: `python -m consumer.local.aws`.

moto's own server cannot speak HTTP/2 with prior knowledge, which the KCL does; hypercorn can. State is
in memory, hence one worker. hypercorn calls the application from several threads and moto has no locks,
so requests are let in one at a time; with one interpreter lock that costs nothing.
"""

import argparse
import asyncio
import json
import signal
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from hypercorn.asyncio import serve
from hypercorn.config import Config
from hypercorn.middleware import AsyncioWSGIMiddleware
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.utilities import dynamo_json_dump
from moto.kinesis.models import kinesis_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from consumer.local.aws import connections, kinesis
from consumer.local.aws.fan_out import FanOut
from consumer.local.aws.reads import READS_PATH, read_to_their_end
from consumer.local.bill.aws import Aws
from consumer.local.bill.layer import MeterLayer
from consumer.local.bill.meter import Meter
from consumer.local.child import Child
from consumer.local.faults.connection import App, Message, Receive, Scope, Send
from consumer.local.faults.layer import FaultLayer
from consumer.local.faults.requests import aws_request
from consumer.local.limits.aws import AwsLimits
from consumer.local.limits.layer import LimitLayer
from consumer.local.limits.meters import Meters
from consumer.local.limits.options import add_child_option
from consumer.local.limits.table import Limits
from consumer.local.stack import REGION

#: Above a PutRecords request at its limit: 10 MiB in base64.
MAX_BODY_BYTES = 64 * 1024 * 1024

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


def application(lock: threading.Lock | None = None) -> Application:
    """moto's WSGI application for all services, one request at a time, which holds `lock`."""
    kinesis.install()
    moto = DomainDispatcherApplication(create_backend_app)
    lock = lock or threading.Lock()

    def one_at_a_time(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        with lock:
            if environ["PATH_INFO"].startswith(f"{READS_PATH}/"):
                return [_reads(environ["PATH_INFO"], start_response)]
            # hypercorn sends the headers with the first piece of the body, and the answer to HEAD has none
            return [b"".join(moto(environ, start_response))]

    return one_at_a_time


def stored_item(table: str, key: dict[str, Any]) -> dict[str, Any] | None:
    """An item of moto's DynamoDB as it is at the moment; None where there is none under the key."""
    found = dynamodb_backends[DEFAULT_ACCOUNT_ID][REGION].get_item(table, key)
    return None if found is None else json.loads(dynamo_json_dump(found))["Attributes"]


def _reads(path: str, start_response: Any) -> bytes:
    region, _, stream_name = path.removeprefix(f"{READS_PATH}/").partition("/")
    backend = kinesis_backends[DEFAULT_ACCOUNT_ID][region]
    assert isinstance(backend, kinesis.Backend)
    if stream_name not in backend.streams:
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return f"no stream {stream_name} in {region}\n".encode()
    shards = backend.streams[stream_name].shards.values()
    tables = dynamodb_backends[DEFAULT_ACCOUNT_ID][region].tables.values()
    told = backend.reads.of(
        stream_name, {shard.shard_id: shard.parents() for shard in shards}, read_to_their_end(tables)
    )
    start_response("200 OK", [("Content-Type", "application/json")])
    return msgspec.json.encode(told)


class AnswerAtEnd:
    """An ASGI application that lets another finish before any of its answer is sent.

    hypercorn's WSGI threads wait for each piece to be sent, and for ever where an HTTP/2 client was killed at that
    moment; there are as few of them as processors. A coroutine that waits costs nobody anything.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append(message)

        await self._app(_as_it_came(scope), receive, keep)
        for message in answer:
            await send(message)


def _as_it_came(scope: Scope) -> Scope:
    """With the escapes that its path came with: moto undoes them itself, and keys of objects have some of their own."""
    return {**scope, "path": scope["raw_path"].decode()} if "raw_path" in scope else scope


def _config(listener: socket.socket) -> Config:
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    # Idle clients keep their connections: a closed one costs a client a failed request now and then.
    config.keep_alive_timeout = 3600
    config.keep_alive_max_requests = 1 << 40
    config.graceful_timeout = config.shutdown_timeout = 0.2
    return config


def _limited(app: App, limits: Limits | None) -> App:
    if limits is None:
        return app
    meters = Meters(limits)
    return LimitLayer(app, AwsLimits(meters, kinesis.shard_of), meters)


async def _serve(listener: socket.socket, limits: Limits | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    connections.install()
    lock = threading.Lock()
    moto: Any = AsyncioWSGIMiddleware(application(lock), MAX_BODY_BYTES)
    bill = Meter()
    faults = FaultLayer(FanOut(_limited(AnswerAtEnd(moto), limits), lock), aws_request)
    layer: Any = MeterLayer(faults, bill, Aws(bill, stored_item).account)
    await serve(layer, _config(listener), mode="asgi", shutdown_trigger=stop.wait)


def main() -> None:
    """Serve until SIGTERM or SIGINT; tells the parent its port once it takes connections."""
    child = Child.from_environment()
    parser = argparse.ArgumentParser(prog="consumer.local.aws")
    add_child_option(parser)
    limits = parser.parse_args().limits
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    child.ready(port=listener.getsockname()[1])
    asyncio.run(_serve(listener, limits))
