"""Builds the BigQuery sinks that write JSON, from the settings; imported by shard processes that use one."""

import time
from typing import Any

import gevent

from consumer.settings import Settings
from consumer.settings.columns import schema_columns
from consumer.sinks.base import Sink
from consumer.sinks.bigquery.api.connection import HttpConnection
from consumer.sinks.bigquery.api.identity import GoogleIdentity
from consumer.sinks.bigquery.insert_all.requests import RequestLimits
from consumer.sinks.bigquery.insert_all.sink import BigQuerySink
from consumer.sinks.bigquery.rows.build import row_encoder
from consumer.sinks.bigquery.rows.encoder import RowEncoder
from consumer.sinks.bigquery.rows.shapes import INSERT_ALL, LINES, Wrapping


def insert_all_sink(settings: Settings, shard: str) -> Sink[Any]:
    limits = RequestLimits(
        max_rows=settings.integer("bigquery.rows_per_request"),
        max_bytes=settings.integer("bigquery.max_request_bytes"),
    )
    return BigQuerySink(
        connection=_connection(settings),
        project=settings.text("bigquery.project"),
        dataset=settings.text("bigquery.dataset"),
        encoder=_encoder(settings, shard, INSERT_ALL, max_row_bytes=limits.max_row_bytes),
        limits=limits,
        ignore_unknown=settings.text("bigquery.unknown_fields") == "ignore",
    )


def load_sink(settings: Settings, shard: str) -> Sink[Any]:
    from consumer.sinks.bigquery.load.jobs import LoadJobs
    from consumer.sinks.bigquery.load.requests import Destination
    from consumer.sinks.bigquery.load.sieve import Sieve
    from consumer.sinks.bigquery.load.sink import LoadSink

    connection = _connection(settings)
    destination = Destination(
        project=settings.text("bigquery.project"),
        dataset=settings.text("bigquery.dataset"),
        location=settings.text("bigquery.location"),
        stream=settings.stream_name,
        shard=shard,
        prefix=settings.text("bigquery.load_job_prefix"),
        ignore_unknown=settings.text("bigquery.unknown_fields") == "ignore",
    )
    return LoadSink(
        jobs=LoadJobs(connection, destination, sleep=gevent.sleep),
        sieve=Sieve(
            connection,
            destination,
            _encoder(settings, shard, INSERT_ALL),
            settings.text("bigquery.partition_field"),
        ),
        encoder=_encoder(settings, shard, LINES),
        jobs_per_day=settings.integer("bigquery.load_jobs_per_day"),
        now=time.monotonic,
    )


def _connection(settings: Settings) -> HttpConnection:
    return HttpConnection(
        endpoint=settings.optional_text("bigquery.api_endpoint"),
        identity=GoogleIdentity.of(settings),
        connections=settings.integer("delivery.concurrency"),
        connect_timeout_seconds=settings.seconds("bigquery.connect_timeout"),
        read_timeout_seconds=settings.seconds("bigquery.read_timeout"),
    )


def _encoder(
    settings: Settings, shard: str, wrapping: Wrapping, *, max_row_bytes: int | None = None
) -> RowEncoder:
    return row_encoder(
        settings,
        schema_columns(settings),
        stream=settings.stream_name,
        shard=shard,
        wrapping=wrapping,
        max_row_bytes=max_row_bytes,
    )
