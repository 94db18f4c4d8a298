"""Chunker and ledger together, over crashes: a simulated shard process that delivers in any order, is killed at any
moment, and is started again from the last checkpoint or from an older one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.chunks import Chunk, Chunker, ChunkLimits
from consumer.domain.columns import Records
from consumer.domain.ledger import Ledger, Ticket
from consumer.domain.records import Record
from tests.examples import examples
from tests.unit.domain.strategies import cut, limits, shards

type Contents = dict[str, Records]

seeds = st.integers(0, 2**32).map(Random)
"""One draw for a whole schedule: hypothesis' own random source costs it a draw a step."""


@dataclass
class Backend:
    """A store that fails the test when a key would change its content (I2)."""

    objects: Contents = field(default_factory=dict)

    def put(self, chunk: Chunk) -> None:
        assert self.objects.setdefault(chunk.name, chunk.records) == chunk.records


@dataclass
class Shard:
    """The records of a shard, and the checkpoints ever taken on it, as numbers of records before them."""

    records: Sequence[Record]
    limits: ChunkLimits
    backend: Backend
    checkpoints: list[int] = field(default_factory=lambda: [0])

    def checkpoint(self, ledger: Ledger) -> None:
        if ledger.watermark is None:
            return
        before = 1 + next(n for n, each in enumerate(self.records) if each.position == ledger.watermark)
        durable = {each.position for records in self.backend.objects.values() for each in records}
        assert {each.position for each in self.records[:before]} <= durable  # I1
        self.checkpoints.append(before)


class Process:
    """One life of a shard process, from a checkpoint on."""

    def __init__(self, shard: Shard, start: int, random: Random) -> None:
        self.shard = shard
        self.random = random
        self.place = start
        self.chunker = Chunker(shard.limits)
        self.ledger = Ledger()
        self.in_flight: list[tuple[Chunk, Ticket]] = []

    def step(self) -> None:
        """Something that a running process does."""
        self.random.choice([self.read, self.deliver, self.deliver_without_an_answer, self.checkpoint])()

    def read(self) -> None:
        size = self.random.randint(0, 6)
        records = self.shard.records[self.place : self.place + size]
        self.place += len(records)
        self.track(self.chunker.add(Records.of(records)))
        self.seal_idle()

    def seal_idle(self) -> None:
        """The wall clock is at most the grace ahead of the arrival times of what is still to come."""
        coming = [each.arrival_ms for each in self.shard.records[self.place :]]
        if coming and self.random.random() < 0.5:
            idle = self.chunker.seal_idle(min(coming) + self.shard.limits.grace_ms)
            self.track([idle] if idle else [])

    def track(self, chunks: Sequence[Chunk]) -> None:
        self.in_flight += [(chunk, self.ledger.track(chunk)) for chunk in chunks]

    def deliver(self) -> None:
        if self.in_flight:
            chunk, ticket = self.in_flight.pop(self.random.randrange(len(self.in_flight)))
            self.shard.backend.put(chunk)
            ticket.resolve()

    def deliver_without_an_answer(self) -> None:
        if self.in_flight:
            self.shard.backend.put(self.random.choice(self.in_flight)[0])

    def checkpoint(self) -> None:
        self.shard.checkpoint(self.ledger)

    def reach_the_end(self) -> None:
        while self.place < len(self.shard.records):
            self.step()
        rest = self.chunker.seal()
        self.track([rest] if rest else [])
        while self.in_flight:
            self.deliver()
        self.checkpoint()


def clean_run(records: Sequence[Record], limits: ChunkLimits) -> Contents:
    chunks, rest = cut(records, limits)
    return {chunk.name: chunk.records for chunk in [*chunks, *([rest] if rest else [])]}


@examples(100)
@given(shards(min_size=1), limits, seeds, st.lists(st.integers(0, 30), max_size=5))
def test_I1_I2_crashes_and_restarts_from_any_checkpoint_leave_what_a_clean_run_leaves(
    records: list[Record], limits: ChunkLimits, random: Random, lives: list[int]
) -> None:
    shard = Shard(records, limits, Backend())
    for steps in lives:
        process = Process(shard, random.choice(shard.checkpoints), random)
        for _ in range(steps):
            process.step()
    Process(shard, random.choice(shard.checkpoints), random).reach_the_end()
    assert shard.backend.objects == clean_run(records, limits)
    assert max(shard.checkpoints) == len(
        records
    )  # the last life may have begun there, with nothing left to do


@given(shards(min_size=1), limits, seeds, st.integers(0, 40))
def test_I2_a_zombie_that_goes_on_beside_its_successor_changes_nothing(
    records: list[Record], limits: ChunkLimits, random: Random, steps: int
) -> None:
    shard = Shard(records, limits, Backend())
    zombie, successor = (Process(shard, 0, random) for _ in range(2))
    for _ in range(steps):
        random.choice([zombie, successor]).step()
    successor.reach_the_end()
    for _ in range(steps):
        zombie.step()
    assert shard.backend.objects == clean_run(records, limits)
