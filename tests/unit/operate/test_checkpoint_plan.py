"""Which leases a position needs: held against a model of how the KCL reads a stream that is split and merged."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from consumer.operate.checkpoint.places import END, START, Place, Word, goal
from consumer.operate.checkpoint.plan import (
    Cut,
    Found,
    LeaseChange,
    Row,
    counter,
    cut,
    is_not_begun,
    lease_changes,
    merged_into,
    moved,
    new_row,
    renewed,
    same_position,
)
from consumer.operate.stream import Shard


@dataclass
class World:
    """A stream, one record at each moment, and one application that reads it."""

    rng: random.Random
    merges: bool = True
    shards: dict[str, Shard] = field(default_factory=dict)
    records: dict[str, list[int]] = field(default_factory=dict)
    """By shard, the moments of its records, which are their sequence numbers as well."""
    rows: dict[str, Row] = field(default_factory=dict)
    clock: int = 0
    delivered: Counter[int] = field(default_factory=Counter)

    @classmethod
    def of(cls, seed: int, moments: int, *, merges: bool = True) -> World:
        world = cls(random.Random(seed), merges=merges)
        for _ in range(2):
            world.rows[world.open()] = {}
        for name in world.shards:
            world.rows[name] = new_row(world.shards[name], START)
        for _ in range(moments):
            world.goes_on()
        return world

    def goes_on(self) -> None:
        what = self.rng.random()
        if what < 0.1:
            self.reshard()
        elif what < 0.3:
            self.read(self.rng.randrange(1, 6))
        else:
            self.put()

    def open(self, *parents: str) -> str:
        name = f"shard-{len(self.shards):03}"
        self.shards[name] = Shard(
            id=name, parents=frozenset(parents), is_open=True, hash_keys=("0", str(2**128 - 1))
        )
        self.records[name] = []
        return name

    def put(self) -> None:
        self.clock += 1
        self.records[self.rng.choice(self.opened())].append(self.clock)

    def opened(self) -> list[str]:
        return [name for name, shard in self.shards.items() if shard.is_open]

    def reshard(self) -> None:
        opened = self.opened()
        if self.merges and len(opened) > 1 and self.rng.random() < 0.5:
            parents = self.rng.sample(opened, 2)
            self.open(*parents)
        else:
            parents = [self.rng.choice(opened)]
            self.open(*parents)
            self.open(*parents)
        for parent in parents:
            self.shards[parent] = replace(self.shards[parent], is_open=False)

    def read(self, steps: int | None = None) -> None:
        """As the KCL does: a record, or the end of a shard, at each step; until nothing is left unless told."""
        while steps is None or steps > 0:
            due = list(self.due())
            if not due:
                return
            self.step(self.rng.choice(due))
            steps = None if steps is None else steps - 1

    def due(self) -> Iterator[str]:
        for name, row in self.rows.items():
            shard = self.shards[name]
            waits = any(self.place(parent) != END for parent in shard.parents if parent in self.rows)
            if self.place(name) == END or waits:
                continue
            if self.left(name) or (not shard.is_open and self.may_end(name)):
                yield name
            assert "leaseKey" in row

    def may_end(self, name: str) -> bool:
        """ShutdownTask: of two shards that were merged, both have a lease, or neither."""
        return all(
            len({parent in self.rows for parent in child.parents}) == 1
            for child in self.shards.values()
            if name in child.parents and len(child.parents) == 2
        )

    def step(self, name: str) -> None:
        left = self.left(name)
        if left:
            self.delivered[left[0]] += 1
            self.rows[name] = moved(self.rows[name], Place(str(left[0])))
            return
        for child in self.shards.values():
            if name in child.parents:
                self.rows.setdefault(child.id, new_row(child, START))
        self.rows[name] = {**moved(self.rows[name], END), "childShardIds": {"SS": ["some"]}}
        self.clean_up()

    def clean_up(self) -> None:
        """LeaseCleanupManager, which comes some time or never."""
        for name in list(self.rows):
            children = [child.id for child in self.shards.values() if name in child.parents]
            processed = all(child in self.rows and self.place(child) != START for child in children)
            alone = not any(parent in self.rows for parent in self.shards[name].parents)
            if self.place(name) == END and processed and alone and self.rng.random() < 0.5:
                del self.rows[name]

    def place(self, name: str) -> Place:
        place = Place.of_row(self.rows[name])
        assert place is not None
        return place

    def left(self, name: str) -> list[int]:
        place = self.place(name)
        if place == END:
            return []
        first = 0 if place == START else int(place.sequence) + (place.sub >= 0)
        return [moment for moment in self.records[name] if moment >= first]

    def locate(self, time: int) -> Mapping[str, Found | None]:
        found: dict[str, Found | None] = {}
        for name, shard in self.shards.items():
            later = [moment for moment in self.records[name] if moment >= time]
            if later:
                found[name] = Found(Place.before(str(later[0])), later[0])
            elif not shard.is_open:
                found[name] = None
            else:
                found[name] = Found(Place.past(str(self.records[name][-1])) if self.records[name] else START)
        return found

    def apply(self, changes: list[LeaseChange]) -> None:
        for change in changes:
            assert self.rows.get(change.shard) == change.before
            if change.after is None:
                del self.rows[change.shard]
            else:
                self.rows[change.shard] = change.after

    def changes(self, time: int) -> list[LeaseChange]:
        located = self.locate(time)
        return lease_changes(self.shards, self.rows, cut(self.shards, lambda shard: located[shard.id]))

    def since(self, time: int) -> Counter[int]:
        return Counter(moment for moments in self.records.values() for moment in moments if moment >= time)


WORLDS = st.builds(World.of, st.integers(0, 10**6), st.integers(5, 60))


@given(WORLDS, st.data())
def test_the_kcl_reads_what_lies_behind_the_position_once_and_nothing_else(
    world: World, data: st.DataObject
) -> None:
    time = data.draw(st.integers(0, world.clock + 2))
    world.apply(world.changes(time))
    assert world.changes(time) == []
    world.delivered.clear()
    world.read()
    assert world.delivered == world.since(time)


@given(WORLDS, st.data())
def test_interrupted_anywhere_a_repeat_makes_the_rest_even_where_a_worker_has_read_meanwhile(
    world: World, data: st.DataObject
) -> None:
    time = data.draw(st.integers(0, world.clock + 2))
    changes = world.changes(time)
    world.apply(changes[: data.draw(st.integers(0, len(changes)))])
    world.read(data.draw(st.integers(0, 20)))
    world.apply(world.changes(time))
    world.delivered.clear()
    world.read()
    assert world.delivered == world.since(time)


@given(st.builds(World.of, st.integers(0, 10**6), st.integers(5, 60), merges=st.just(False)), st.data())
def test_a_worker_that_reads_on_after_an_interruption_loses_nothing(
    world: World, data: st.DataObject
) -> None:
    time = data.draw(st.integers(0, world.clock + 2))
    changes = world.changes(time)
    world.apply(changes[: data.draw(st.integers(0, len(changes)))])
    world.read()
    assert world.since(time) - world.delivered == Counter()


@given(WORLDS, st.data())
def test_of_single_shards_theirs_come_again_and_nothing_is_lost(world: World, data: st.DataObject) -> None:
    chosen = [
        shard.id
        for shard in world.shards.values()
        if not is_not_begun(shard, world.shards, world.rows)
        and merged_into(shard, world.shards, world.rows) is None
    ]
    assume(chosen)
    name = data.draw(st.sampled_from(chosen))
    undelivered = world.since(0) - world.delivered
    world.apply(lease_changes(world.shards, world.rows, Cut({name: Found(START)})))
    world.delivered.clear()
    world.read()
    assert world.delivered == undelivered | Counter(world.records[name])


def shard(name: str = "a", *parents: str, is_open: bool = True) -> Shard:
    return Shard(id=name, parents=frozenset(parents), is_open=is_open, hash_keys=("0", "9"))


def test_a_moved_row_has_no_owner_no_pending_checkpoint_and_a_counter_that_no_worker_expects() -> None:
    row = {
        **new_row(shard(), Place("17", 3)),
        "leaseCounter": {"N": "41"},
        "leaseOwner": {"S": "w"},
        "checkpointOwner": {"S": "v"},
        "pendingCheckpoint": {"S": "19"},
        "pendingCheckpointSubSequenceNumber": {"N": "1"},
        "pendingCheckpointState": {"B": b"x"},
        "childShardIds": {"SS": ["b"]},
        "ownerSwitchesSinceCheckpoint": {"N": "5"},
        "throughputKBps": {"N": "1.5"},
    }
    assert moved(row, START) == {
        "leaseKey": {"S": "a"},
        "leaseCounter": {"N": "42"},
        "checkpoint": {"S": "TRIM_HORIZON"},
        "checkpointSubSequenceNumber": {"N": "0"},
        "ownerSwitchesSinceCheckpoint": {"N": "0"},
        "startingHashKey": {"S": "0"},
        "endingHashKey": {"S": "9"},
        "throughputKBps": {"N": "1.5"},
    }
    assert counter(renewed(row, row)) == 42
    assert same_position(row, {**row, "leaseOwner": {"S": "z"}, "leaseCounter": {"N": "50"}})
    assert not same_position(row, moved(row, START))


def test_a_pending_checkpoint_is_taken_away_even_where_the_position_stays() -> None:
    row = {**new_row(shard(), START), "pendingCheckpoint": {"S": "19"}}
    [change] = lease_changes({"a": shard()}, {"a": row}, Cut({"a": Found(START)}))
    assert change.after is not None
    assert "pendingCheckpoint" not in change.after


def test_leases_of_shards_that_the_stream_has_forgotten_are_left_alone() -> None:
    rows = {"gone": new_row(shard("gone"), END), "a": new_row(shard("a", "gone"), Place("5"))}
    changes = lease_changes({"a": shard("a", "gone")}, rows, Cut({"a": Found(START)}))
    assert [change.shard for change in changes] == ["a"]


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (START, "TRIM_HORIZON"),
        (Place("17"), "17"),
        (Place("17", 2), "17.2"),
        (Place.before("17"), "before 17"),
        (Place.before("17", 2), "17.1"),
        (Place.past("17"), "17"),
    ],
)
def test_places_as_text(place: Place, text: str) -> None:
    assert str(place) == text


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 3)), min_size=2, max_size=2))
def test_places_have_the_order_of_the_records(records: list[tuple[int, int]]) -> None:
    one, other = (Place(str(sequence), sub) for sequence, sub in records)
    assert (one.order() < other.order()) == (records[0] < records[1])  # type: ignore[operator]
    orders = [START.order(), Place.before("1").order(), one.order(), Place.past("60").order(), END.order()]
    assert orders == sorted(orders)  # type: ignore[type-var]
    assert Place("LATEST").order() is None


SEQUENCE = "49590338271490256608559692538361571095921575989136588898"


def test_where_to_go_is_a_word_a_sequence_number_or_a_time() -> None:
    assert goal("LATEST") is Word.LATEST
    assert goal(SEQUENCE) == Place(SEQUENCE)
    assert goal(f"{SEQUENCE}.7") == Place(SEQUENCE, 7)
    assert callable(goal("20260131"))
    assert callable(goal("2h"))
