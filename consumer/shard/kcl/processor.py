"""The five callbacks of the KCL, turned into calls of the pipeline."""

from collections.abc import Callable
from typing import Any

import gevent
from amazon_kclpy.v3 import processor as v3

from consumer.domain.columns import Records
from consumer.domain.errors import ProtocolError
from consumer.domain.records import Position
from consumer.shard.delivery.pipeline import Pipeline
from consumer.shard.delivery.status import ShardStatus
from consumer.shard.kcl.protocol import RecordsMessage
from consumer.shard.kcl.tip import Tip


class ShardProcessor(v3.RecordProcessorBase):  # type: ignore[misc]
    """Builds the pipeline when the KCL names the shard."""

    def __init__(
        self, build: Callable[[str, Position | None], tuple[Pipeline, ShardStatus]], tip: Tip
    ) -> None:
        """`build` gets the shard's name and the checkpoint that it is read from, None where there is none."""
        self._build = build
        self._tip = tip
        self._parts: tuple[Pipeline, ShardStatus] | None = None
        self.drain_asked = False
        self._paused = False

    @property
    def pipeline(self) -> Pipeline | None:
        return self._parts[0] if self._parts else None

    @property
    def status(self) -> ShardStatus | None:
        return self._parts[1] if self._parts else None

    def drain(self) -> None:
        """At any moment: take no more records, now or as soon as there is a shard to take them from."""
        self.drain_asked = True
        if self.pipeline is not None:
            self.pipeline.drain()

    def pause(self, paused: bool) -> None:
        """At any moment: hold what the KCL brings until `pause(False)`."""
        self._paused = paused
        if self.pipeline is not None:
            self.pipeline.pause(paused)

    def initialize(self, initialize_input: Any) -> None:
        start = initialize_input.sequence_number
        self._parts = self._build(
            initialize_input.shard_id, _position(start, initialize_input.sub_sequence_number)
        )
        self._parts[1].log(
            "INFO", f"shard process started, reading on from {start}", event="shard_started", position=start
        )
        self._parts[0].pause(self._paused)
        if self.drain_asked:
            self._parts[0].drain()

    def take_early(self, records: Records) -> None:
        """Of a message that is still coming."""
        pipeline, status = self._started()
        status.read(len(records), records.payload_bytes)
        pipeline.take_early(records)
        gevent.sleep(0)  # chunks that are complete become requests while the rest comes

    def process_records(self, process_records_input: RecordsMessage) -> None:
        pipeline, status = self._started()
        message = process_records_input
        status.read(len(message.records), message.records.payload_bytes)
        status.millis_behind_latest = message.millis_behind_latest
        tip_seen_ms = self._tip.seen_ms(message.millis_behind_latest)
        pipeline.accept(message.records, tip_seen_ms, message.checkpointer)
        self._tip.answered()

    def lease_lost(self, lease_lost_input: Any) -> None:
        """Also at the end of every shutdown, when the KCL has given the lease up."""
        pipeline, status = self._started()
        status.log("DEBUG" if pipeline.is_draining() else "INFO", "lease lost", event="lease_lost")
        pipeline.lose_lease()

    def shard_ended(self, shard_ended_input: Any) -> None:
        pipeline, status = self._started()
        status.log("INFO", "shard ended", event="shard_ended")
        pipeline.end(shard_ended_input.checkpointer)

    def shutdown_requested(self, shutdown_requested_input: Any) -> None:
        pipeline, _ = self._started()
        pipeline.shut_down(shutdown_requested_input.checkpointer)

    def _started(self) -> tuple[Pipeline, ShardStatus]:
        if self._parts is None:
            raise ProtocolError("a callback came before initialize")
        return self._parts


def _position(sequence_number: str, sub_sequence_number: int | None) -> Position | None:
    """None for the words that stand for a place in the stream: TRIM_HORIZON, LATEST, AT_TIMESTAMP."""
    return Position(sequence_number, sub_sequence_number or 0) if sequence_number.isdecimal() else None
