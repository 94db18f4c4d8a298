"""What comes of positions that are moved: which records come a second time, and which never come. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from consumer.operate.checkpoint.plan import Found
from consumer.operate.moments import written_ms

type Way = Literal["back", "ahead", "stays", "unknown"]

_TWICE = {
    "s3": "S3: objects that begin at or behind these positions are written again, the same under the same keys",
    "insert_all": "insert_all: rows of records behind these positions that are in the tables come a second time, but"
    " for those inserted within the last minute or so",
    "load": "load: rows of records behind these positions come a second time, but where a position was a checkpoint"
    " once and the settings are those of then: there the jobs are found that have loaded them",
    "storage_write": "storage_write: the counts of these shards are removed, so each row of a record behind the new"
    " positions is written once more, beside the one that is in its table: delete those rows first if they are"
    " to be there once",
}
_OTHER_CHUNKS = (
    "S3: {shards}: no chunk is known to begin there, so lines of records behind the position come a second time, in"
    " objects of other keys"
)
_SKIPPED = (
    "records between the former position and the new one are skipped in {shards}: they go nowhere, not even to the dead"
    " letters"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Of one shard. `was` is None where it has no lease; `aligned` whether a chunk of S3 begins at the new place."""

    shard: str
    was: Found | None
    to: Found
    aligned: bool = False

    @property
    def way(self) -> Way:
        if self.was is None:
            return "back"  # it was read to its end, and its lease removed
        before, after = self.was.place.order(), self.to.place.order()
        if before is None or after is None:
            return "unknown"
        return "stays" if before == after else "back" if after < before else "ahead"


def table(moves: Sequence[Move], removed: Collection[str]) -> Iterator[str]:
    """Lines for people."""
    for move in moves:
        was = "no lease" if move.was is None else place_and_time(move.was)
        yield f"{move.shard}: {was} -> {place_and_time(move.to)} ({move.way})"
    for shard in sorted(removed):
        yield f"{shard}: its lease is removed; the KCL makes it anew when its parents were read to their end"


def place_and_time(found: Found) -> str:
    if found.place.ended:
        return "read to its end"
    if found.place.order() is None:
        return f"{found.place}, wherever that was"
    if found.arrived_at is None:
        return f"{found.place}, nothing behind it"
    return f"{found.place}, the next record of {time_of(found.arrived_at)}"


def time_of(seconds: float) -> str:
    return written_ms(round(seconds * 1000))


def consequences(method: str, moves: Sequence[Move], removed: Collection[str]) -> Iterator[str]:
    """Under `s3` or one of bigquery.method."""
    back = [move for move in moves if move.way in ("back", "unknown")]
    ahead = [move.shard for move in moves if move.way in ("ahead", "unknown")]
    if back or removed or method == "storage_write":
        yield _TWICE[method]
    others = [move.shard for move in back if not move.aligned]
    if method == "s3" and others:
        yield _OTHER_CHUNKS.format(shards=_named(others))
    if ahead:
        yield _SKIPPED.format(shards=_named(ahead))


def _named(shards: Sequence[str], at_most: int = 4) -> str:
    more = f" and {len(shards) - at_most} more" if len(shards) > at_most else ""
    return ", ".join(shards[:at_most]) + more
