"""From payloads to requests, by every sink: no record raises anything, each ends in one place, and what becomes of it
depends on the record alone.

Not on its neighbours and their order, where the chunk was cut, what the sink has seen before, nor on the C library.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from random import Random
from unittest.mock import patch

from consumer.domain.chunks import Chunk
from consumer.domain.columns import Records
from consumer.domain.records import Record
from consumer.native import library
from tests.fuzz.cases import CASES, Prepare, Taken
from tests.fuzz.inputs import Input

_ARRIVALS_MS = (1_767_322_000_000, 1_767_322_000_007, 1_767_408_400_000)

type Fate = tuple[str, str]
"""Where a record has gone and what stands there, or `rejected` and the reason."""


MAIN = (
    *("s3", "s3, by record", "insert_all, log", "insert_all, fields", "load, fields", "storage_write, log"),
    *("storage_write, fields", "storage_write, fields, others ignored", "storage_write, fields, others kept"),
)
"""The cases where most is done by the C library: more than half of the inputs are for these."""

_OTHERS = tuple(name for name in CASES if name not in MAIN)


def name_of(one: Input) -> str:
    """Which case an input is for; the first numbers stand for the main ones in turn."""
    number = int.from_bytes(one.choices)
    names = MAIN if number < len(MAIN) or number % 5 < 3 else _OTHERS
    return names[number % len(names)]


def check(one: Input) -> None:
    name, random = name_of(one), one.random()
    make = CASES[name]
    records = [
        Record(
            payload, random.choice(("k", "é")), str(10**20 + number), number % 3, random.choice(_ARRIVALS_MS)
        )
        for number, payload in enumerate(one.payloads)
    ]
    wanted = _fates(make(), [records])
    for way, found in _other_ways(make, records, random):
        for index, fate in enumerate(wanted):
            assert found[index] == fate, f"{name}, {way}: record {index}: {found[index]} and not {fate}"


def _other_ways(
    make: Callable[[], Prepare], records: list[Record], random: Random
) -> Iterator[tuple[str, Sequence[Fate]]]:
    alone = [[record] for record in records]
    cut = random.randint(0, len(records))
    sink = make()
    yield "each alone", _fates(sink, alone)
    yield "together afterwards", _fates(sink, [records])
    yield "in two chunks", _fates(sink, [records[:cut], records[cut:]])
    yield "backwards", _fates(sink, [records[::-1]])[::-1]
    with patch.object(library, "load", lambda: None):
        sink = make()
        yield "without the C library", _fates(sink, [records])
        yield "each alone without the C library", _fates(sink, alone)


def _fates(prepare: Prepare, chunks: Sequence[Sequence[Record]]) -> list[Fate]:
    fates: list[Fate] = []
    for records in filter(None, chunks):
        fates += _fates_of(prepare(Chunk(Records.of(records))), len(records))
    return fates


def _fates_of(taken: Taken, count: int) -> list[Fate]:
    seen = Counter(index for index, *_ in taken.places) + Counter(each.index for each in taken.rejections)
    assert seen == Counter(range(count)), f"of {count} records these are in no place or in several: {seen}"
    fates = {index: (where, what) for index, where, what in taken.places}
    fates |= {each.index: ("rejected", each.reason) for each in taken.rejections}
    return [fates[index] for index in range(count)]
