"""Stand-ins for what surrounds a shard's pipeline, all writing one log of actions."""

import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from amazon_kclpy.checkpoint_error import CheckpointError

from consumer.domain.chunks import Chunk
from consumer.domain.columns import Records
from consumer.domain.events import Event, LogEvent
from consumer.domain.records import Record
from consumer.domain.taps import (
    MAX_DATAGRAM_BYTES,
    MOST_RATE,
    Samples,
    TapRequest,
    decode_samples,
    encode_request,
    encode_samples,
)
from consumer.shard.delivery.status import ShardStatus


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Log(list[str]):
    """What happened, in order."""

    def since(self, place: int) -> list[str]:
        return list(self[place:])


def record(number: int, size: int = 10, *, arrival_ms: int = 0, sub: int = 0) -> Record:
    return Record(b"x" * size, f"key-{number}", str(number), sub, arrival_ms)


def chunk_of(*some: Record) -> Chunk:
    return Chunk(Records.of(some))


class FakeDelivery:
    """Chunks become durable when `finish` is told the first sequence number."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.running: dict[str, Callable[[], None]] = {}

    def start(self, chunk: Chunk, on_durable: Callable[[], None]) -> None:
        self._log.append(f"start {chunk.name}")
        self.running[str(chunk.first)] = on_durable

    def finish(self, *numbers: int) -> None:
        for number in numbers:
            self._log.append(f"durable {number}")
            self.running.pop(str(number))()


class FakeCheckpointer:
    """Refuses as scripted, then accepts. Asking outside of a callback is a failure, as it is for the KCL."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.refusals: list[str] = []
        self.in_callback = False
        self.before_answer: Callable[[], None] = lambda: None

    def checkpoint(self, sequence_number: str | None = None, sub_sequence_number: int | None = None) -> None:
        assert self.in_callback, "a checkpoint outside of a callback"
        sub = "" if sub_sequence_number is None else f".{sub_sequence_number}"
        where = "end" if sequence_number is None else f"{sequence_number}{sub}"
        self.before_answer()
        if self.refusals:
            reason = self.refusals.pop(0)
            self._log.append(f"checkpoint {where}: {reason}")
            raise CheckpointError(reason)
        self._log.append(f"checkpoint {where}")


class Stuck(AssertionError):
    """The pipeline waits, and the test has nothing more to happen."""


class FakeWakeup:
    """Waiting makes the next scripted thing happen, or lets the time limit pass."""

    def __init__(self, log: Log, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._set = False
        self.script: list[Callable[[], None]] = []

    def set(self) -> None:
        self._set = True

    def clear(self) -> None:
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        if self._set:
            return True
        self._log.append("wait" if timeout is None else f"wait {timeout:g}s")
        if self.script:
            self.script.pop(0)()
        elif timeout is not None:
            self._clock.now += timeout
        else:
            raise Stuck(self._log)
        return self._set


def quiet_status(clock: Callable[[], float]) -> tuple[ShardStatus, list[Event]]:
    events: list[Event] = []
    return ShardStatus("shardId-1", events.append, now=clock), events


def messages(events: list[Event]) -> list[str]:
    return [f"{event.level}: {event.message}" for event in events if isinstance(event, LogEvent)]


class Ear:
    """A tap: its socket, and the request that it leaves in the folder. It holds for ever unless `until_ms` is given."""

    def __init__(
        self,
        folder: Path,
        name: str = "ear",
        *,
        rate: float = MOST_RATE,
        until_ms: int = 1 << 60,
        shards: Sequence[str] = (),
    ) -> None:
        folder.mkdir(exist_ok=True)
        self._request = folder / f"{name}.json"
        self.path = folder / f"{name}.socket"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(str(self.path))
        self.rate, self.shards = rate, [*shards]
        self.ask(until_ms)

    def ask(self, until_ms: int) -> None:
        self._request.write_bytes(
            encode_request(TapRequest(rate=self.rate, until_ms=until_ms, shards=self.shards))
        )

    def heard(self) -> list[Samples]:
        """What has come since the last call."""
        heard: list[Samples] = []
        with suppress(BlockingIOError):
            while True:
                datagram = self.socket.recv(1 << 20)
                assert len(datagram) <= MAX_DATAGRAM_BYTES
                heard.append(decode_samples(datagram))
        return heard

    def fill(self) -> None:
        """Nothing more fits in."""
        datagram = encode_samples(Samples(shard="", passed=0, samples=[]))
        kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
        with socket.socket(socket.AF_UNIX, kind) as sender, suppress(OSError):  # it is full, or gone
            while True:
                sender.sendto(datagram, str(self.path))

    def close(self) -> None:
        """As if it was killed: what it has left stays."""
        self.socket.close()

    def end(self) -> None:
        self.close()
        self._request.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)
