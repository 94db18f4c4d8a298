"""Shards without a reader, told from looks at the lease table."""

from collections.abc import Collection, Sequence

import pytest

from consumer.daemon.report.leases import SHARD_END, Lease, Leases

ME = "s3-host"
LIMIT = 40.0


def lease(shard: str = "a", owner: str | None = ME, counter: int = 1, **more: object) -> Lease:
    return Lease(shard=shard, owner=owner, counter=counter, **more)  # type: ignore[arg-type]


@pytest.fixture
def leases() -> Leases:
    return Leases(table="player-log", worker_id=ME, began_at=0.0)


def look(leases: Leases, rows: Sequence[Lease], *, reading: Collection[str], now: float) -> None:
    leases.reads(reading)
    leases.seen(rows, now=now)


def faults(leases: Leases, now: float) -> list[str]:
    return list(leases.faults(now=now, limit_seconds=LIMIT))


@pytest.mark.parametrize(
    ("owner", "cause"),
    [
        (None, "no worker has its lease"),
        (ME, "this worker has its lease, and the KCL has started no process for it"),
        ("other", "worker other has its lease and does not renew it"),
    ],
)
def test_a_shard_that_nobody_reads_is_a_fault_after_a_while(
    leases: Leases, owner: str | None, cause: str
) -> None:
    for now in (0.0, 10.0, 20.0, 30.0, 50.0, 60.0):
        look(leases, [lease(owner=owner), lease("b")], reading={"b"}, now=now)
    assert faults(leases, LIMIT) == []
    assert faults(leases, LIMIT + 1) == [f"a: not read for 41 s: {cause}"]


def test_a_lease_that_another_worker_renews_is_read(leases: Leases) -> None:
    for counter in range(10):
        look(leases, [lease(owner="other", counter=counter)], reading=(), now=counter * 10.0)
    assert faults(leases, 1000.0) == []


def test_a_lease_that_moves_is_read(leases: Leases) -> None:
    for place in range(10):
        look(leases, [lease(owner=f"worker-{place}")], reading=(), now=place * 10.0)
    assert faults(leases, 1000.0) == []


def test_reading_ends_the_fault_and_a_later_one_counts_anew(leases: Leases) -> None:
    look(leases, [lease()], reading=(), now=0.0)
    assert faults(leases, 50.0)
    look(leases, [lease()], reading={"a"}, now=50.0)
    leases.read("a", at=498.0)
    assert faults(leases, 500.0) == []
    look(leases, [lease()], reading=(), now=500.0)
    assert faults(leases, 530.0) == []
    assert faults(leases, 540.0) == [
        "a: not read for 42 s: this worker has its lease, and the KCL has started no process for it"
    ]


def test_a_process_that_ends_before_it_is_given_anything_is_no_reader(leases: Leases) -> None:
    look(leases, [lease()], reading={"a"}, now=0.0)
    leases.read("a", at=1.0)
    look(leases, [lease()], reading={"a"}, now=40.0)
    look(leases, [lease()], reading=(), now=50.0)
    assert faults(leases, 50.0)[0].startswith("a: not read for 49 s")


def test_a_process_that_ends_while_the_table_cannot_be_read_leaves_its_shard_unread(leases: Leases) -> None:
    """The last look still shows its lease as this worker's."""
    look(leases, [lease(), lease("b")], reading={"a", "b"}, now=0.0)
    leases.read("a", at=1.0)
    leases.read("b", at=40.0)
    leases.failed("no answer", now=30.0)
    assert faults(leases, 45.0) == []
    leases.reads({"b"})
    assert faults(leases, 45.0) == [
        "a: not read for 44 s: this worker has its lease, and the KCL has started no process for it"
    ]
    leases.reads({"a", "b"})
    assert faults(leases, 45.0) == []


def test_a_shard_that_has_ended_since_the_last_look_needs_no_reader(leases: Leases) -> None:
    """AWS may be gone as soon as its end is checkpointed."""
    look(leases, [lease(), lease("b")], reading={"a", "b"}, now=0.0)
    leases.ended("a")
    leases.reads(())
    leases.failed("no answer", now=1.0)
    assert [fault.partition(":")[0] for fault in faults(leases, 100.0)] == ["no answer (for 99 s)", "b"]


def test_a_look_that_was_under_way_when_a_shard_ended_does_not_show_that(leases: Leases) -> None:
    """It takes long at a large table, and the next one may be minutes away."""
    look(leases, [lease()], reading={"a"}, now=0.0)
    leases.ended("a")
    look(leases, [lease()], reading=(), now=1.0)
    assert faults(leases, 100.0) == []
    look(leases, [lease()], reading=(), now=100.0)  # somebody has moved its checkpoint back
    assert [fault.partition(":")[0] for fault in faults(leases, 100.0)] == ["a"]


def test_a_process_that_ends_between_two_looks_may_have_given_its_shard_up(leases: Leases) -> None:
    """Looks at a large table are minutes apart, and another worker may have the lease by now."""
    look(leases, [lease()], reading={"a"}, now=0.0)
    leases.read("a", at=1.0)
    leases.reads(())
    assert faults(leases, 100.0) == []
    look(leases, [lease()], reading=(), now=100.0)
    assert faults(leases, 100.0)
    leases.reads({"a"})
    assert faults(leases, 100.0) == []


def test_a_shard_counts_from_its_last_read_however_long_the_table_could_not_be_read(leases: Leases) -> None:
    for place in range(2):
        look(leases, [lease(), lease("b", owner="other", counter=place)], reading={"a"}, now=0.0)
    leases.read("a", at=9.0)
    leases.failed("no answer", now=10.0)
    look(leases, [lease(), lease("b", owner="other", counter=1)], reading=(), now=60.0)
    assert [reason[:21] for reason in faults(leases, 60.0)] == [
        "a: not read for 51 s:",
        "b: not read for 60 s:",
    ]


def test_a_shard_that_another_worker_has_read_meanwhile_counts_from_there(leases: Leases) -> None:
    look(leases, [lease()], reading={"a"}, now=0.0)
    leases.read("a", at=0.0)
    for counter in range(5):
        look(leases, [lease(owner="other", counter=counter)], reading=(), now=counter * 10.0)
    assert leases.read_at("a") == 40.0


def test_what_nobody_reads_at_the_first_look_was_not_read_since_the_start(leases: Leases) -> None:
    leases.failed("no answer", now=10.0)
    look(leases, [lease(), lease("b", owner="other")], reading=(), now=50.0)
    look(
        leases, [lease(), lease("b", owner="other", counter=2), lease("c", owner=None)], reading=(), now=60.0
    )
    assert [reason[:21] for reason in faults(leases, 60.0)] == ["a: not read for 60 s:"]
    assert [leases.read_at(shard) for shard in "bc"] == [60.0, 60.0]


@pytest.mark.parametrize(("counter", "told"), [(7, ["a: not read for 65 s:"]), (8, [])])
def test_a_renewal_that_may_be_as_old_as_the_last_look_is_none_until_the_next_look(
    leases: Leases, counter: int, told: list[str]
) -> None:
    """Its owner renewed the lease, ended, and then nobody could see that for a minute."""
    for before, now in ((5, 0.0), (6, 5.0)):
        look(leases, [lease(owner="other", counter=before)], reading=(), now=now)
    leases.failed("no answer", now=10.0)
    look(leases, [lease(owner="other", counter=7)], reading=(), now=65.0)
    assert faults(leases, 65.0) == []
    look(leases, [lease(owner="other", counter=counter)], reading=(), now=70.0)
    assert [reason[:21] for reason in faults(leases, 70.0)] == told


@pytest.mark.parametrize(
    ("checkpoint", "parent", "read_at"),
    [("TRIM_HORIZON", SHARD_END, 50.0), ("123", SHARD_END, 0.0), ("TRIM_HORIZON", None, 0.0)],
)
def test_a_child_whose_parents_may_just_have_ended_counts_from_the_first_look(
    leases: Leases, checkpoint: str, parent: str | None, read_at: float
) -> None:
    """Otherwise a worker that starts while a shard is split would say that nobody has read the child since."""
    child = lease("c", owner=None, checkpoint=checkpoint, parents=frozenset({"p"}))
    parents = [] if parent is None else [lease("p", checkpoint=parent)]
    look(leases, [*parents, child], reading=(), now=50.0)
    assert leases.read_at("c") == read_at


def test_a_lease_that_is_deleted_is_forgotten(leases: Leases) -> None:
    leases.read("a", at=0.0)
    look(leases, [lease("b")], reading={"b"}, now=10.0)
    assert leases.read_at("a") is None


def test_a_shard_read_to_its_end_needs_no_reader(leases: Leases) -> None:
    look(leases, [lease(checkpoint=SHARD_END), lease("b")], reading={"b"}, now=0.0)
    assert faults(leases, 1000.0) == []


@pytest.mark.parametrize(
    ("parents", "waits"),
    [
        ([lease("p")], True),
        ([lease("p", checkpoint="123")], True),
        ([lease("p", checkpoint=SHARD_END)], False),
        ([lease("p", checkpoint=SHARD_END), lease("q")], True),
        ([], False),
    ],
)
def test_a_child_waits_for_its_parents_to_be_read(leases: Leases, parents: list[Lease], waits: bool) -> None:
    child = lease("c", parents=frozenset({"p", "q"}))
    look(leases, [*parents, child], reading={"p", "q"}, now=0.0)
    assert bool(faults(leases, 1000.0)) is not waits


def test_a_table_that_cannot_be_read_is_a_fault_after_a_while_and_ends(leases: Leases) -> None:
    leases.failed("no answer", now=0.0)
    leases.failed("no answer at all", now=30.0)
    assert faults(leases, LIMIT) == []
    assert faults(leases, LIMIT + 1) == ["no answer at all (for 41 s)"]
    look(leases, [lease()], reading={"a"}, now=50.0)
    assert faults(leases, 500.0) == []


def test_a_table_without_leases_is_a_fault_after_a_while(leases: Leases) -> None:
    for now in (0.0, 50.0):
        look(leases, [], reading=(), now=now)
    assert faults(leases, 50.0) == ['lease table "player-log" holds no lease, so no shard is read (for 50 s)']
