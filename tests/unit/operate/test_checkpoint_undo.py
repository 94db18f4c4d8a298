"""A `set` that is taken back: whatever it has written, all is as it was, or nothing is changed."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.operate.action import Console
from consumer.operate.bucket import Bucket
from consumer.operate.checkpoint import command, journal, undoing
from consumer.operate.checkpoint.places import START, Place
from consumer.operate.checkpoint.plan import LeaseChange, Row, moved, new_row, same_position
from consumer.operate.checkpoint.tables import Counts
from consumer.operate.patience import Patience
from consumer.operate.stream import Shard
from tests.unit.operate.fake_s3 import FakeS3

KEY = "deadletter/audit/app/dt=2026-01-31/one.before"
SETTINGS = [
    "--properties=/dev/null",
    "--set=streamName=player-logs",
    "--set=applicationName=app",
    "--set=bigquery.project=project",
    "--set=bigquery.dataset=logs",
    "--set=bigquery.method=storage_write",
    "--set=deadletter.bucket=bucket",
    "--set=regionName=eu-west-1",
]


class FakeTables:
    """Rows of leases, and counts; `before` is called before each write, and may raise."""

    def __init__(self, rows: dict[str, Row], counts: dict[str, Counts]) -> None:
        self.leases = dict(rows)
        self.kept = dict(counts)
        self.written: list[str] = []
        self.before: Callable[[], None] = lambda: None

    def rows(self) -> dict[str, Row]:
        return dict(self.leases)

    def counts(self, shards: list[str]) -> list[Counts]:
        return [self.kept[shard] for shard in shards if shard in self.kept]

    def watched_seconds(self) -> float:
        return 0.0

    def refuse_while_renewed(self, rows: dict[str, Row]) -> None:
        assert rows == self.leases

    def write(self, change: LeaseChange) -> None:
        self.before()
        assert self.leases.get(change.shard) == change.before
        self.written.append(change.shard)
        if change.after is None:
            del self.leases[change.shard]
        else:
            self.leases[change.shard] = change.after

    def put_counts(self, before: Counts, state: str | None) -> None:
        self.before()
        assert self.kept[before.shard] == before
        self.written.append(f"counts of {before.shard}")
        self.kept[before.shard] = Counts(before.shard, before.generation + 1, state)


def row(shard: str, place: Place, *, parents: tuple[str, ...] = ()) -> Row:
    return new_row(Shard(id=shard, parents=frozenset(parents)), place)


class World:
    """A set from one set of leases to another, of which a part was written."""

    def __init__(self, before: dict[str, Row], after: dict[str, Row], counts: dict[str, Counts]) -> None:
        self.before, self.counts = before, counts
        self.changes = [
            LeaseChange(shard, before.get(shard), after.get(shard))
            for shard in sorted(before.keys() | after.keys())
            if before.get(shard) != after.get(shard)
        ]
        self.tables = FakeTables(before, counts)
        self.s3 = FakeS3()
        kept = journal.Journal(application="app", leases=tuple(self.changes), counts=tuple(counts.values()))
        journal.keep(self.bucket, KEY, kept)

    @property
    def bucket(self) -> Any:
        return Bucket(self.s3, "bucket", setting="deadletter.bucket", put_options={}, patience=Patience())

    def write(self, leases: list[int], counts: list[str]) -> None:
        """So much of the set was written before it was killed."""
        for number in leases:
            change = self.changes[number]
            if change.after is None:
                del self.tables.leases[change.shard]
            else:
                self.tables.leases[change.shard] = change.after
        for shard in counts:
            kept = self.counts[shard]
            self.tables.kept[shard] = Counts(shard, kept.generation + 1, None)

    def undo(self, of: str = KEY, *options: str, application: str = "app") -> tuple[int, list[str]]:
        out, own = io.StringIO(), [f"--set=applicationName={application}"]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(undoing, "tables_of", lambda action: self.tables)
            patch.setattr(undoing, "refuse_daemon_here", lambda settings: None)
            code = command.checkpoint_main(
                ["bigquery", "undo", f"--of={of}", *(options or ["--yes"]), *SETTINGS, *own],
                console=Console(out),
                new_client=lambda settings: self.s3,
            )
        return code, [line for line in out.getvalue().splitlines() if not line.startswith("audit ")]

    def is_as_it_was(self) -> bool:
        leases = self.tables.leases
        return (
            leases.keys() == self.before.keys()
            and all(same_position(leases[shard], self.before[shard]) for shard in leases)
            and all(self.tables.kept[shard].state == kept.state for shard, kept in self.counts.items())
        )


PLACES = [START, Place("1" * 21), Place("2" * 21, 3), Place.before("3" * 21)]
SHARDS = ["a", "b", "c", "d"]
some_leases = st.dictionaries(st.sampled_from(SHARDS), st.sampled_from(PLACES)).map(
    lambda places: {shard: row(shard, place, parents=("p", "q")) for shard, place in places.items()}
)


@settings(deadline=None)
@given(before=some_leases, after=some_leases, counted=st.sets(st.sampled_from(SHARDS)), seed=st.integers())
def test_it_puts_back_whatever_part_of_a_set_was_written(
    before: dict[str, Row], after: dict[str, Row], counted: set[str], seed: int
) -> None:
    """Also where it is killed itself on the way, and started again."""
    rng = random.Random(seed)
    for shard in before.keys() & after.keys():
        after = {**after, shard: moved(before[shard], Place.of_row(after[shard]) or START)}
    world = World(before, after, {shard: Counts(shard, 3, f"mark of {shard}") for shard in counted})
    world.write(
        [number for number in range(len(world.changes)) if rng.random() < 0.5],
        [shard for shard in counted if rng.random() < 0.5],
    )
    writes = rng.randrange(0, 9)

    def kill() -> None:
        if len(world.tables.written) == writes:
            raise KeyboardInterrupt

    world.tables.before = kill
    code = -1
    try:
        code, _ = world.undo()
    except KeyboardInterrupt:
        world.tables.before = lambda: None
        code, _ = world.undo()
    assert code == 0
    assert world.is_as_it_was()
    assert world.undo() == (0, ["nothing to undo: all of it is as it was"])


def one_moved() -> World:
    a = row("a", PLACES[1])
    return World({"a": a}, {"a": moved(a, START)}, {"a": Counts("a", 3, "a mark")})


def test_counts_come_back_before_leases() -> None:
    """With them a replay adds no row, wherever it begins."""
    world = one_moved()
    world.write([0], ["a"])
    assert world.undo()[0] == 0
    assert world.tables.written == ["counts of a", "a"]


def test_a_removed_lease_comes_back_before_those_that_came_of_it_change() -> None:
    parent, child = row("parent", Place("1" * 21)), row("child", START, parents=("parent",))
    world = World({"parent": parent}, {"child": child}, {})
    world.write([0, 1], [])
    assert world.undo()[0] == 0
    assert world.tables.written == ["parent", "child"]
    assert world.is_as_it_was()


@pytest.mark.parametrize("since", ["read on", "moved", "counted anew", "counted on"])
def test_what_was_read_on_since_stays(since: str) -> None:
    world = one_moved()
    world.write([0], ["a"])
    if since in ("read on", "moved"):
        place = Place("4" * 21) if since == "moved" else Place("2" * 21)
        world.tables.leases["a"] = moved(world.tables.leases["a"], place)
    else:
        state = "another mark" if since == "counted anew" else None
        world.tables.kept["a"] = Counts("a", 5, state)
    code, lines = world.undo()
    assert code == 1
    assert "a was read on since, or moved by somebody else: what was cannot be put back" in lines[-1]
    assert world.tables.written == []


def test_a_dry_run_changes_nothing() -> None:
    world = one_moved()
    world.write([0], ["a"])
    code, lines = world.undo(KEY, "--dry-run")
    assert code == 0
    assert lines[-1].endswith(f"would put back 1 lease of app, as before {KEY}")
    assert world.tables.written == []


def test_what_another_application_has_kept_is_refused() -> None:
    world = one_moved()
    code, lines = world.undo(application="other")
    assert (code, len(lines)) == (1, 1)
    assert lines[0].endswith("belongs to app, not to other")
    world.s3.put_object(Bucket="bucket", Key="some.before", Body=b'{"leases": 3}')
    code, lines = world.undo("some.before")
    assert (code, len(lines)) == (1, 1)
    assert "is not what `checkpoint set` keeps" in lines[0]
