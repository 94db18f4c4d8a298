"""From the settings to the encoder of JSON rows that they ask for."""

from consumer.domain.routing import time_parser
from consumer.settings import Settings
from consumer.settings.columns import RowSettings, schema_columns
from consumer.settings.schema import Column
from consumer.sinks.bigquery.rows.encoder import RowEncoder
from consumer.sinks.bigquery.rows.metadata import Metadata
from consumer.sinks.bigquery.rows.reshape import Reshaper
from consumer.sinks.bigquery.rows.routes import TableRoutes
from consumer.sinks.bigquery.rows.shapes import FieldsRow, LogRow, RowShape, Wrapping
from consumer.sinks.bigquery.rows.times import PartitionTimes
from consumer.sinks.json.fields import FieldReader
from consumer.sinks.json.rule import BIGQUERY


def row_encoder(
    settings: RowSettings,
    schema: tuple[Column, ...],
    *,
    stream: str,
    shard: str,
    wrapping: Wrapping,
    max_record_bytes: int | None = None,
) -> RowEncoder:
    """`schema` holds the columns of the schema file, for `bigquery.row = fields`; `max_record_bytes` as RowEncoder has
    it."""
    return RowEncoder(
        reader=reader_of(settings),
        shape=_shape(settings, schema, shard, wrapping),
        stream=stream,
        shard=shard,
        routes=routes_of(settings),
        wrapping=wrapping,
        max_record_bytes=max_record_bytes,
    )


def encoder_of(
    settings: Settings, *, shard: str, wrapping: Wrapping, max_record_bytes: int | None = None
) -> RowEncoder:
    """`row_encoder` with the columns and the stream of the settings."""
    return row_encoder(
        settings,
        schema_columns(settings),
        stream=settings.stream_name,
        shard=shard,
        wrapping=wrapping,
        max_record_bytes=max_record_bytes,
    )


def routes_of(settings: RowSettings) -> TableRoutes:
    return TableRoutes(
        table_prefix=settings.text("bigquery.table_prefix"),
        key_digits=settings.integer("bigquery.key_digits"),
        key_field=settings.text("record.key_field"),
    )


def times_of(settings: RowSettings) -> PartitionTimes:
    time_format = settings.text("record.time_format")
    return PartitionTimes(time_parser(time_format), iso8601=time_format == "iso8601")


def reader_of(settings: RowSettings) -> FieldReader:
    return FieldReader(
        key_field=settings.text("record.key_field"),
        time_field=settings.text("record.time_field"),
        limits=BIGQUERY,
    )


def _shape(settings: RowSettings, schema: tuple[Column, ...], shard: str, wrapping: Wrapping) -> RowShape:
    time_column, times = settings.text("bigquery.partition_field"), times_of(settings)
    metadata = Metadata(shard=shard, times=times) if settings.flag("bigquery.metadata_columns") else None
    if settings.text("bigquery.row") == "log":
        return LogRow(
            key_column=settings.text("record.key_field"),
            time_column=time_column,
            times=times,
            wrapping=wrapping,
            metadata=metadata,
        )
    overflows = settings.text("bigquery.unknown_fields") == "overflow"
    return FieldsRow(
        time_field=settings.text("record.time_field"),
        time_column=time_column,
        times=times,
        columns=schema,
        metadata=metadata,
        reshaper=Reshaper(
            schema,
            json_as_text=wrapping.json_as_text,
            overflow=settings.text("bigquery.overflow_column") if overflows else None,
        ),
    )
