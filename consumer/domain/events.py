"""What a shard process tells its supervisor: one JSON object per Unix datagram.

Datagrams keep their boundaries and never block a reader half way, so neither side frames or reassembles. A
shard process sends and forgets: losing one is harmless, because the next status replaces the last.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from consumer.domain.event_names import EventName
from consumer.domain.excerpts import excerpt

type Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]

type Field = str | int | float

type RetryClass = Literal["transient", "throttled", "setup"]
"""TransientError, Throttled or SetupError (consumer/domain/errors.py)."""

MAX_DATAGRAM_BYTES = 64 * 1024
"""No event is longer: `encode` cuts texts. Linux refuses datagrams above the send buffer (208 KiB by
default)."""

SHARD_PROCESS_NAME = "shard-process"
"""What ps shows of a shard process, however it was started; Linux takes 15 bytes."""

RUNNING = "running"
"""The state of a shard process that takes records."""

REPLAYED = "replayed"
"""The state of a shard process of a replay whose part of the stream is delivered and checkpointed."""

ENDED = "ended"
"""The state of a shard process that has delivered its shard to the end, and checkpointed that."""

_MAX_TEXT_CHARACTERS = 4 * 1024


class LogEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="log"):
    """One log line of a shard process; control characters are escaped by whoever prints it. `fields` holds figures of
    the message by name."""

    level: Level
    shard: str
    pid: int
    message: str
    name: EventName = "note"
    fields: dict[str, Field] = {}


class StatusEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="status"):
    """The state of one shard, sent about once a second while the shard process lives.

    The first one tells the supervisor that the process takes SIGTERM as "drain", so it is sent once the
    handlers are in place. Times that name a moment (`…_ms`) are milliseconds since the epoch.

    `oldest_undelivered_ms` is the arrival time on the stream of the oldest record read and not yet delivered,
    None when there is none; `oldest_undelivered_read_ms` is when this process read it, by which ill health is
    judged: a shard that catches up on old records is well. `last_callback_ms` is the last moment inside a
    callback of the KCL, now while one runs: it tells a silent JVM from a busy shard. `retrying` says what is
    being tried again and why (`retrying_class` by the class of the error), `held` why the shard delivers nothing
    until someone acts, `dead_letters` what was buried in the last minute; None when all is well.

    `pid` and `started_ms` name one life of a process: `counters`, `waited_ms` (how long callbacks have waited for
    deliveries) and the write latencies (counts by bucket of `consumer.domain.latency`, and their sum) grow from zero
    within it. Whenever it is sent,
    records_read = records_delivered + dead_letters + records_filtered + in_flight_records + records_left, the last of
    which are those that the process has given up for the next owner of the shard to read again.
    """

    shard: str
    pid: int
    state: str
    started_ms: int = 0
    counters: dict[str, int] = {}
    in_flight_records: int = 0
    in_flight_chunks: int = 0
    in_flight_bytes: int = 0
    max_in_flight_chunks: int = 0
    max_in_flight_bytes: int = 0
    waited_ms: int = 0
    write_latency_counts: list[int] = []
    write_latency_sum_seconds: float = 0.0
    oldest_undelivered_ms: int | None = None
    oldest_undelivered_read_ms: int | None = None
    last_checkpoint_ms: int | None = None
    last_callback_ms: int | None = None
    millis_behind_latest: int | None = None
    retrying: str | None = None
    retrying_class: RetryClass | None = None
    held: str | None = None
    dead_letters: str | None = None


type Event = LogEvent | StatusEvent

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(LogEvent | StatusEvent)


class EventError(ValueError):
    """The datagram is not an event."""


def encode(event: Event) -> bytes:
    """The datagram of an event; an overlong message or reason is cut, a lone surrogate becomes a question
    mark."""
    return _encoder.encode(_sendable(event))


def decode(datagram: bytes) -> Event:
    """The event of a datagram; raises EventError when it is none."""
    try:
        return _decoder.decode(datagram)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise EventError(str(error)) from error


def _sendable(event: Event) -> Event:
    if isinstance(event, LogEvent):
        fields = {name: _text(each) if isinstance(each, str) else each for name, each in event.fields.items()}
        return msgspec.structs.replace(event, message=_text(event.message), fields=fields)
    if event.retrying is None and event.held is None and event.dead_letters is None:
        return event
    return msgspec.structs.replace(
        event,
        retrying=_optional(event.retrying),
        held=_optional(event.held),
        dead_letters=_optional(event.dead_letters),
    )


def _optional(text: str | None) -> str | None:
    return None if text is None else _text(text)


def _text(text: str) -> str:
    return excerpt(text, _MAX_TEXT_CHARACTERS).encode("utf-8", "replace").decode("utf-8")
