"""Builds the S3 sink from the settings."""

import datetime
from typing import Any

from consumer.domain.chunks import Footprint
from consumer.domain.key_templates import KeyTemplate
from consumer.domain.routing import time_zone
from consumer.settings import Settings
from consumer.settings.columns import lake_schema
from consumer.sinks.aws import object_options, s3_client_of
from consumer.sinks.base import Sink
from consumer.sinks.bigquery.arrow_rows.arrow import cells_bytes
from consumer.sinks.build import ShardContext
from consumer.sinks.json.judge import Judge
from consumer.sinks.json.lines import Lines
from consumer.sinks.json.rule import Limits
from consumer.sinks.s3.ndjson import Ndjson
from consumer.sinks.s3.record_times import RecordTimes
from consumer.sinks.s3.routes import KeyRoutes
from consumer.sinks.s3.sink import ObjectFormat, S3Sink

_ROW_COPIES, _ROW_BYTES = 3, 150
"""As measured: 2.3 and 130 of key, time and log; other columns take their cells, which a record need not have."""

AWS_SERVICES = ("s3",)
USES_GRPC = False


def build(context: ShardContext) -> Sink[Any]:
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
        object_format=format_of(settings, shard),
        record_times=record_times,
        put_options=object_options(settings),
    )


def format_of(settings: Settings, shard: str) -> ObjectFormat:
    """What `s3.format` names."""
    level = settings.integer("s3.compression_level")
    if settings.text("s3.format") == "parquet":
        # pyarrow takes memory that other formats can do without, and starts threads
        from consumer.sinks.s3.parquet import Parquet, rules_of_lake

        return Parquet(
            rules_of_lake(settings),
            shard=shard,
            level=level,
            row_group_records=settings.integer("s3.row_group_records"),
        )
    judge = Judge(Limits(max_depth=settings.integer("s3.max_depth")))
    lines = Lines(judge, validate_json=settings.flag("s3.validate_json"))
    if settings.text("s3.format") == "ndjson.zst":
        return Ndjson.zstandard(lines, level=level)
    return Ndjson.gzip(lines, level=level)


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
    """A compressed object of lines takes the place of its records. Rows of Parquet stand beside them first."""
    if settings.text("s3.format") != "parquet":
        return Footprint(made_of_byte=0, made_of_record=0)
    cells = cells_bytes(lake_schema(settings))
    return Footprint(made_of_byte=_ROW_COPIES, made_of_record=_ROW_BYTES + cells)
