"""What has become of hostile records and of the good ones between them, against what may."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.bench.hostile_input import FIRST_NUMBER, Given, place_of
from tests.bench.kept import Delivered, Kept, Letter
from tests.hostile.kinds import DELIVERED, Shape

_MOST_DETAIL_CHARACTERS = 500
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """`outcomes` of the hostile records, by how many; `faults` in words."""

    outcomes: Counter[str]
    faults: list[str]


def verdict(given: Sequence[Given], kept: Kept, shape: Shape, *, shard: str | None, size: int) -> Verdict:
    """Every record in one place, and that place one where it may be; `shard` is what the metadata column of each row
    has to say, None where there is none such."""
    delivered, nameless = _by_place(kept.delivered)
    letters: dict[int, list[Letter]] = {}
    for letter in kept.letters:
        place = place_of(letter.sequence_number, letter.sub_sequence_number)
        letters.setdefault(place, []).append(letter)
    outcomes: Counter[str] = Counter()
    faults: Counter[str] = Counter({"a row or line that is no record that was given": nameless})
    for place, one in enumerate(given):
        rows, dead = delivered.pop(place, []), letters.pop(place, [])
        found = [DELIVERED] * len(rows) + [letter.reason for letter in dead]
        if one.kind is not None:
            outcomes.update(found)
        name = "a good record" if one.kind is None else one.kind.name
        for fault in (
            *_place_faults(one, found, shape, size),
            *_letter_faults(one, dead),
            *_row_faults(one, rows, shard),
        ):
            faults[f"{name}: {fault}"] += 1
    faults["a record that was not given"] = len(delivered) + len(letters)
    faults["a request that BigQuery refuses for its size"] = len(kept.oversized)
    return Verdict(outcomes, [_counted(fault, count) for fault, count in faults.items() if count])


def _by_place(rows: Sequence[Delivered]) -> tuple[dict[int, list[Delivered]], int]:
    """By place among those given, and how many have no number of their own."""
    found: dict[int, list[Delivered]] = {}
    for row in rows:
        if row.number:
            found.setdefault(row.number - FIRST_NUMBER, []).append(row)
    return found, sum(not row.number for row in rows)


def _place_faults(one: Given, found: Sequence[str], shape: Shape, size: int) -> Iterator[str]:
    if not found:
        yield "lost"
    elif len(found) > 1:
        yield f"in {len(found)} places: {', '.join(found[:_SHOWN])}"
    may = {DELIVERED} if one.kind is None else one.kind.outcomes(shape, size)
    for wrong in sorted(set(found) - may):
        yield f"{wrong}, not {' or '.join(sorted(may))}"


def _letter_faults(one: Given, dead: Sequence[Letter]) -> Iterator[str]:
    for letter in dead:
        if not letter.reason or not letter.detail:
            yield "a dead letter without a reason or without a detail"
        if letter.detail_characters > _MOST_DETAIL_CHARACTERS:
            yield f"a detail of {letter.detail_characters:,} characters"
        if letter.digest != one.digest:
            yield "a dead letter with another payload"


def _row_faults(one: Given, rows: Sequence[Delivered], shard: str | None) -> Iterator[str]:
    for row in rows:
        if row.digest and row.digest != one.digest:
            yield "delivered as another text"
        if shard is not None and row.shards != (shard,):
            yield f"metadata columns of its own making: {row.shards}"


def _counted(fault: str, count: int) -> str:
    return fault if count == 1 else f"{fault} ({count:,} times)"
