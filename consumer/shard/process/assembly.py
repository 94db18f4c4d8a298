"""Builds a shard's pipeline from the settings: the only place of this package that knows their names."""

from collections.abc import Callable
from functools import partial
from typing import Any

from gevent.event import Event as GeventEvent

from consumer.domain.checkpoints import CheckpointPolicy, CheckpointState
from consumer.domain.chunks import Chunker, ChunkLimits, Footprint
from consumer.domain.dead_letters import ShareGuard, ShareLimit
from consumer.domain.errors import Superseded
from consumer.domain.events import Event
from consumer.domain.ledger import Ledger
from consumer.domain.records import Position
from consumer.domain.retries import RetryPolicy
from consumer.native import library
from consumer.settings import Settings
from consumer.shard.delivery.checkpointing import Checkpointing
from consumer.shard.delivery.delivery import Delivery, Waiting, exit_soon
from consumer.shard.delivery.pipeline import InFlightLimits, Pipeline
from consumer.shard.delivery.status import ShardStatus
from consumer.sinks.aws import encryption_options, object_options
from consumer.sinks.base import Sink
from consumer.sinks.dead_letters import DeadLetterPlace, DeadLetterSink

DRAIN_SHARE_OF_GRACE = 0.7
"""The rest of shutdownGraceMillis is for the KCL: it asks the shards one after the other, then closes leases."""

_FALLBACK_GRACE_SECONDS = 25.0
_MESSAGE_BYTES = 12 * 1024 * 1024
"""What a shard process has room for beside its limit: an answer of Kinesis, which holds 10 MB at most."""
_BYTES_OF_ROW, _BYTES_OF_METADATA = 300, 250
"""A row's identity and what the request has around it; the metadata columns with their names."""


def build_pipeline(
    settings: Settings, send_event: Callable[[Event], None], shard: str, start: Position | None = None
) -> tuple[Pipeline, ShardStatus]:
    """`start` is the checkpoint that the shard is read from, None where there is none."""
    status = ShardStatus(shard, send_event)
    native = library.found()
    if isinstance(native, str) and settings.flag("shard.native"):
        status.log("WARNING", f"without the C library, which takes more CPU time: {native}")
    sink = _sink(settings, shard, start)
    checkpoint_policy = CheckpointPolicy(settings.seconds("checkpoint.interval"))
    pipeline = Pipeline(
        chunker=Chunker(_chunk_limits(settings)),
        ledger=Ledger(),
        delivery=_delivery(settings, shard, status, sink),
        checkpoints=Checkpointing(
            CheckpointState(checkpoint_policy), status, before=partial(_before_checkpoint, sink)
        ),
        limits=in_flight_limits(settings),
        status=status,
        wakeup=GeventEvent(),
        drain_seconds=drain_seconds(settings),
    )
    return pipeline, status


def in_flight_limits(settings: Settings) -> InFlightLimits:
    return InFlightLimits(
        max_chunks=settings.integer("delivery.max_in_flight_chunks"),
        max_bytes=settings.integer("delivery.max_in_flight_bytes"),
        footprint=_footprint(settings),
        message_bytes=_MESSAGE_BYTES,
    )


def _footprint(settings: Settings) -> Footprint:
    if settings.backend == "s3":
        # the compressed object takes the place of the records
        return Footprint(made_of_byte=0, made_of_record=0)
    # rows stand beside the records: a row holds the record with escapes, and is copied on its way out
    metadata = _BYTES_OF_METADATA if settings.flag("bigquery.metadata_columns") else 0
    return Footprint(made_of_byte=4, made_of_record=_BYTES_OF_ROW + metadata)


def _chunk_limits(settings: Settings) -> ChunkLimits:
    return ChunkLimits(
        window_ms=round(settings.seconds("chunk.window") * 1000),
        max_bytes=settings.integer("chunk.max_bytes"),
        max_records=settings.integer("chunk.max_records"),
        grace_ms=round(settings.seconds("chunk.grace") * 1000),
    )


def _before_checkpoint(sink: Sink[Any], position: Position) -> None:
    try:
        sink.before_checkpoint(position)
    except Superseded:
        exit_soon()
        raise


def _delivery(settings: Settings, shard: str, status: ShardStatus, sink: Sink[Any]) -> Delivery[Any]:
    return Delivery(
        sink=sink,
        dead_letters=_dead_letters(settings, shard),
        guard=_guard(settings),
        waiting=Waiting(
            policy=RetryPolicy(
                base_seconds=settings.seconds("retry.base"), max_seconds=settings.seconds("retry.max")
            )
        ),
        concurrency=settings.integer("delivery.concurrency"),
        status=status,
    )


def _guard(settings: Settings) -> ShareGuard:
    return ShareGuard(
        ShareLimit(settings["deadletter.max_ratio"], settings.integer("deadletter.ratio_window"))
    )


def drain_seconds(settings: Settings) -> float:
    """How long a shutdown waits for chunks in flight."""
    millis = settings["shutdownGraceMillis"]
    grace_seconds = float(millis) / 1000 if millis else _FALLBACK_GRACE_SECONDS
    return grace_seconds * DRAIN_SHARE_OF_GRACE


def _sink(settings: Settings, shard: str, start: Position | None) -> Sink[Any]:
    if settings.backend == "s3":
        return _s3_sink(settings, shard)
    if settings.text("bigquery.method") == "storage_write":
        return _storage_write_sink(settings, shard, start)
    return _bigquery_sink(settings, shard)


def _s3_client(settings: Settings) -> Any:
    from consumer.sinks.aws import s3_client

    return s3_client(
        region=settings.optional_text("s3.region") or settings.optional_text("regionName"),
        endpoint_url=settings.optional_text("s3.endpoint_url"),
        connections=settings.integer("delivery.concurrency"),
        connect_timeout_seconds=settings.seconds("s3.connect_timeout"),
        read_timeout_seconds=settings.seconds("s3.read_timeout"),
    )


def _s3_sink(settings: Settings, shard: str) -> Sink[Any]:
    from consumer.sinks.s3.record_times import RecordTimes
    from consumer.sinks.s3.sink import S3Sink

    record_times = None
    if settings.text("s3.partition_time") == "record":
        record_times = RecordTimes(
            time_field=settings.text("record.time_field"),
            time_format=settings.text("record.time_format"),
            max_depth=settings.integer("s3.max_depth"),
        )
    return S3Sink(
        client=_s3_client(settings),
        bucket=settings.text("s3.bucket"),
        prefix=settings.text("s3.prefix"),
        partition=settings.text("s3.partition"),
        object_stem=f"{settings.stream_name}-{shard}",
        compression_level=settings.integer("s3.compression_level"),
        validate_json=settings.flag("s3.validate_json"),
        max_depth=settings.integer("s3.max_depth"),
        record_times=record_times,
        put_options=object_options(settings),
    )


def _bigquery_sink(settings: Settings, shard: str) -> Sink[Any]:
    from consumer.shard.process import bigquery_sinks

    if settings.text("bigquery.method") == "load":
        return bigquery_sinks.load_sink(settings, shard)
    return bigquery_sinks.insert_all_sink(settings, shard)


def _storage_write_sink(settings: Settings, shard: str, start: Position | None) -> Sink[Any]:
    from consumer.shard.process.grpc_on_gevent import use_gevent
    from consumer.sinks.aws import dynamodb_client
    from consumer.sinks.bigquery.api.identity import GoogleIdentity
    from consumer.sinks.bigquery.api.token import BearerToken
    from consumer.sinks.bigquery.storage_write.rows.build import row_maker
    from consumer.sinks.bigquery.storage_write.rows.rules import rules_of
    from consumer.sinks.bigquery.storage_write.sink import StorageWriteSink
    from consumer.sinks.bigquery.storage_write.store import DynamoPositions
    from consumer.sinks.bigquery.storage_write.writer import GrpcWriter

    use_gevent()
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
            **timeouts,
        ),
        store=DynamoPositions(client, table=settings.text("bigquery.positions_table"), shard=shard),
        rules=rules_of(settings),
        maker_of=partial(row_maker, shard=shard),
        guard=_guard(settings),
        start=start,
        max_request_bytes=settings.integer("bigquery.max_request_bytes"),
    )


def _dead_letters(settings: Settings, shard: str) -> DeadLetterSink:
    place = DeadLetterPlace(
        bucket=settings.text("deadletter.bucket"),
        prefix=settings.text("deadletter.prefix"),
        application=settings.text("applicationName"),
        stream=settings.stream_name,
        shard=shard,
    )
    return DeadLetterSink(place, lambda: _s3_client(settings), put_options=encryption_options(settings))
