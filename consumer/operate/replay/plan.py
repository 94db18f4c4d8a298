"""Where a replay begins in each shard, and what of its range nobody can deliver any more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from consumer.operate.chunk_boundaries import Begin, ChunkBoundaries
from consumer.operate.errors import Refused
from consumer.operate.moments import written_ms
from consumer.operate.progress import duration
from consumer.operate.replay.tables import FirstLease
from consumer.operate.stream import Arrived, Retained, Shard

_NAMED = 5
_BYTES_A_SECOND = 1_000_000
"""What a replay reads from a shard unless told otherwise: half of what a shard gives, and as much as it can take in."""
_MOST_RECORDS = 10_000
_LONGEST_CHUNK_MS = 3_600_000
"""chunk.window is no longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """From one arrival on the stream to before another, in milliseconds since the epoch, of these shards or of all."""

    from_ms: int
    to_ms: int
    shards: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{written_ms(self.from_ms)} to {written_ms(self.to_ms)}"

    def options(self) -> list[str]:
        """That mean the same range at any later time."""
        first, last = (
            datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
            for ms in (self.from_ms, self.to_ms)
        )
        return [f"--from={first}Z", f"--to={last}Z"]


class Stream(Protocol):
    """consumer.operate.stream's, as far as it is used here."""

    def retained(self, now: datetime) -> Retained: ...
    def shards(self) -> dict[str, Shard]: ...
    def first_since(self, shards: Iterable[str], time_ms: int) -> dict[str, Arrived]: ...
    def first_from(self, places: Mapping[str, str]) -> dict[str, Arrived]: ...


class KeptPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a plan for whoever goes on, as Plan has it."""

    begins: dict[str, int]
    record_bytes: float

    def seconds(self, to_ms: int) -> int:
        """Of all shards together."""
        return sum(to_ms - began for began in self.begins.values()) // 1000

    def records_a_second(self) -> int:
        """What to read from a shard, unless told otherwise."""
        return max(1, min(_MOST_RECORDS, int(_BYTES_A_SECOND / max(1.0, self.record_bytes))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`leases` are those of all shards of the stream; `begins` says of those that hold records of the range when the
    first of these arrived. `notes` are for the operator."""

    range: Range
    leases: tuple[FirstLease, ...]
    begins: Mapping[str, int]
    record_bytes: float
    notes: tuple[str, ...] = field(default=())

    @property
    def kept(self) -> KeptPlan:
        return KeptPlan(begins=dict(self.begins), record_bytes=self.record_bytes)


def make_plan(
    wanted: Range,
    stream: Stream,
    now: datetime,
    *,
    boundaries: ChunkBoundaries | None,
    cut_anew: bool = False,
) -> Plan:
    """`boundaries` None is for a backend whose rows do not depend on how records are cut into chunks; `cut_anew` lets a
    shard without a known boundary begin at the range's first record. Raises Refused, DeliveryError and Trouble."""
    retained = stream.retained(now)
    notes = list(_gone(wanted, retained))
    shards = stream.shards()
    _refuse_unknown(wanted.shards, shards)
    chosen = [name for name in shards if not wanted.shards or name in wanted.shards]
    first = stream.first_since(chosen, wanted.from_ms)
    inside = {name: record for name, record in first.items() if record.arrived_ms < wanted.to_ms}
    if not inside:
        raise Refused(f"an empty range: no record arrived from {wanted}")
    begins = {name: Begin(int(record.sequence_number)) for name, record in inside.items()}
    horizon: frozenset[str] = frozenset()
    if boundaries is not None:
        search = _Search(wanted, boundaries, retained, inside)
        horizon = search.settle(begins, shards, stream, cut_anew=cut_anew)
        notes += search.notes
        if not begins:
            raise Refused(f"no chunk of the range {wanted} can be read whole any more; {' '.join(notes)}")
    leases = [
        _lease(shard, shards, begins[name], at_horizon=name in horizon)
        if name in begins
        else _place_holder(shard)
        for name, shard in shards.items()
    ]
    sizes = [record.data_bytes for record in inside.values()]
    return Plan(
        range=wanted,
        leases=tuple(sorted(leases, key=lambda lease: lease.shard)),
        begins={name: inside[name].arrived_ms for name in begins},
        record_bytes=max(sizes),
        notes=tuple(notes),
    )


class _Search:
    """For the boundaries at which shards begin; `first` are the first records in the range."""

    def __init__(
        self, wanted: Range, boundaries: ChunkBoundaries, retained: Retained, first: Mapping[str, Arrived]
    ) -> None:
        self._wanted = wanted
        self._boundaries = boundaries
        self._retained = retained
        self._first = first
        self.notes: list[str] = []

    def settle(
        self,
        begins: dict[str, Begin],
        shards: Mapping[str, Shard],
        stream: Stream,
        *,
        cut_anew: bool,
    ) -> frozenset[str]:
        """Moves each begin back to a boundary; shards of which no chunk can be read whole are taken out. Returns those
        that begin with their first record ever. Raises Refused where no boundary is known."""
        newest_ms = max(record.arrived_ms for record in self._first.values())
        known = self._boundaries.last_at_or_before(begins, newest_ms=newest_ms, oldest_ms=self._oldest_ms)
        there = stream.first_from({name: str(begin.sequence) for name, begin in known.items()})
        unknown, cut = [], []
        horizon = set()
        for name in sorted(begins):
            if name not in known:
                if self._retained.whole or shards[name].parents & shards.keys():
                    horizon.add(name)  # all of its records are there, and its first one begins a chunk
                else:
                    unknown.append(name)
            elif name in there and int(there[name].sequence_number) == known[name].sequence:
                begins[name] = known[name]
            else:
                cut.append(name)
        self._begin_later(begins, cut)
        if unknown and not cut_anew:
            raise Refused(
                f"no object tells where a chunk of {_names(unknown)} begins at or before"
                f" {written_ms(self._wanted.from_ms)}, so other objects than before would be written, with the same"
                " records: --cut-anew does that all the same"
            )
        if unknown:
            self.notes.append(
                f"{_names(unknown)}: no boundary is known, so the objects may be others than before."
            )
        return frozenset(horizon)

    def _begin_later(self, begins: dict[str, Begin], cut: Sequence[str]) -> None:
        """The first record of their chunk is gone, so they begin with the next chunk."""
        following = self._boundaries.first_at_or_behind(
            {name: begins[name] for name in cut}, newest_ms=self._wanted.to_ms, oldest_ms=self._oldest_ms
        )
        for name in cut:
            if name in following:
                begins[name] = following[name]
            else:
                del begins[name]
        if cut:
            self.notes.append(
                f"{_names(cut)}: of the first chunk the beginning is gone, so its object stays as it is."
            )

    @property
    def _oldest_ms(self) -> int:
        """No chunk begins before that of which the stream still holds a record."""
        return self._retained.since_ms - (0 if self._retained.whole else _LONGEST_CHUNK_MS)


def _lease(shard: Shard, shards: Mapping[str, Shard], begin: Begin, *, at_horizon: bool) -> FirstLease:
    return FirstLease(
        shard=shard.id,
        checkpoint="TRIM_HORIZON" if at_horizon else str(begin.sequence),
        sub_sequence_number=0 if at_horizon else begin.sub_sequence - 1,
        parents=shard.parents & shards.keys(),
        hash_keys=shard.hash_keys,
    )


def _place_holder(shard: Shard) -> FirstLease:
    return FirstLease(
        shard=shard.id,
        checkpoint="TRIM_HORIZON",
        parents=frozenset({shard.id}),
        hash_keys=shard.hash_keys,
    )


def _gone(wanted: Range, retained: Retained) -> Iterator[str]:
    """What of the range is past the retention. Raises Refused where that is all."""
    if retained.whole or wanted.from_ms >= retained.since_ms:
        return
    if wanted.to_ms <= retained.since_ms:
        raise Refused(
            f"the range {wanted} is past the stream's retention of {retained.hours} h: what arrived before"
            f" {written_ms(retained.since_ms)} is gone"
        )
    yield (
        f"{written_ms(wanted.from_ms)} to {written_ms(retained.since_ms)} is past the stream's retention of"
        f" {retained.hours} h, and gone: {duration((retained.since_ms - wanted.from_ms) / 1000)} of the range."
    )


def _refuse_unknown(chosen: frozenset[str], shards: Mapping[str, Shard]) -> None:
    unknown = sorted(chosen - shards.keys())
    if unknown:
        raise Refused(f"no such shard: {_names(unknown)}; the stream has {_names(sorted(shards))}")


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"
