"""Read = delivered + dead letters + in flight + left, whatever the lives of shard processes are like: at every moment
at which a process may report itself, and in what the supervisor adds up of late, lost and last reports."""

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from random import Random

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from consumer.daemon.report.tally import Tally
from consumer.domain.checkpoints import CheckpointPolicy, CheckpointState
from consumer.domain.chunks import Chunk, Chunker, ChunkLimits, Footprint
from consumer.domain.columns import Records
from consumer.domain.events import Event, StatusEvent
from consumer.domain.ledger import Ledger
from consumer.shard.delivery.checkpointing import Checkpointing
from consumer.shard.delivery.intake import InFlightLimits
from consumer.shard.delivery.pipeline import Pipeline
from consumer.shard.delivery.status import ShardStatus
from tests.examples import examples
from tests.unit.shard.fakes import Clock, record

DEAD_SHARE = 0.3
HEARD_SHARE = 0.7


class Killed(BaseException):
    """The process ends where it stands."""


class Checkpoints:
    """The KCL's answer: yes."""

    def checkpoint(self, sequence_number: str | None = None, sub_sequence_number: int | None = None) -> None:
        """Nothing remembers it."""


class Host:
    """The supervisor's side: a clock, the tally, and which processes live."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.clock = Clock()
        self.tally = Tally()
        self.alive: set[int] = set()
        self.heard: list[Counter[str]] = []

    def tick(self) -> None:
        self.passes(self.random.choice([0.5, 1.0, 30.0]))

    def passes(self, seconds: float) -> None:
        self.clock.now += seconds
        self.tally.keep(self.alive.__contains__, now=self.clock.now)
        self._look()

    def hear(self, event: StatusEvent) -> None:
        self.tally.update(event)
        self._look()

    def _look(self) -> None:
        totals = self.tally.totals()
        assert totals.conservation == 0
        assert min(totals.in_flight, totals.left) >= 0
        self.heard.append(totals.counters + Counter(left=totals.left))


class Process:
    """One life of a shard process: a real pipeline, with chance where a backend, signals and the KCL would be."""

    def __init__(self, host: Host, pid: int) -> None:
        self.host = host
        self.random = host.random
        self.number = 0
        self.running: list[tuple[Chunk, Callable[[], None]]] = []
        self.status = ShardStatus("shardId-0", self._sent, now=host.clock)
        self.pid = pid
        self.is_over = False
        self.pipeline = Pipeline(
            chunker=Chunker(ChunkLimits(window_ms=1000, max_bytes=60, max_records=3, grace_ms=0)),
            ledger=Ledger(),
            delivery=self,
            checkpoints=Checkpointing(CheckpointState(CheckpointPolicy(5)), self.status, now=host.clock),
            limits=InFlightLimits(
                max_chunks=2,
                max_bytes=90,
                footprint=Footprint(made_of_byte=0, made_of_record=0),
                message_bytes=1000,
            ),
            status=self.status,
            wakeup=self,
            drain_seconds=10,
            now=host.clock,
        )

    # ChunkDelivery and Wakeup

    def start(self, chunk: Chunk, on_durable: Callable[[], None]) -> None:
        self.running.append((chunk, on_durable))

    def set(self) -> None:
        """Whoever waits looks again anyway."""

    def clear(self) -> None:
        """See `set`."""

    def wait(self, timeout: float | None = None) -> bool:
        self.report()
        if timeout is not None and self.random.random() < 0.5:
            self.host.clock.now += timeout
        elif self.running and self.random.random() < 0.8:
            self.finish()
        elif self.random.random() < 0.1:
            raise Killed
        else:
            self.random.choice([self.pipeline.drain, self.pipeline.lose_lease])()
        self.report()
        return True

    # What happens

    def finish(self) -> None:
        chunk, on_durable = self.running.pop(self.random.randrange(len(self.running)))
        dead = sum(self.random.random() < DEAD_SHARE for _ in range(chunk.count))
        self.status.delivered(chunk, dead_letters=dead)
        on_durable()

    def message(self) -> Records:
        count = self.random.choice([0, 1, 2, 7])
        some = [record(self.number + place, arrival_ms=self.random.randrange(3000)) for place in range(count)]
        self.number += count
        records = Records.of(some)
        self.status.read(count, records.payload_bytes)
        return records

    def step(self) -> None:
        match self.random.randrange(6):
            case 0:
                self.pipeline.take_early(self.message())
            case 1 if self.running:
                self.finish()
            case 2:
                self.random.choice([self.pipeline.drain, self.pipeline.lose_lease])()
            case _:
                tip_seen_ms = self.random.choice([None, 10_000])
                self.pipeline.accept(self.message(), tip_seen_ms, Checkpoints())
        self.report()

    def end(self) -> None:
        self.random.choice([self.pipeline.end, self.pipeline.shut_down])(Checkpoints())

    # What it says

    def report(self) -> None:
        self.status.report(self.pipeline, waiting_since=None)

    def _sent(self, event: Event) -> None:
        """What is said holds; some of it never reaches the supervisor, but for the last words."""
        if isinstance(event, StatusEvent):
            event = msgspec.structs.replace(event, pid=self.pid)
            counters = event.counters
            gone = [counters.get(name, 0) for name in ("records_delivered", "dead_letters", "records_left")]
            assert counters.get("records_read", 0) == sum(gone) + event.in_flight_records
            assert min(*gone, event.in_flight_records) >= 0
            if self.is_over or self.random.random() < HEARD_SHARE:
                self.host.hear(event)


def live(host: Host, pid: int) -> int | None:
    """One life from its start to its end: how many records it has read, None where its last words were not heard."""
    process = Process(host, pid)
    host.alive.add(pid)
    try:
        for _ in range(host.random.randrange(12)):
            process.step()
            host.tick()
        if host.random.random() < 0.7:
            process.end()
    except Killed:
        return None
    else:
        process.is_over = True
        process.report()
        return process.number
    finally:
        host.alive.discard(pid)
        host.tick()


@examples(300)
@given(st.integers(0, 2**32))
def test_no_record_read_vanishes_or_counts_twice_over_any_lives_of_shard_processes(seed: int) -> None:
    host = Host(Random(seed))
    read = [live(host, pid=host.random.choice([7, 8])) for _ in range(host.random.randrange(1, 5))]
    host.passes(30)
    totals = host.tally.totals()
    assert totals.in_flight == totals.conservation == 0
    heard = [count for count in read if count is not None]
    if len(heard) == len(read):
        assert totals.counters["records_read"] == sum(heard)
    else:
        assert totals.counters["records_read"] >= sum(heard)


@examples(100)
@given(st.integers(0, 2**32))
def test_what_the_supervisor_has_added_up_never_runs_backwards(seed: int) -> None:
    host = Host(Random(seed))
    for _ in range(4):
        live(host, pid=host.random.choice([7, 8]))
    assert all(before[name] <= after[name] for before, after in pairwise(host.heard) for name in before)
