"""Builds the sink of `bigquery.method = storage_write` from the settings."""

import time
from functools import partial
from typing import Any

from consumer.sinks.aws import dynamodb_client
from consumer.sinks.base import Sink
from consumer.sinks.bigquery.api.compression import compresses
from consumer.sinks.bigquery.api.identity import GoogleIdentity
from consumer.sinks.bigquery.api.token import BearerToken
from consumer.sinks.bigquery.arrow_rows.build import row_maker
from consumer.sinks.bigquery.arrow_rows.rules import rules_of
from consumer.sinks.bigquery.footprint import footprint
from consumer.sinks.bigquery.storage_write import messages  # noqa: F401 - imported before a fork
from consumer.sinks.bigquery.storage_write.sink import StorageWriteSink
from consumer.sinks.bigquery.storage_write.store import DynamoPositions
from consumer.sinks.bigquery.table_check import sample_record
from consumer.sinks.build import ShardContext

__all__ = ["AWS_SERVICES", "USES_GRPC", "build", "footprint"]

AWS_SERVICES = ("dynamodb",)
USES_GRPC = True


def build(context: ShardContext) -> Sink[Any]:
    # gRPC starts threads, which a fork does not carry over
    from consumer.sinks.bigquery.storage_write.writer import GrpcWriter

    settings = context.settings
    rules = rules_of(settings, transform=context.transform_digest)
    timeouts = {
        "connect_timeout_seconds": settings.seconds("bigquery.connect_timeout"),
        "read_timeout_seconds": settings.seconds("bigquery.read_timeout"),
    }
    client = dynamodb_client(
        region=settings.optional_text("regionName"),
        endpoint_url=settings.optional_text("dynamoDBEndpoint"),
        **timeouts,
    )
    return StorageWriteSink(
        writer=GrpcWriter(
            endpoint=settings.optional_text("bigquery.storage_endpoint"),
            token=BearerToken(GoogleIdentity.of(settings).credentials, **timeouts),
            compresses=compresses(settings, "bigquery.storage_endpoint"),
            **timeouts,
        ),
        store=DynamoPositions(client, table=settings.text("bigquery.positions_table"), shard=context.shard),
        rules=rules,
        maker_of=partial(row_maker, shard=context.shard),
        guard=context.new_guard(),
        start=context.start,
        max_request_bytes=settings.integer("bigquery.max_request_bytes"),
        sample=lambda: sample_record(rules, rules.columns, now_ms=int(time.time() * 1000)),
    )
