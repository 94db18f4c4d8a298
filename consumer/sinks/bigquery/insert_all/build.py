"""Builds the sink of `bigquery.method = insert_all` from the settings."""

from consumer.sinks.bigquery.api.connection import HttpConnection
from consumer.sinks.bigquery.footprint import footprint
from consumer.sinks.bigquery.insert_all.requests import RequestLimits
from consumer.sinks.bigquery.insert_all.sink import BigQuerySink
from consumer.sinks.bigquery.rows.build import encoder_of
from consumer.sinks.bigquery.rows.shapes import INSERT_ALL
from consumer.sinks.build import ShardContext

__all__ = ["AWS_SERVICES", "USES_GRPC", "build", "footprint"]

AWS_SERVICES: tuple[str, ...] = ()
USES_GRPC = False


def build(context: ShardContext) -> BigQuerySink:
    settings = context.settings
    limits = RequestLimits(
        max_rows=settings.integer("bigquery.rows_per_request"),
        max_bytes=settings.integer("bigquery.max_request_bytes"),
    )
    return BigQuerySink(
        connection=HttpConnection.of(settings),
        project=settings.text("bigquery.project"),
        dataset=settings.text("bigquery.dataset"),
        encoder=encoder_of(
            settings, shard=context.shard, wrapping=INSERT_ALL, max_record_bytes=limits.max_row_bytes
        ),
        limits=limits,
        ignore_unknown=settings.text("bigquery.unknown_fields") == "ignore",
    )
