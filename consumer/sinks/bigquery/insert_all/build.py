"""Builds the sink of `bigquery.method = insert_all` from the settings."""

import time
from typing import Any

from consumer.settings import Settings
from consumer.settings.columns import schema_columns
from consumer.sinks.base import Sink
from consumer.sinks.bigquery.api.connection import HttpConnection
from consumer.sinks.bigquery.footprint import footprint
from consumer.sinks.bigquery.insert_all.dry_run import DryRun
from consumer.sinks.bigquery.insert_all.requests import RequestLimits
from consumer.sinks.bigquery.insert_all.sink import BigQuerySink
from consumer.sinks.bigquery.rows.build import encoder_of
from consumer.sinks.bigquery.rows.encoder import RowEncoder
from consumer.sinks.bigquery.rows.shapes import INSERT_ALL
from consumer.sinks.bigquery.table_check import sample_record
from consumer.sinks.build import ShardContext

__all__ = ["AWS_SERVICES", "USES_GRPC", "build", "footprint"]

AWS_SERVICES: tuple[str, ...] = ()
USES_GRPC = False


def build(context: ShardContext) -> Sink[Any]:
    settings = context.settings
    limits = RequestLimits(
        max_rows=settings.integer("bigquery.rows_per_request"),
        max_bytes=settings.integer("bigquery.max_request_bytes"),
    )
    connection = HttpConnection.of(settings)
    encoder = encoder_of(
        settings, shard=context.shard, wrapping=INSERT_ALL, max_record_bytes=limits.max_row_bytes
    )
    return BigQuerySink(
        connection=connection,
        tables_path=tables_path(settings),
        encoder=encoder,
        limits=limits,
        dry_run=dry_run(settings, connection, encoder),
        ignore_unknown=settings.text("bigquery.unknown_fields") == "ignore",
    )


def dry_run(settings: Settings, connection: HttpConnection, encoder: RowEncoder) -> DryRun:
    """`encoder` makes the rows of insertAll."""
    schema = schema_columns(settings)
    return DryRun(
        connection,
        tables_path=tables_path(settings),
        encoder=encoder,
        time_column=settings.text("bigquery.partition_field"),
        ignore_unknown=settings.text("bigquery.unknown_fields") == "ignore",
        sample=lambda: sample_record(settings, schema, now_ms=int(time.time() * 1000)),
    )


def tables_path(settings: Settings) -> str:
    """Of the REST API; a table's name follows."""
    project, dataset = settings.text("bigquery.project"), settings.text("bigquery.dataset")
    return f"/bigquery/v2/projects/{project}/datasets/{dataset}/tables"
