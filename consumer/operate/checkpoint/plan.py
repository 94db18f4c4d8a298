"""Which leases have to be there, and where, so that the KCL reads a stream from one position on. Pure.

A position in time cuts through the tree of shards that splits and merges make. What lies *at* the cut needs a lease.
What lies *below* it, the children, must have none: the KCL makes their leases when it has read their parents to their
end, and reads them from their beginning then. What lies above has *passed*; its lease, if there still is one, says so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from consumer.operate.checkpoint.places import END, START, Place
from consumer.operate.stream import Shard

type Row = Mapping[str, Mapping[str, Any]]
"""An item of the lease table, as DynamoDB's client has it."""


@dataclass(frozen=True, slots=True)
class Found:
    """A place in a shard, and the first record of Kinesis behind it: when it arrived, in seconds since the epoch, and
    its sequence number; None where there is none yet, or nobody has looked."""

    place: Place
    arrived_at: float | None = None
    next: str | None = None


type Locate = Callable[[Shard], Found | None]
"""Where in the shard the position lies; None where it lies past the end of a closed one."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Shards by where they lie, see above."""

    at: Mapping[str, Found]
    passed: Collection[str] = ()
    below: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class LeaseChange:
    """None is no row."""

    shard: str
    before: Row | None
    after: Row | None


def cut(shards: Mapping[str, Shard], locate: Locate) -> Cut:
    """Through the whole stream; asks for the shards at the cut and above it alone."""
    at: dict[str, Found] = {}
    passed: set[str] = set()
    below: set[str] = set()
    for shard in parents_first(shards):
        if any(parent in at or parent in below for parent in shard.parents):
            below.add(shard.id)
            continue
        found = locate(shard)
        if found is None:
            passed.add(shard.id)
        else:
            at[shard.id] = found
    return Cut(at, passed, below)


def parents_first(shards: Mapping[str, Shard]) -> Iterator[Shard]:
    """Each shard behind its parents that are in `shards`."""
    done: set[str] = set()

    def visit(shard: Shard) -> Iterator[Shard]:
        if shard.id in done:
            return
        done.add(shard.id)
        for parent in sorted(shard.parents & shards.keys()):
            yield from visit(shards[parent])
        yield shard

    for name in sorted(shards):
        yield from visit(shards[name])


class _Changes:
    def __init__(self, rows: Mapping[str, Row]) -> None:
        self._rows = rows
        self.made: list[LeaseChange] = []

    def put(self, shard: Shard, place: Place) -> None:
        before = self._rows.get(shard.id)
        after = new_row(shard, place) if before is None else moved(before, place)
        if before is None or not same_position(before, after):
            self.made.append(LeaseChange(shard.id, before, after))

    def delete(self, shard: Shard) -> None:
        self.made.append(LeaseChange(shard.id, self._rows[shard.id], None))


def lease_changes(shards: Mapping[str, Shard], rows: Mapping[str, Row], chosen: Cut) -> list[LeaseChange]:
    """What has to be written. After some of the writes, a repeat with what is there by then makes the rest, whether a
    worker has read meanwhile or not; one that does loses no record, but it may wait for a repeat at a merged shard."""
    changes = _Changes(rows)
    ordered = list(parents_first(shards))
    for shard in ordered:
        if shard.id not in rows and _has_to_be_told_as_ended(shard, shards, rows, chosen):
            changes.put(shard, END)
    for shard in ordered:
        if shard.id in chosen.at:
            changes.put(shard, chosen.at[shard.id].place)
    for shard in ordered:
        if shard.id in chosen.passed and shard.id in rows and Place.of_row(rows[shard.id]) != END:
            changes.put(shard, END)
    for shard in ordered:  # a parent that is left without its lease makes that of its child again
        if shard.id in chosen.below and shard.id in rows:
            changes.delete(shard)
    return changes.made


def merged_into(shard: Shard, shards: Mapping[str, Shard], rows: Mapping[str, Row]) -> str | None:
    """The shard that came of this one and another, where it was begun. Then the KCL cannot read this one alone again:
    it removes the lease of the other one meanwhile (LeaseCleanupManager), and needs both to end this one."""
    for child in shards.values():
        if shard.id in child.parents and len(child.parents) > 1:
            begun = (
                Place.of_row(rows[child.id]) != START
                if child.id in rows
                else _was_read(child.id, shards, rows)
            )
            if begun:
                return child.id
    return None


def _has_to_be_told_as_ended(
    shard: Shard, shards: Mapping[str, Shard], rows: Mapping[str, Row], chosen: Cut
) -> bool:
    """Of one without a lease. The KCL ends a shard that was merged with another one, and makes the lease of their
    child, only while both have a lease or neither; and it makes that of every child that has none, were it read long
    ago (ShutdownTask.createLeasesForChildShardsIfNotExist)."""
    if shard.id in chosen.at or shard.id in chosen.below:
        return False
    if shard.id not in chosen.passed and not _was_read(shard.id, shards, rows):
        return False
    partners = {name for child in shards.values() if shard.id in child.parents for name in child.parents}
    to_be_read = {*chosen.at, *chosen.below}
    return bool((partners - {shard.id}) & to_be_read or shard.parents & to_be_read)


def _was_read(shard: str, shards: Mapping[str, Shard], rows: Mapping[str, Row]) -> bool:
    """Whether a shard without a lease was read to its end: then there is a lease of what came of it."""
    children = [child.id for child in shards.values() if shard in child.parents]
    return any(child in rows or _was_read(child, shards, rows) for child in children)


def is_not_begun(shard: Shard, shards: Mapping[str, Shard], rows: Mapping[str, Row]) -> bool:
    """Whether the KCL will make its lease by itself, once its parents were read to their end."""
    if shard.id in rows or _was_read(shard.id, shards, rows):
        return False
    return any(
        parent in rows or is_not_begun(shards[parent], shards, rows)
        for parent in shard.parents & shards.keys()
    )


def new_row(shard: Shard, place: Place) -> Row:
    """As the KCL makes one that no worker has (HierarchicalShardSyncer.newKCLLease)."""
    row: dict[str, Mapping[str, Any]] = {
        "leaseKey": {"S": shard.id},
        "leaseCounter": {"N": "0"},
        "ownerSwitchesSinceCheckpoint": {"N": "0"},
        "checkpoint": {"S": place.sequence},
        "checkpointSubSequenceNumber": {"N": str(place.sub)},
        "startingHashKey": {"S": shard.hash_keys[0]},
        "endingHashKey": {"S": shard.hash_keys[1]},
    }
    if shard.parents:
        row["parentShardId"] = {"SS": sorted(shard.parents)}
    return row


_LEFT_BEHIND = (
    "childShardIds",
    "pendingCheckpoint",
    "pendingCheckpointState",
    "pendingCheckpointSubSequenceNumber",
)
"""What the KCL has written towards a later place: the KCL hands a pending checkpoint on to whoever begins to read, and
writes the children again at the end."""
_OWNERS = ("leaseOwner", "checkpointOwner")


def moved(row: Row, place: Place) -> Row:
    """A row at another place."""
    kept = {name: value for name, value in row.items() if name not in _LEFT_BEHIND}
    return renewed(
        {
            **kept,
            "checkpoint": {"S": place.sequence},
            "checkpointSubSequenceNumber": {"N": str(place.sub)},
            "ownerSwitchesSinceCheckpoint": {"N": "0"},
        },
        row,
    )


def renewed(row: Row, present: Row | None) -> Row:
    """A row to write in place of the present one. It has no owner, so that whoever starts next takes it at once, and a
    counter that no worker expects: one that was frozen and goes on finds that it has lost the lease."""
    free = {name: value for name, value in row.items() if name not in _OWNERS}
    return {**free, "leaseCounter": {"N": str(counter(present) + 1 if present else 0)}}


def counter(row: Row) -> int:
    return int(row.get("leaseCounter", {}).get("N", 0))


_VOLATILE = (
    "leaseCounter",
    "leaseOwner",
    "checkpointOwner",
    "ownerSwitchesSinceCheckpoint",
    "throughputKBps",
)


def same_position(one: Row | None, other: Row | None) -> bool:
    """But for who has the lease, and how often it changed hands."""
    if one is None or other is None:
        return one is other
    return _lasting(one) == _lasting(other)


def _lasting(row: Row) -> dict[str, Any]:
    lasting: dict[str, Any] = {}
    for name, value in row.items():
        if name not in _VOLATILE:
            lasting[name] = {kind: sorted(each) if kind == "SS" else each for kind, each in value.items()}
    return lasting
