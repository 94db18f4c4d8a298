"""local-bigquery as one process on free loopback ports: `python -m consumer.local.bigquery DATA_DIR`."""

import argparse
import asyncio
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pyarrow
import uvicorn
from local_bigquery.settings import settings
from uvicorn.protocols.http.h11_impl import H11Protocol

from consumer.local.bigquery import extensions
from consumer.local.bill.appends import Appends
from consumer.local.bill.bigquery import BigQuery, Tables
from consumer.local.bill.layer import MeterLayer
from consumer.local.bill.meter import Meter
from consumer.local.bill.relay import Relay
from consumer.local.child import Child
from consumer.local.faults.connection import connected
from consumer.local.faults.layer import FaultLayer
from consumer.local.faults.requests import bigquery_request
from consumer.local.faults.rules import Rules
from consumer.local.limits.bigquery import BigQueryLimits
from consumer.local.limits.layer import LimitLayer
from consumer.local.limits.meters import Meters
from consumer.local.limits.options import add_child_option
from consumer.local.limits.storage_write import WriteLimits

_HOST = "127.0.0.1"


class _Connection(H11Protocol):
    """One accepted connection, which the requests on it can reset."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app = connected(self.app, transport)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="consumer.local.bigquery")
    parser.add_argument("data_dir", type=Path, help="where tables are kept")
    parser.add_argument("--project", default="local")
    parser.add_argument("--dataset", default="local")
    parser.add_argument("--deduplication-seconds", type=float, default=60.0)
    add_child_option(parser)
    return parser.parse_args()


def _without_pandas() -> None:
    """DuckDB looks for pandas at each row it is given, through all of sys.path: two thirds of an insert's cost."""
    pyarrow.array([0])  # it looks once, and does not take None for an answer
    sys.modules["pandas"] = None  # type: ignore[assignment]


def main() -> None:
    """Serve REST and gRPC until SIGTERM; tells the parent both ports once requests are answered."""
    child = Child.from_environment()
    arguments = _arguments()
    if extensions.HOME.is_dir():
        os.environ["HOME"] = str(extensions.HOME)
    _without_pandas()
    settings.data_dir = arguments.data_dir
    settings.default_project_id = arguments.project
    settings.default_dataset_id = arguments.dataset
    # These read the settings when they are imported.
    from local_bigquery.app import app
    from local_bigquery.engine import database

    from consumer.local.bigquery import insert_all, load, row_counts, storage_write

    meters = arguments.limits and Meters(arguments.limits)
    memory = meters.value("insert_all.memory") if meters else arguments.deduplication_seconds
    twice = insert_all.Twice() if meters else None
    insert_all.install(memory, twice)
    load.install()
    storage_write.install()
    row_counts.add_to(app)
    rules = Rules()
    # a request is one small statement: handing it to other threads costs more than they save
    database.connection().execute("SET threads = 1")
    listener = socket.create_server((_HOST, 0), backlog=256)
    bill, known = Meter(), Tables()
    interceptors: list[Any] = [Appends(bill, known)]
    interceptors += [WriteLimits(meters, storage_write.resource_of)] if meters else []
    grpc_server, grpc_port = storage_write.serve(_HOST, rules, interceptors=interceptors)
    relay = Relay(_HOST, grpc_port, bill)
    child.ready(port=listener.getsockname()[1], grpc_port=relay.port)
    limited: Any = app
    if meters and twice:
        limited = LimitLayer(app, BigQueryLimits(meters), meters, lambda: {"stored_twice": twice.rows})
    faults = FaultLayer(limited, bigquery_request, rules=rules)
    config = uvicorn.Config(
        MeterLayer(faults, bill, BigQuery(bill, known).account),
        http=_Connection,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=3600,
        timeout_graceful_shutdown=1,
    )
    uvicorn.Server(config).run(sockets=[listener])
    relay.close()
    grpc_server.stop(None)
