"""Builds the sink of `bigquery.method = load` from the settings."""

import time
from typing import Any

from consumer.settings import Settings
from consumer.sinks.base import Sink
from consumer.sinks.bigquery.api.connection import HttpConnection
from consumer.sinks.bigquery.api.queries import Queries
from consumer.sinks.bigquery.footprint import footprint
from consumer.sinks.bigquery.insert_all.build import dry_run
from consumer.sinks.bigquery.load.jobs import LoadJobs
from consumer.sinks.bigquery.load.missing import MissingRowsSink, RowsThere
from consumer.sinks.bigquery.load.requests import Destination
from consumer.sinks.bigquery.load.sink import LoadSink
from consumer.sinks.bigquery.rows.build import encoder_of
from consumer.sinks.bigquery.rows.shapes import INSERT_ALL, LINES
from consumer.sinks.build import ShardContext

__all__ = ["AWS_SERVICES", "USES_GRPC", "build", "footprint"]

AWS_SERVICES: tuple[str, ...] = ()
USES_GRPC = False


def build(context: ShardContext) -> Sink[Any]:
    settings = context.settings
    connection = HttpConnection.of(settings)
    destination = Destination(
        project=settings.text("bigquery.project"),
        dataset=settings.text("bigquery.dataset"),
        location=settings.text("bigquery.location"),
        stream=settings.stream_name,
        shard=context.shard,
        prefix=settings.text("bigquery.load_job_prefix"),
        ignore_unknown=settings.text("bigquery.unknown_fields") == "ignore",
    )
    sink = LoadSink(
        jobs=LoadJobs(connection, destination, sleep=context.sleep),
        dry_run=dry_run(settings, connection, encoder_of(settings, shard=context.shard, wrapping=INSERT_ALL)),
        encoder=encoder_of(settings, shard=context.shard, wrapping=LINES),
        jobs_per_day=settings.integer("bigquery.load_jobs_per_day"),
        now=time.monotonic,
    )
    if not context.is_replay or not settings.flag("bigquery.metadata_columns"):
        return sink
    there = RowsThere(
        queries_of(settings, connection),
        dataset=f"{destination.project}.{destination.dataset}",
        shard=context.shard,
        time_column=settings.text("bigquery.partition_field"),
    )
    return MissingRowsSink(sink, there)


def queries_of(settings: Settings, connection: HttpConnection) -> Queries:
    return Queries(
        connection, project=settings.text("bigquery.project"), location=settings.text("bigquery.location")
    )
