"""What one shard process knows about itself, and how it says so."""

import contextlib
import os
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from consumer.domain.chunks import Chunk
from consumer.domain.dead_letters import Rejection
from consumer.domain.errors import DeliveryError, SetupError
from consumer.domain.events import Event, Level, LogEvent, StatusEvent, encode


class Gauges(Protocol):
    """What is asked of the pipeline when a status is sent."""

    @property
    def state(self) -> str: ...
    @property
    def in_flight_chunks(self) -> int: ...
    @property
    def in_flight_bytes(self) -> int: ...
    @property
    def oldest_undelivered_ms(self) -> int | None: ...


class ShardStatus:
    """Counters, troubles and log lines of one shard. Cheap: called per chunk and request, never per record."""

    def __init__(
        self, shard: str, send: Callable[[Event], None], *, now: Callable[[], float] = time.time
    ) -> None:
        self.shard = shard
        self.counters: Counter[str] = Counter()
        self.last_checkpoint_ms: int | None = None
        self.last_callback_ms: int | None = None
        self.millis_behind_latest: int | None = None
        self._send = send
        self._now = now
        self._retrying: dict[str, str] = {}
        self._held: str | None = None

    def count(self, name: str, amount: int = 1) -> None:
        self.counters[name] += amount

    def callback(self, records: int, payload_bytes: int, millis_behind_latest: int | None) -> None:
        self.count("records_read", records)
        self.count("bytes_read", payload_bytes)
        self.millis_behind_latest = millis_behind_latest
        self.last_callback_ms = self._now_ms()

    def delivered(self, chunk: Chunk, *, dead_letters: int) -> None:
        self.count("chunks_delivered")
        self.count("records_delivered", len(chunk.records) - dead_letters)
        self.count("bytes_delivered", chunk.size_bytes)
        self.count("dead_letters", dead_letters)

    def checkpointed(self, position: str) -> None:
        self.count("checkpoints")
        self.last_checkpoint_ms = self._now_ms()
        self.log("DEBUG", f"checkpoint at {position}")

    def retrying(self, what: str, error: DeliveryError, attempt: int) -> None:
        """Say so at first, then ever more rarely: an outage must not fill the log."""
        self._retrying[what] = str(error)
        if attempt & (attempt + 1) == 0:  # 0, 1, 3, 7, 15, …
            level: Level = "ERROR" if isinstance(error, SetupError) else "WARNING"
            self.log(level, f"{what} failed and is repeated (attempt {attempt + 1}): {error}")

    def recovered(self, what: str, attempts: int) -> None:
        self._retrying.pop(what, None)
        self.log("INFO", f"{what} works again after {attempts} failed attempts")

    def holding(self, chunk: Chunk, rejections: Sequence[Rejection]) -> None:
        first = rejections[0]
        held = (
            f"{len(rejections)} of {len(chunk.records)} records would become dead letters, more than"
            f" deadletter.max_ratio allows; the first: {first.reason}: {first.detail}."
            " Mend the producer or the schema, or set deadletter.max_ratio = 1 and restart"
        )
        if held != self._held:
            self.log("ERROR", f"shard held: {held}")
        self._held = held

    def released(self) -> None:
        self._held = None
        self.log("INFO", "shard no longer held")

    def log(self, level: Level, message: str) -> None:
        self._send(LogEvent(level=level, shard=self.shard, pid=os.getpid(), message=message))

    def report(self, gauges: Gauges) -> None:
        self._send(
            StatusEvent(
                shard=self.shard,
                pid=os.getpid(),
                state=gauges.state,
                counters=dict(self.counters),
                in_flight_chunks=gauges.in_flight_chunks,
                in_flight_bytes=gauges.in_flight_bytes,
                oldest_undelivered_ms=gauges.oldest_undelivered_ms,
                last_checkpoint_ms=self.last_checkpoint_ms,
                last_callback_ms=self.last_callback_ms,
                millis_behind_latest=self.millis_behind_latest,
                retrying=next(iter(self._retrying.values()), None),
                held=self._held,
            )
        )

    def _now_ms(self) -> int:
        return int(self._now() * 1000)


class EventSocket:
    """Sends events to the supervisor; never blocks, never fails: status is repeated, delivery goes first."""

    def __init__(self, path: str) -> None:
        folder, name = os.path.split(path)
        # by way of the folder's descriptor: a socket's address takes 108 bytes, a path may be longer
        self._path = f"/proc/self/fd/{os.open(folder, os.O_PATH | os.O_DIRECTORY)}/{name}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def send(self, event: Event) -> None:
        with contextlib.suppress(OSError):  # the supervisor is gone or slow
            self._socket.sendto(encode(event), self._path)


def send_to_stderr(event: Event) -> None:
    """For a shard process without a supervisor."""
    if isinstance(event, LogEvent):
        sys.stderr.write(f"{event.level} {event.shard} {event.message}\n")
