"""Builds the S3 sink from the settings."""

import datetime
from typing import Any

from consumer.domain.chunks import Footprint
from consumer.domain.key_templates import KeyTemplate
from consumer.domain.routing import time_zone
from consumer.settings import Settings
from consumer.sinks.aws import object_options, s3_client_of
from consumer.sinks.build import ShardContext
from consumer.sinks.s3.record_times import RecordTimes
from consumer.sinks.s3.routes import KeyRoutes
from consumer.sinks.s3.sink import S3Sink

AWS_SERVICES = ("s3",)
USES_GRPC = False


def build(context: ShardContext) -> S3Sink:
    return sink_of(context.settings, context.shard, client=s3_client_of(context.settings))


def sink_of(settings: Settings, shard: str, *, client: Any) -> S3Sink:
    """Nothing but `send` needs the client, an S3 client of boto3."""
    record_times = None
    if settings.text("s3.partition_time") == "record":
        record_times = RecordTimes(
            time_field=settings.text("record.time_field"),
            time_format=settings.text("record.time_format"),
            max_depth=settings.integer("s3.max_depth"),
        )
    zone = time_zone(settings.text("s3.time_zone"))
    return S3Sink(
        client=client,
        bucket=settings.text("s3.bucket"),
        prefix=settings.text("s3.prefix"),
        partition=settings.text("s3.partition"),
        zone=zone,
        key_routes=_key_routes(settings, shard, zone),
        object_stem=f"{settings.stream_name}-{shard}",
        compression_level=settings.integer("s3.compression_level"),
        validate_json=settings.flag("s3.validate_json"),
        max_depth=settings.integer("s3.max_depth"),
        record_times=record_times,
        put_options=object_options(settings),
    )


def _key_routes(settings: Settings, shard: str, zone: datetime.tzinfo) -> KeyRoutes | None:
    if settings["s3.key_template"] is None:
        return None
    template = KeyTemplate(
        settings.text("s3.key_template"), stream=settings.stream_name, shard=shard, zone=zone
    )
    return KeyRoutes(
        template, most=settings.integer("s3.max_routes"), max_depth=settings.integer("s3.max_depth")
    )


def footprint(settings: Settings) -> Footprint:
    """The compressed object takes the place of the records."""
    return Footprint(made_of_byte=0, made_of_record=0)
