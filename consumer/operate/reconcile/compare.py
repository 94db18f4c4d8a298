"""The comparison, without any I/O: first of sums, then, where these differ, of records.

A record's mark is its key and its own time. It is in S3 as a line of an object, in BigQuery as a row, in either as a
dead letter. A row of a record without a time of its own has that of its arrival, which its line does not tell; so such
lines are matched last, with what is left of the rows of the same key.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal, NamedTuple

from consumer.settings.table import Backend

UNTIMED = -1
"""In place of a part of a span, for what has no time of its own."""

CHECK = 1_000_000_007
"""Own times in microseconds are summed up modulo this number, so that one record in the place of another shows."""

type Problem = Literal["missing", "doubled"]


class Bucket(NamedTuple):
    """Records of a table and a span, by the minute of their own time, of which those `parts` minutes apart count as
    one."""

    table: str
    span: int
    part: int


@dataclass(slots=True)
class Sum:
    """`doubled` are rows beyond the first one of an identity; `records` counts without them."""

    records: int = 0
    check: int = 0
    doubled: int = 0


type Sums = dict[Bucket, Sum]


def add(sums: Sums, bucket: Bucket, time_us: int | None) -> None:
    """One record more."""
    found = sums.get(bucket)
    if found is None:
        found = sums[bucket] = Sum()
    found.records += 1
    if time_us is not None:
        found.check += time_us % CHECK


@dataclass(frozen=True, slots=True, kw_only=True)
class Unequal:
    """Parts of a table's span that the two backends hold differently; `parts` None means all of it."""

    table: str
    span: int
    parts: frozenset[int] | None
    s3: int
    bigquery: int
    doubled: int

    def holds(self, part: int) -> bool:
        return self.parts is None or part in self.parts


def unequal(s3: Mapping[Bucket, Sum], bigquery: Mapping[Bucket, Sum]) -> list[Unequal]:
    """Where a look at the records is worth it."""
    parts: dict[tuple[str, int], set[int]] = defaultdict(set)
    for table, span, part in [*s3, *bigquery]:
        parts[table, span].add(part)
    found: list[Unequal] = []
    for (table, span), some in sorted(parts.items()):
        left = {part: s3.get(Bucket(table, span, part), _NONE) for part in some}
        right = {part: bigquery.get(Bucket(table, span, part), _NONE) for part in some}
        differing = _differing(left, right)
        if differing is None or differing:
            chosen = some if differing is None else differing
            found.append(
                Unequal(
                    table=table,
                    span=span,
                    parts=None if differing is None else frozenset(differing),
                    s3=sum(left[part].records for part in chosen),
                    bigquery=sum(right[part].records for part in chosen),
                    doubled=sum(right[part].doubled for part in chosen),
                )
            )
    return found


_NONE = Sum()


def _differing(left: Mapping[int, Sum], right: Mapping[int, Sum]) -> set[int] | None:
    """The parts that differ; None where that cannot be told of single parts."""
    if UNTIMED not in left:
        return {
            part
            for part, sums in left.items()
            if right[part].doubled or (sums.records, sums.check) != (right[part].records, right[part].check)
        }
    if any(sums.doubled for sums in right.values()):
        return None
    fits = all(right[part].records >= sums.records for part, sums in left.items() if part != UNTIMED)
    total = sum(sums.records for sums in left.values())
    return set() if fits and total == sum(sums.records for sums in right.values()) else None


class Kind(Enum):
    """How a backend holds a record."""

    DELIVERED = "delivered"
    DEAD_LETTER = "dead letter"
    REDRIVEN = "redriven"
    """A dead letter that was delivered again, perhaps as another record: its row may be there or not."""


class Copy(NamedTuple):
    """One record as a backend holds it. `same` is equal for copies of one record, as far as the backend tells, and None
    where it tells nothing; `where` is for people."""

    key: str | None
    time_us: int | None
    same: Hashable
    kind: Kind
    where: str


class Difference(NamedTuple):
    """`copy` is the one that is too many, or what the other backend has of the missing record."""

    backend: Backend
    problem: Problem
    copy: Copy


def differences(s3: Iterable[Copy], bigquery: Iterable[Copy], *, identified: bool) -> Iterator[Difference]:
    """Between copies of the same parts of a table's span. With `identified`, rows that are the `same` are one record;
    without, equal rows can be several records with equal content, as equal lines can."""
    rows, left = list(bigquery), _by_mark(s3)
    if identified:
        rows, again = _first_of_each(rows)
        yield from (Difference("bigquery", "doubled", copy) for copy in again)
    right = _by_mark(rows)
    keys_of_untimed = {key for key, time_us in left if time_us is None}
    for mark in [mark for mark in {**left, **right} if mark[1] is not None]:
        key = mark[0]
        for found in _settled(left.get(mark, ()), right.get(mark, ())):
            if found.problem == "missing" and found.backend == "s3" and key in keys_of_untimed:
                right.setdefault((key, None), []).append(found.copy)
            else:
                yield found
    for mark in [mark for mark in {**left, **right} if mark[1] is None]:
        yield from _settled(left.get(mark, ()), right.get(mark, ()))


type _Mark = tuple[str | None, int | None]


def _by_mark(copies: Iterable[Copy]) -> dict[_Mark, list[Copy]]:
    found: dict[_Mark, list[Copy]] = defaultdict(list)
    for copy in copies:
        found[copy.key, copy.time_us].append(copy)
    return found


def _first_of_each(rows: Sequence[Copy]) -> tuple[list[Copy], list[Copy]]:
    """Rows of different identities, and those that come again. Of a dead letter and a row only the row stays."""
    firsts: dict[Hashable, Copy] = {}
    again: list[Copy] = []
    for row in sorted(rows, key=lambda row: row.kind is not Kind.DELIVERED):
        if row.same not in firsts:
            firsts[row.same] = row
        elif row.kind is Kind.DELIVERED:
            again.append(row)
    return list(firsts.values()), again


def _settled(left: Sequence[Copy], right: Sequence[Copy]) -> Iterator[Difference]:
    """What one side has too many of, of copies with one mark."""
    (least_left, most_left), (least_right, most_right) = _bounds(left), _bounds(right)
    if least_left > most_right:
        yield from _surplus("s3", left, right, least_left - most_right)
    elif least_right > most_left:
        yield from _surplus("bigquery", right, left, least_right - most_left)


def _bounds(copies: Sequence[Copy]) -> tuple[int, int]:
    """How many records these are, at least and at most."""
    return len(_counted(copies)), len(copies)


def _counted(copies: Sequence[Copy]) -> list[Copy]:
    """Those that surely are as many records. A dead letter may have been written before its record passed under other
    settings: then there is the same record beside it, or some record that could be it."""
    delivered = [copy for copy in copies if copy.kind is Kind.DELIVERED]
    known = {copy.same for copy in delivered}
    letters = (copy for copy in copies if copy.kind is Kind.DEAD_LETTER)
    return [
        *delivered,
        *(copy for copy in letters if (not delivered if copy.same is None else copy.same not in known)),
    ]


def _surplus(of: Backend, many: Sequence[Copy], few: Sequence[Copy], excess: int) -> Iterator[Difference]:
    """Equal copies that the other side has fewer of are doubled; the rest is missing on the other side."""
    other: Backend = "bigquery" if of == "s3" else "s3"
    firsts, repeats = _repeats(many)
    doubled = min(excess, max(0, len(repeats) - len(_repeats(few)[1]))) if few else 0
    yield from (Difference(of, "doubled", copy) for copy in repeats[:doubled])
    missing = [*firsts, *repeats[doubled:]]
    yield from (Difference(other, "missing", copy) for copy in missing[len(missing) - (excess - doubled) :])


def _repeats(copies: Sequence[Copy]) -> tuple[list[Copy], list[Copy]]:
    """One of each, and the others."""
    seen: set[Hashable] = set()
    firsts: list[Copy] = []
    repeats: list[Copy] = []
    for copy in _counted(copies):
        is_repeat = copy.same is not None and copy.same in seen
        (repeats if is_repeat else firsts).append(copy)
        seen.add(copy.same)
    return firsts, repeats
