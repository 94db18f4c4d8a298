"""Builds a shard's pipeline from the settings: the only place of this package that knows their names."""

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import gevent
from gevent.event import Event as GeventEvent

from consumer.domain.checkpoints import CheckpointPolicy, CheckpointState
from consumer.domain.chunks import Chunker, ChunkLimits
from consumer.domain.dead_letters import ShareGuard, ShareLimit
from consumer.domain.errors import Superseded
from consumer.domain.events import Event
from consumer.domain.ledger import Ledger
from consumer.domain.records import Position
from consumer.domain.replay import Replay
from consumer.domain.retries import RetryPolicy
from consumer.native import library
from consumer.settings import Settings
from consumer.shard.delivery.checkpointing import Checkpointing
from consumer.shard.delivery.delivery import Delivery, Waiting, exit_soon
from consumer.shard.delivery.intake import End, InFlightLimits
from consumer.shard.delivery.pipeline import Pipeline
from consumer.shard.delivery.status import ShardStatus
from consumer.shard.delivery.taps import Listeners, Taps
from consumer.sinks.aws import encryption_options, s3_client_of
from consumer.sinks.base import Sink
from consumer.sinks.build import ShardContext, sink_module
from consumer.sinks.dead_letters import DeadLetterPlace, DeadLetterSink
from consumer.transforms.build import footprint_behind, input_judge, transform_of
from consumer.transforms.sink import Step, TransformingSink

DRAIN_SHARE_OF_GRACE = 0.7
"""The rest of shutdownGraceMillis is for the KCL: it asks the shards one after the other, then closes leases."""

_FALLBACK_GRACE_SECONDS = 25.0
_MESSAGE_BYTES = 12 * 1024 * 1024
"""What a shard process has room for beside its limit: an answer of Kinesis, which holds 10 MB at most."""


def build_pipeline(
    settings: Settings,
    send_event: Callable[[Event], None],
    shard: str,
    start: Position | None = None,
    *,
    listeners: Listeners | None = None,
) -> tuple[Pipeline, ShardStatus]:
    """`start` is the checkpoint that the shard is read from, None where there is none."""
    replay = Replay.of(os.environ)
    status = ShardStatus(shard, send_event)
    native = library.found()
    if isinstance(native, str) and settings.flag("shard.native"):
        status.log("WARNING", f"without the C library, which takes more CPU time: {native}")
    module = sink_module(settings)
    if module.USES_GRPC:
        from consumer.shard.process.grpc_on_gevent import use_gevent

        use_gevent()
    transform = transform_of(settings)
    sink: Sink[Any] = module.build(
        ShardContext(
            settings=settings,
            shard=shard,
            start=start,
            is_replay=replay is not None,
            new_guard=partial(_guard, settings),
            sleep=gevent.sleep,
            transform_digest="" if transform is None else transform.digest,
        )
    )
    if transform is not None:
        step = Step(
            transform,
            input_judge(settings),
            give_way=lambda: gevent.sleep(0),
            tell_slow=partial(_tell_slow, status),
        )
        sink = TransformingSink(sink, step)
    checkpoint_policy = CheckpointPolicy(settings.seconds("checkpoint.interval"))
    pipeline = Pipeline(
        chunker=Chunker(_chunk_limits(settings)),
        ledger=Ledger(),
        delivery=_delivery(
            settings,
            shard,
            status,
            sink,
            None if listeners is None else Taps(listeners, shard=shard, find=sink.destination),
        ),
        checkpoints=Checkpointing(
            CheckpointState(checkpoint_policy),
            status,
            before=partial(_before_checkpoint, sink),
            release=lambda everything: sink.release(everything=everything),
        ),
        limits=in_flight_limits(settings),
        status=status,
        wakeup=GeventEvent(),
        drain_seconds=drain_seconds(settings),
        end=None if replay is None else _end(replay.end_of(shard), settings),
    )
    return pipeline, status


def in_flight_limits(settings: Settings) -> InFlightLimits:
    footprint = sink_module(settings).footprint(settings)
    return InFlightLimits(
        max_chunks=settings.integer("delivery.max_in_flight_chunks"),
        max_bytes=settings.integer("delivery.max_in_flight_bytes"),
        footprint=footprint if settings["transform"] is None else footprint_behind(footprint),
        message_bytes=_MESSAGE_BYTES,
    )


def _tell_slow(status: ShardStatus, position: Position, seconds: float) -> None:
    status.log(
        "WARNING",
        f"the transform took {seconds:.1f} s for record {position}",
        event="transform_slow",
        seconds=round(seconds, 1),
    )


def _chunk_limits(settings: Settings) -> ChunkLimits:
    return ChunkLimits(
        window_ms=round(settings.seconds("chunk.window") * 1000),
        max_bytes=settings.integer("chunk.max_bytes"),
        max_records=settings.integer("chunk.max_records"),
        grace_ms=round(settings.seconds("chunk.grace") * 1000),
    )


def _end(before_ms: int, settings: Settings) -> End:
    return End(before_ms=before_ms, tip_ms=before_ms + round(settings.seconds("chunk.grace") * 1000))


def _before_checkpoint(sink: Sink[Any], position: Position) -> None:
    try:
        sink.before_checkpoint(position)
    except Superseded:
        exit_soon()
        raise


def _delivery(
    settings: Settings, shard: str, status: ShardStatus, sink: Sink[Any], taps: Taps | None
) -> Delivery[Any]:
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
        taps=taps,
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


def _dead_letters(settings: Settings, shard: str) -> DeadLetterSink:
    place = DeadLetterPlace(
        bucket=settings.text("deadletter.bucket"),
        prefix=settings.text("deadletter.prefix"),
        application=settings.text("applicationName"),
        stream=settings.stream_name,
        shard=shard,
    )
    return DeadLetterSink(place, lambda: s3_client_of(settings), put_options=encryption_options(settings))
