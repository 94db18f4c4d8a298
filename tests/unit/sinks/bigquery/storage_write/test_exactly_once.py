"""The sink over any schedule of crashes, lost answers, former owners that go on, replays from any checkpoint and
changed rules: every row is there once."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from consumer.domain.chunks import Chunk
from consumer.domain.columns import Records
from consumer.domain.dead_letters import ShareGuard, ShareLimit
from consumer.domain.errors import DeliveryError, RequestRefused, Superseded, TransientError
from consumer.domain.ledger import Ledger, Ticket
from consumer.domain.records import Position, Record
from consumer.domain.unread_times import Unread
from consumer.native import library
from consumer.settings.values import Value
from consumer.sinks.base import Outcome
from consumer.sinks.bigquery.arrow_rows.arrow import Batch
from consumer.sinks.bigquery.arrow_rows.log_rows import LogRows, Made, RowMaker, Rows
from consumer.sinks.bigquery.arrow_rows.rules import VERSION, Rules
from consumer.sinks.bigquery.storage_write.appends import Append
from consumer.sinks.bigquery.storage_write.sink import StorageWriteSink
from tests.examples import examples
from tests.unit.sinks.bigquery.storage_write.fakes import FakeBigQuery, FakeStore, NumberRows, rules

RULES = (rules(), rules(tables=3), rules(bad=5), rules(name="other"))

seeds = st.integers(0, 2**32).map(Random)


@dataclass
class World:
    """A shard, its backend, and every checkpoint ever taken on it as a number of records before it."""

    records: int
    random: Random
    bigquery: FakeBigQuery = field(default_factory=FakeBigQuery)
    store: FakeStore = field(default_factory=FakeStore)
    dead: set[int] = field(default_factory=set)
    rules: Sequence[Rules] = RULES
    maker_of: Callable[[Rules], RowMaker] = NumberRows
    payload: Callable[[int], bytes] = lambda number: b""
    checkpoints: list[int] = field(default_factory=lambda: [0])
    days_pass: bool = False
    """Between two lives now and then, where that holds nobody."""

    def wait(self) -> bool:
        """Perhaps for so long that streams are taken away and no former owner is left, unless rows past the mark may be
        in the tables."""
        state = self.store.kept() if self.store.state and self.store.streams else None
        days_pass = self.days_pass and bool(state and state.settled) and self.random.random() < 0.5
        if days_pass:
            self.bigquery.take_idle_streams_away()
        return days_pass

    def process(self, own: Rules) -> "Process":
        return Process(self, own, self.random.choice(self.checkpoints))


class Process:
    """One life of a shard process. It delivers as `Delivery` does: chunks in order, lanes in order, side by side."""

    def __init__(self, world: World, own: Rules, start: int) -> None:
        self.world = world
        self.place = start
        self.ended = False
        self.ledger = Ledger()
        self.lanes: dict[str, deque[list[Append]]] = {}
        self.waiting: list[tuple[Chunk, Ticket, list[list[Append]]]] = []
        self.sink = StorageWriteSink(
            writer=world.bigquery,
            store=world.store,
            rules=own,
            maker_of=world.maker_of,
            guard=ShareGuard(ShareLimit(1.0, 10)),
            start=Position(str(start), 0) if start else None,
            max_request_bytes=30,
            sample=lambda: Record(b"", "key", "1"),
        )

    def step(self) -> None:
        act = self.world.random.choice([self.read, self.send, self.send, self.checkpoint, self.release])
        try:
            act()
        except DeliveryError:
            pass  # repeated at another step
        except Superseded:
            self.ended = True

    def read(self) -> None:
        size = self.world.random.randint(1, 7)
        numbers = range(self.place + 1, min(self.place + size, self.world.records) + 1)
        if not numbers:
            return
        # a number past the last record's: sequence numbers are sparse, but grow
        chunk = Chunk(
            Records.of(Record(self.world.payload(number), "key", str(number)) for number in numbers)
        )
        prepared = self.sink.prepare(chunk)
        self.place = numbers[-1]
        self.bury(chunk, [one.index for one in prepared.rejections])
        pending = [[request] for request in prepared.requests]
        for one in pending:
            self.lanes.setdefault(one[0].table, deque()).append(one)
        self.waiting.append((chunk, self.ledger.track(chunk), pending))
        self.settle()

    def send(self) -> None:
        lanes = [lane for lane in self.lanes.values() if lane]
        if not lanes:
            return
        lane = self.world.random.choice(lanes)
        pending = lane[0]
        outcome = self.attempt(pending[-1])
        request = pending.pop()
        pending += outcome.again
        chunk = next(
            chunk
            for chunk, _, requests in self.waiting
            if pending in requests and chunk.end == request.progress.end
        )
        self.bury(chunk, [one.index for one in outcome.rejections])
        if not pending:
            lane.popleft()
        self.settle()

    def attempt(self, request: Append) -> Outcome[Append]:
        if self.world.random.random() < 0.15:
            self.world.bigquery.troubles = ["lost"]
        if self.world.random.random() < 0.05:
            self.world.store.failures = [TransientError("answer lost")]
        try:
            return self.sink.send(request)
        except RequestRefused as error:
            return self.sink.split(request, str(error))
        finally:
            self.world.bigquery.troubles, self.world.store.failures = [], []

    def settle(self) -> None:
        """In any order of completion; only the ledger knows how far it goes."""
        for one in list(self.waiting):
            if not any(one[2]):
                self.waiting.remove(one)
                one[1].resolve()

    def checkpoint(self) -> None:
        watermark = self.ledger.watermark
        if watermark is None:
            return
        # of what is kept in several steps the first may be all that is done
        self.world.store.failures = (
            [TransientError("answer lost")] if self.world.random.random() < 0.3 else []
        )
        try:
            self.sink.before_checkpoint(watermark)
        finally:
            self.world.store.failures = []
        before = int(watermark.sequence_number)
        there = {*self.world.bigquery.rows(), *self.world.dead}
        assert there >= set(range(1, before + 1))  # I1
        if self.world.random.random() < 0.8:  # else the process dies before the KCL has heard of it
            self.world.checkpoints.append(before)

    def release(self) -> None:
        if not self.waiting:
            self.sink.release(everything=self.world.random.random() < 0.5)

    def bury(self, chunk: Chunk, indices: list[int]) -> None:
        self.world.dead |= {int(chunk.records[index].sequence_number) for index in indices}

    def reach_the_end(self) -> None:
        while not self.ended and (self.place < self.world.records or self.waiting):
            self.step()
        while not self.ended and self.place not in self.world.checkpoints:
            self.step()


def lives(world: World, steps: list[int], choose_rules: bool) -> None:
    zombies: list[Process] = []
    own = world.rules[0]
    for count in steps:
        own = world.random.choice(world.rules) if choose_rules else own
        if world.wait():
            zombies.clear()
        process = world.process(own)
        for _ in range(count):
            (world.random.choice(zombies) if zombies and world.random.random() < 0.3 else process).step()
            zombies = [zombie for zombie in zombies if not zombie.ended]
        zombies.append(process)
    last = world.process(own)
    for _ in range(20):
        world.random.choice([*zombies, last]).step()
    while True:
        last.reach_the_end()
        if not last.ended:
            break
        last = world.process(own)
    for zombie in zombies:
        for _ in range(5):
            zombie.step()


@examples(150)
@given(st.integers(1, 60), seeds, st.lists(st.integers(0, 25), max_size=5))
def test_crashes_former_owners_and_replays_leave_every_row_once(
    records: int, random: Random, steps: list[int]
) -> None:
    world = World(records, random)
    lives(world, steps, choose_rules=False)
    assert sorted(world.bigquery.rows()) == list(range(1, records + 1))
    for table in ("t0", "t1"):
        assert world.bigquery.table(table) == sorted(world.bigquery.table(table))


@examples(300)
@given(st.integers(1, 60), seeds, st.lists(st.integers(0, 25), min_size=1, max_size=8))
@example(9, Random(803), [15, 0, 15, 0])  # what a former owner has written past the mark unsettles it as well
def test_streams_that_are_taken_away_while_idle_hold_nobody_and_double_nothing(
    records: int, random: Random, steps: list[int]
) -> None:
    world = World(records, random, days_pass=True)
    lives(world, steps, choose_rules=False)
    assert sorted(world.bigquery.rows()) == list(range(1, records + 1))


@examples(150)
@given(
    st.integers(1, 60),
    seeds,
    st.lists(st.integers(0, 25), max_size=5),
    st.frozensets(st.integers(1, 60), max_size=9),
)
def test_rows_that_the_server_refuses_shift_no_count(
    records: int, random: Random, steps: list[int], refused: frozenset[int]
) -> None:
    world = World(records, random)
    world.bigquery.refused = refused
    lives(world, steps, choose_rules=False)
    everything = set(range(1, records + 1))
    assert sorted(world.bigquery.rows()) == sorted(everything - refused)
    assert world.dead == everything & refused


@examples(200)
@given(st.integers(1, 60), seeds, st.lists(st.integers(0, 25), min_size=1, max_size=5))
def test_rules_that_change_in_between_leave_every_row_once(
    records: int, random: Random, steps: list[int]
) -> None:
    world = World(records, random)
    lives(world, steps, choose_rules=True)
    rows = world.bigquery.rows()
    assert len(rows) == len(set(rows))
    # a record that one set of rules refuses and the next one takes may be in both places
    assert set(rows) | world.dead == set(range(1, records + 1))


# Rows of real records, made by some processes in C and by others in Python


def log_rules(**changes: Value) -> Rules:
    settings: dict[str, Value] = {
        "bigquery.project": "p",
        "bigquery.dataset": "d",
        "bigquery.table_prefix": "t",
        "bigquery.key_digits": 1,
        "bigquery.partition_field": "time",
        "record.key_field": "player_id",
        "bigquery.row": "log",
        "record.time_field": "time",
        "record.time_format": "iso8601",
    }
    return Rules(VERSION, settings | changes)


LOG_RULES = (
    log_rules(),
    log_rules(**{"bigquery.key_digits": 0}),
    log_rules(**{"record.key_field": "other"}),
    log_rules(**{"bigquery.table_prefix": "u"}),
)


def log_payload(number: int) -> bytes:
    """Some make a row only under some rules, and of some the C library is not sure."""
    key = "\\u0061" if number % 7 == 0 else "zab"[number % 3] if number % 5 == 0 else "ab"[number % 2]
    return b'{"player_id":"%b","other":"%x","number":%d}' % (key.encode(), number % 16, number)


def numbers_in_log_rows(message: bytes) -> list[int]:
    schema = pa.ipc.read_schema(pa.py_buffer(LogRows(LOG_RULES[0]).schema))
    logs = pa.ipc.read_record_batch(pa.py_buffer(message), schema).column("log").to_pylist()
    return [int(log.rpartition(":")[2].rstrip("}")) for log in logs]


class EitherWay:
    """Whoever makes one does not know which way."""

    def __init__(self, own: Rules, *, in_python: bool) -> None:
        with pytest.MonkeyPatch.context() as patch:
            if in_python:
                patch.setattr(library, "load", lambda: None)
            self._rows = LogRows(own)
        self._in_python = in_python
        # tables of all rules have the same columns here, whatever their names
        self.schema = LogRows(LOG_RULES[0]).schema

    def make(self, records: Sequence[Record], indices: Sequence[int]) -> Made:
        return self._rows.make(list(records) if self._in_python else records, indices)

    def batch(self, rows: Rows) -> Batch:
        return self._rows.batch(rows)

    def take_unread(self) -> Unread | None:
        return self._rows.take_unread()


@pytest.mark.skipif(library.load() is None, reason="without the C library there is one way only")
@examples(100)
@given(st.integers(1, 60), seeds, st.lists(st.integers(0, 25), max_size=5), st.booleans())
def test_processes_with_and_without_the_c_library_leave_every_row_once(
    records: int, random: Random, steps: list[int], choose_rules: bool
) -> None:
    world = World(
        records,
        random,
        bigquery=FakeBigQuery(schema=LogRows(LOG_RULES[0]).schema, numbers_in=numbers_in_log_rows),
        rules=LOG_RULES,
        maker_of=lambda own: EitherWay(own, in_python=random.random() < 0.5),
        payload=log_payload,
    )
    lives(world, steps, choose_rules=choose_rules)
    rows = world.bigquery.rows()
    assert len(rows) == len(set(rows))
    assert set(rows) | world.dead == set(range(1, records + 1))
    assert choose_rules or not set(rows) & world.dead


HOSTILE = (
    b"[" * 64 + b"]" * 64,
    b'{"a":' * 70 + b"1" + b"}" * 70,
    b"[" * 498 + b"]" * 498,
    b"[" * 499 + b"]" * 499,
    b"[" * 500 + b"]" * 500,
    b"[" * 9_988 + b"]" * 9_988,
    b"[" * 9_989,
    rb'"\ud800"',
    rb'"\ud83d\ude00"',
    b"1e999",
    b"1e308",
    b"9" * 250,
    b'{"%b":1}' % (b"n" * 65_536),
    b'{"%b":1}' % (b"n" * 65_537),
    b"[1,\n2\r]",
    b'1,"player_id":"a"',
    rb'1,"pl\u0061yer_id":"a"',
    rb'1,"\u0074ime":"no time"',
    b'{"player_id":1,"player_id":2}',
    b"nul",
    b'"\xff"',
)


def hostile_payload(number: int) -> bytes:
    """A hostile value between good neighbours."""
    value = HOSTILE[number // 2 % len(HOSTILE)] if number % 2 else b"1"
    return b'{"player_id":"%b","other":%b,"number":%d}' % (b"ab"[number % 2 :][:1], value, number)


@pytest.mark.skipif(library.load() is None, reason="without the C library there is one way only")
@examples(100)
@given(seeds, st.lists(st.integers(0, 25), max_size=5))
def test_hostile_records_shift_no_count_whoever_judges_them_and_whenever(
    random: Random, steps: list[int]
) -> None:
    records = 2 * len(HOSTILE)
    world = World(
        records,
        random,
        bigquery=FakeBigQuery(schema=LogRows(LOG_RULES[0]).schema, numbers_in=numbers_in_log_rows),
        rules=LOG_RULES[:1],
        maker_of=lambda own: EitherWay(own, in_python=random.random() < 0.5),
        payload=hostile_payload,
    )
    lives(world, steps, choose_rules=False)
    rows = world.bigquery.rows()
    assert sorted([*rows, *world.dead]) == list(range(1, records + 1))
    assert not any(number % 2 == 0 for number in world.dead)
