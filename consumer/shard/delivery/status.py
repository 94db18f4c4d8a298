"""What one shard process knows about itself, and how it says so."""

import contextlib
import os
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from consumer.domain.chunks import Chunk
from consumer.domain.dead_letters import Rejection
from consumer.domain.errors import DeliveryError, SetupError, Throttled
from consumer.domain.event_names import EventName
from consumer.domain.events import Event, Field, Level, LogEvent, RetryClass, StatusEvent, encode
from consumer.domain.excerpts import excerpt
from consumer.domain.latency import Latency
from consumer.domain.unread_times import COUNTER, Unread
from consumer.shard.delivery.dead_letter_log import DeadLetterLog

_LONGEST_TEXT = 16 * 1024


class Gauges(Protocol):
    """What is asked of the pipeline when a status is sent."""

    @property
    def state(self) -> str: ...
    @property
    def in_flight_records(self) -> int: ...
    @property
    def in_flight_chunks(self) -> int: ...
    @property
    def in_flight_bytes(self) -> int: ...
    @property
    def max_in_flight_chunks(self) -> int: ...
    @property
    def max_in_flight_bytes(self) -> int: ...
    @property
    def waited_seconds(self) -> float: ...
    @property
    def oldest_undelivered_ms(self) -> int | None: ...
    @property
    def oldest_undelivered_read_ms(self) -> int | None: ...


class ShardStatus:
    """Counters, troubles and log lines of one shard. Cheap: called per chunk and request, never per record."""

    def __init__(
        self, shard: str, send: Callable[[Event], None], *, now: Callable[[], float] = time.time
    ) -> None:
        self.shard = shard
        self.counters: Counter[str] = Counter()
        self.last_checkpoint_ms: int | None = None
        self.millis_behind_latest: int | None = None
        self._send = send
        self._now = now
        self._started_ms = self.now_ms()
        self._latency = Latency()
        self._retrying: dict[object, DeliveryError] = {}
        self._announced: Counter[tuple[str, Level]] = Counter()
        self._most_attempts = 0
        self._held: dict[str, str] = {}
        self._dead_letters = DeadLetterLog(
            lambda line: self.log("WARNING", line, event="dead_letter"), now=now
        )

    def count(self, name: str, amount: int = 1) -> None:
        self.counters[name] += amount

    def read(self, records: int, payload_bytes: int) -> None:
        self.count("records_read", records)
        self.count("bytes_read", payload_bytes)

    def delivered(self, chunk: Chunk, *, dead_letters: int, filtered: int = 0) -> None:
        """All of its records are durable, but for those that a transform has filtered."""
        self.count("chunks_delivered")
        self.count("records_delivered", chunk.count - dead_letters - filtered)
        if filtered:
            self.count("records_filtered", filtered)
        self.count("bytes_delivered", chunk.size_bytes)
        self.count("dead_letters", dead_letters)

    def left(self, records: int) -> None:
        """This process gives them up: the next owner of the shard reads them again."""
        self.count("records_left", records)

    def answered(self, seconds: float) -> None:
        """A request took so long at the backend, whatever came of it."""
        self._latency.add(seconds)

    def unread_times(self, unread: Unread) -> None:
        """Said once in the log; how many there are stands in the status."""
        if not self.counters[COUNTER]:
            self.log(
                "WARNING",
                f"record.time_field holds {unread.example}, which is no time in record.time_format: such records are"
                f" filed under their arrival, and counted as {COUNTER}. Set record.time_format to what the producer"
                " writes; docs/times.md says what is read",
                event="times_unread",
            )
        self.count(COUNTER, unread.count)

    def checkpointed(self, position: str) -> None:
        self.count("checkpoints")
        self.last_checkpoint_ms = self.now_ms()
        self.log("DEBUG", f"checkpoint at {position}", event="checkpoint", position=position)

    def retrying(self, what: str, error: DeliveryError, attempt: int, *, token: object) -> None:
        """Say so at first, then ever more rarely: an outage must not fill the log, however many requests it meets.

        `token` tells one request from another until it has recovered: that one of many got through does not end
        an outage.
        """
        self.count("retries")
        self.count(f"retries_{_class_of(error)}")
        self._retrying[token] = error
        self._most_attempts = max(self._most_attempts, attempt + 1)
        level: Level = "ERROR" if isinstance(error, SetupError) else "WARNING"
        if attempt + 1 >= 2 * self._announced[what, level]:  # 1, 2, 4, 8, …
            self._announced[what, level] = attempt + 1
            self.log(
                level,
                f"{what} failed and is repeated (attempt {attempt + 1}): {error}",
                event="delivery_retried",
                what=what,
                error=_class_of(error),
                attempt=attempt + 1,
            )

    def recovered(self, what: str, *, token: object) -> None:
        """A request got through; said once the last of those in trouble did."""
        self._retrying.pop(token, None)
        if not self._retrying:
            self.log(
                "INFO",
                f"{what} works again after {self._most_attempts} failed attempts",
                event="delivery_recovered",
                attempts=self._most_attempts,
            )
            self._announced.clear()
            self._most_attempts = 0

    def holding(self, chunk: Chunk, rejections: Sequence[Rejection]) -> None:
        first = rejections[0]
        held = (
            f"{len(rejections)} of {chunk.count} records would become dead letters, more than"
            f" deadletter.max_ratio allows; the first: {first.reason}: {first.detail}."
            " Mend the producer or the schema, or set deadletter.max_ratio = 1 and restart"
        )
        if chunk.name not in self._held:
            self.log("ERROR", f"shard held: {held}", event="shard_held", reason=first.reason)
        self._held[chunk.name] = held

    def released(self, chunk: Chunk) -> None:
        del self._held[chunk.name]
        if not self._held:
            self.log("INFO", "shard no longer held", event="shard_released")

    def burying(self, chunk: Chunk, rejections: Sequence[Rejection]) -> None:
        for rejection in rejections:
            self.count(f"dead_letters_{rejection.reason}")
        self._dead_letters.add(chunk, rejections)

    def log(self, level: Level, message: str, *, event: EventName = "note", **fields: Field) -> None:
        self._send(
            LogEvent(
                level=level, shard=self.shard, pid=os.getpid(), message=message, name=event, fields=fields
            )
        )

    def report(self, gauges: Gauges, *, waiting_since: float | None) -> None:
        """`waiting_since` is since when (wall clock, seconds) the KCL has owed a message; None while this process
        owes it one. That tells a silent JVM from a callback that waits for its backend."""
        self._dead_letters.tick()
        last_callback_ms = self.now_ms() if waiting_since is None else int(waiting_since * 1000)
        # what someone has to mend comes first
        retried = min(
            self._retrying.values(), key=lambda error: not isinstance(error, SetupError), default=None
        )
        self._send(
            StatusEvent(
                shard=self.shard,
                pid=os.getpid(),
                state=gauges.state,
                started_ms=self._started_ms,
                counters=dict(self.counters),
                in_flight_records=gauges.in_flight_records,
                in_flight_chunks=gauges.in_flight_chunks,
                in_flight_bytes=gauges.in_flight_bytes,
                max_in_flight_chunks=gauges.max_in_flight_chunks,
                max_in_flight_bytes=gauges.max_in_flight_bytes,
                waited_ms=int(gauges.waited_seconds * 1000),
                write_latency_counts=self._latency.counts,
                write_latency_sum_seconds=self._latency.sum_seconds,
                oldest_undelivered_ms=gauges.oldest_undelivered_ms,
                oldest_undelivered_read_ms=gauges.oldest_undelivered_read_ms,
                last_checkpoint_ms=self.last_checkpoint_ms,
                last_callback_ms=last_callback_ms,
                millis_behind_latest=self.millis_behind_latest,
                retrying=None if retried is None else str(retried),
                retrying_class=None if retried is None else _class_of(retried),
                held=next(iter(self._held.values()), None),
                dead_letters=self._dead_letters.recent,
            )
        )

    def now_ms(self) -> int:
        """Wall clock, milliseconds since the epoch."""
        return int(self._now() * 1000)


def _class_of(error: DeliveryError) -> RetryClass:
    if isinstance(error, SetupError):
        return "setup"
    return "throttled" if isinstance(error, Throttled) else "transient"


class EventSocket:
    """Sends events to the supervisor; never blocks, never fails: status is repeated, delivery goes first."""

    def __init__(self, path: str) -> None:
        folder, name = os.path.split(os.path.abspath(path))  # noqa: PTH100 - links stay as they are
        # by way of the folder's descriptor: a socket's address takes 108 bytes, a path may be longer
        self._path = f"/proc/self/fd/{os.open(folder, os.O_PATH | os.O_DIRECTORY)}/{name}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def send(self, event: Event) -> None:
        with contextlib.suppress(OSError):  # the supervisor is gone or slow
            self._socket.sendto(encode(event), self._path)

    def wait_for_room(self) -> None:
        """From here on a send waits, for a second at most, until the supervisor has taken what was sent before: for
        the last words of a process, which nothing replaces."""
        self._socket.setblocking(True)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", 1, 0))


def send_to_stderr(event: Event) -> None:
    """For a shard process without a supervisor."""
    if isinstance(event, LogEvent):
        say(f"{event.level} {event.shard} {event.message}")


def say(text: str) -> None:
    """A line on stderr, unless its reader is gone: that must not keep the caller from going on or from ending."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{excerpt(text, _LONGEST_TEXT)}\n")
        sys.stderr.flush()
