"""One look at both backends: sums of everything in the scope, then the records where the sums differ."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from consumer.operate.dead_letters.places import Places
from consumer.operate.progress import Progress
from consumer.operate.reconcile.compare import (
    Bucket,
    Copy,
    Difference,
    Kind,
    Problem,
    Sums,
    Unequal,
    add,
    differences,
    unequal,
)
from consumer.operate.reconcile.letters import Aside, letters_aside
from consumer.operate.reconcile.lines import Lines
from consumer.operate.reconcile.objects import Objects
from consumer.operate.reconcile.placing import Filing
from consumer.operate.reconcile.spans import Scope
from consumer.settings.table import BACKENDS, Backend

_MOST_RECORDS = 300_000
"""Of both backends, looked at one by one: what differs beyond them is counted only."""


class RowsSide(Protocol):
    """Rows."""

    identified: bool

    def sums(self) -> Sums: ...

    def copies(self, some: Sequence[Unequal]) -> Iterator[tuple[Unequal, Copy]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """What a look asks. `rows` is given the oldest and the newest time, in milliseconds, that rows may have."""

    stream: str
    objects: Objects
    letters: Mapping[Backend, Places]
    filing: Filing
    rows: Callable[[tuple[int, int]], RowsSide]
    chunks_stand_together: bool
    """Whether objects are filed under arrivals."""


@dataclass(slots=True)
class Cell:
    """Records of one table and span: how many each backend holds, dead letters included, and what is wrong."""

    held: Counter[Backend] = field(default_factory=Counter)
    faults: Counter[tuple[Backend, Problem]] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Named:
    """A record that is missing or doubled."""

    table: str
    span: int
    difference: Difference


@dataclass(slots=True)
class Result:
    """What a look has found. `cells` are by span and table, NO_TABLE for records that no table takes; `unnamed` records
    at fault are only counted."""

    scope: Scope
    cells: dict[tuple[int, str], Cell] = field(default_factory=lambda: defaultdict(Cell))
    named: list[Named] = field(default_factory=list)
    unnamed: int = 0
    letters: Counter[Backend] = field(default_factory=Counter)
    incomplete: list[str] = field(default_factory=list)
    """Chunks of which S3 holds fewer records than their names say."""
    problems: list[str] = field(default_factory=list)
    """What could not be read."""

    @property
    def held(self) -> Counter[Backend]:
        return sum((cell.held for cell in self.cells.values()), Counter())

    @property
    def faults(self) -> Counter[tuple[Backend, Problem]]:
        return sum((cell.faults for cell in self.cells.values()), Counter())

    @property
    def faults_by_table(self) -> Counter[tuple[Backend, str, Problem]]:
        counts: Counter[tuple[Backend, str, Problem]] = Counter()
        for (_, table), cell in self.cells.items():
            for (backend, problem), count in cell.faults.items():
                if count:
                    counts[backend, table, problem] += count
        return counts

    @property
    def clean(self) -> bool:
        return not (self.faults.total() or self.incomplete or self.problems)

    def name(self, table: str, span: int, difference: Difference) -> None:
        self.cells[span, table].faults[difference.backend, difference.problem] += 1
        self.named.append(Named(table, span, difference))

    def count(self, one: Unequal) -> None:
        """What the sums alone tell."""
        missing: Backend = "s3" if one.bigquery > one.s3 else "bigquery"
        faults = self.cells[one.span, one.table].faults
        faults[missing, "missing"] += abs(one.bigquery - one.s3)
        faults["bigquery", "doubled"] += one.doubled
        self.unnamed += abs(one.bigquery - one.s3) + one.doubled


class _Filed(NamedTuple):
    """A dead letter of the scope. `counts` is False for one whose row is there instead."""

    bucket: Bucket
    copy: Copy
    counts: bool


type _Letters = Mapping[Backend, Sequence[_Filed]]


def look(sides: Sides, progress: Progress) -> Result:
    """Reads all lines, and what BigQuery says of its rows. Raises Trouble, DeliveryError, and Refused."""
    result = Result(sides.filing.scope)
    aside = {backend: _aside(sides, backend, result.problems) for backend in BACKENDS}
    lines = Lines(sides.objects, sides.filing, progress, result.problems)
    s3 = lines.sums()
    if sides.chunks_stand_together:
        result.incomplete += lines.incomplete(aside["s3"])
    rows = sides.rows((lines.oldest_ms, lines.newest_ms))
    held: Mapping[Backend, Sums] = {"s3": s3, "bigquery": rows.sums()}
    letters: _Letters = {
        "s3": list(_filed(sides.filing, aside["s3"], _of_s3)),
        "bigquery": list(
            _filed(sides.filing, aside["bigquery"], _identified if rows.identified else _of_rows)
        ),
    }
    for backend in BACKENDS:
        result.letters[backend] = len(letters[backend])
        for letter in letters[backend]:
            if letter.counts:
                add(held[backend], letter.bucket, letter.copy.time_us)
        for bucket, found in held[backend].items():
            result.cells[bucket.span, bucket.table].held[backend] += found.records
    redriven = frozenset(_identity(one) for one in aside["bigquery"] if one.is_redriven)
    chosen = _chosen(unequal(held["s3"], held["bigquery"]), result)
    _compare(chosen, lines, rows, letters, redriven if rows.identified else frozenset(), result)
    return result


def _aside(sides: Sides, backend: Backend, problems: list[str]) -> list[Aside]:
    begin_ms, end_ms = sides.filing.scope.arrivals
    span_ms = sides.filing.scope.partition.span_ms  # the chunk of an object may reach over
    places = sides.letters[backend]
    return list(letters_aside(places, sides.stream, begin_ms - span_ms, end_ms + span_ms, problems))


type _Standing = Callable[[Aside], tuple[Hashable, Kind, bool]]
"""What a dead letter is the `same` as, what it counts as, and whether it is among the sums."""


def _of_s3(one: Aside) -> tuple[Hashable, Kind, bool]:
    """Lines that a redrive has appended are left out, so that the letter stands for its record."""
    return (one.letter.shard, hash(one.letter.payload), 1), Kind.DEAD_LETTER, True


def _identified(one: Aside) -> tuple[Hashable, Kind, bool]:
    """The rows of one that was redriven are known, and left out."""
    return _identity(one), Kind.DEAD_LETTER, not one.is_redriven


def _of_rows(one: Aside) -> tuple[Hashable, Kind, bool]:
    return None, Kind.REDRIVEN if one.is_redriven else Kind.DEAD_LETTER, not one.is_redriven


def _filed(filing: Filing, letters: Iterable[Aside], standing: _Standing) -> Iterator[_Filed]:
    for one in letters:
        for filed in filing.filed([one.letter.payload], one.letter.arrival_ms):
            if filed is not None:
                bucket, place = filed
                same, kind, counts = standing(one)
                where = f"dead letter {_identity(one)} ({one.letter.current_reason})"
                yield _Filed(bucket, Copy(place.key, place.time_us, same, kind, where), counts)


def _identity(one: Aside) -> str:
    """As the metadata columns of a row have it."""
    return f"{one.letter.shard}/{one.letter.position}"


def _chosen(some: Iterable[Unequal], result: Result) -> dict[tuple[str, int], Unequal]:
    """By table and span, those whose records are looked at, the smallest first; the others are counted."""
    chosen: dict[tuple[str, int], Unequal] = {}
    left = _MOST_RECORDS
    for one in sorted(some, key=lambda one: one.s3 + one.bigquery + one.doubled):
        left -= one.s3 + one.bigquery + one.doubled
        if left < 0:
            result.count(one)
        else:
            chosen[one.table, one.span] = one
    return chosen


def _compare(
    chosen: Mapping[tuple[str, int], Unequal],
    lines: Lines,
    rows: RowsSide,
    letters: _Letters,
    replaced: frozenset[str],
    result: Result,
) -> None:
    """`replaced` are identities of rows that stand for a dead letter, perhaps as other records."""

    def is_chosen(bucket: Bucket) -> bool:
        one = chosen.get((bucket.table, bucket.span))
        return one is not None and one.holds(bucket.part)

    held: dict[Backend, dict[tuple[str, int], list[Copy]]] = {
        backend: defaultdict(list) for backend in BACKENDS
    }
    for bucket, copy in lines.copies(is_chosen):
        held["s3"][bucket.table, bucket.span].append(copy)
    for one, copy in rows.copies([one for one in chosen.values() if one.table]):
        if copy.same not in replaced:
            held["bigquery"][one.table, one.span].append(copy)
    for backend in BACKENDS:
        for bucket, copy, _ in letters[backend]:
            if is_chosen(bucket):
                held[backend][bucket.table, bucket.span].append(copy)
    for place in sorted(chosen, key=lambda place: (place[1], place[0])):
        found = differences(held["s3"][place], held["bigquery"][place], identified=rows.identified)
        for difference in found:
            result.name(*place, difference)
