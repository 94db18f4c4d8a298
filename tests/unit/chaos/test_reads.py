"""Which shards are to be read: children after their parents, and none twice."""

from consumer.local.aws.reads import Told
from tests.chaos.reads import Due, Unread

SPLIT = {"parent": [], "low": ["parent"], "high": ["parent"]}


def told(
    read: dict[str, float] | None = None,
    *,
    parents: dict[str, list[str]] | None = None,
    at_end: list[str] | None = None,
    checkpointed: list[str] | None = None,
) -> Told:
    """Of the reader `s3`; `other` reads all the time, and has read the parent to its end."""
    shards = {"parent": []} if parents is None else parents
    return Told(
        parents=shards,
        read={"s3": read or {}, "other": dict.fromkeys(shards, 0.0)},
        at_end={"s3": at_end or []},
        checkpointed={"app": checkpointed or [], "other-app": ["parent"]},
    )


def due() -> Due:
    return Due(reader="s3", lease_table="app")


def test_an_open_shard_is_as_old_as_its_last_read() -> None:
    assert due().look(told({"parent": 3.0}), now=100) == {"parent": Unread(3.0)}


def test_a_shard_that_was_never_read_counts_from_when_it_was_due() -> None:
    shards = due()
    assert shards.look(told(), now=100)["parent"].seconds == 0
    assert shards.look(told(), now=130)["parent"].seconds == 30
    assert shards.look(told({"parent": 1.0}), now=131)["parent"].seconds == 1


def test_children_wait_until_the_end_of_their_parent_is_checkpointed() -> None:
    shards = due()
    waiting = shards.look(told({"parent": 1.0}, parents=SPLIT, at_end=["parent"]), now=100)
    assert waiting == {"parent": Unread(1.0, at_end=True)}
    begun = shards.look(told({"parent": 30.0}, parents=SPLIT, checkpointed=["parent"]), now=129)
    assert begun == {"low": Unread(0.0), "high": Unread(0.0)}


def test_a_lease_that_the_kcl_deletes_stays_at_its_end() -> None:
    shards = due()
    shards.look(told(parents=SPLIT, checkpointed=["parent"]), now=100)
    assert shards.look(told(parents=SPLIT), now=101).keys() == {"low", "high"}


def test_the_child_of_two_waits_for_both() -> None:
    merge = {"parent": [], "adjacent": [], "child": ["parent", "adjacent"]}
    shards = due()
    assert shards.look(told(parents=merge, checkpointed=["parent"]), now=1).keys() == {"adjacent"}
    assert shards.look(told(parents=merge, checkpointed=["parent", "adjacent"]), now=1).keys() == {"child"}
