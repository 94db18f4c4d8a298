"""The feed with hostile records in it: one in ten, of every kind once before any comes twice."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

from tests.chaos.journal import Fed, Sort, records
from tests.hostile.kinds import KINDS, SMALL_BYTES, Kind, kinds_of
from tests.hostile.payloads import Mark

EMBEDDED_LIMITS = {
    "number-digits-and-exponent": "the engine reads it as a double, which is another number than the text says",
}
"""Kinds that are left out: the embedded BigQuery takes them, and does not tell them again as they were."""

_SHARE = 0.1
_LARGE_SHARE = 0.025
_LARGE_BYTES = (2**20, 2 * 2**20)


def hostile_records(seed: int) -> Iterator[Fed]:
    """As `records`, where one in ten is hostile in the place of the other; most of 20 KB, few of one to two MiB."""
    chance = random.Random(f"hostile {seed}")
    small, large = (_dealt(chance, kinds) for kinds in (small_kinds(), large_kinds()))
    for fed in records(seed):
        draw = chance.random()
        if draw < _SHARE * _LARGE_SHARE:
            yield _hostile(fed, next(large), chance.randint(*_LARGE_BYTES))
        elif draw < _SHARE:
            yield _hostile(fed, next(small), SMALL_BYTES)
        else:
            yield fed


def small_kinds() -> list[Kind]:
    return [kind for kind in kinds_of(SMALL_BYTES) if _can_be_told(kind)]


def large_kinds() -> list[Kind]:
    return [kind for kind in KINDS.values() if kind.least_bytes <= _LARGE_BYTES[1] and _can_be_told(kind)]


def _can_be_told(kind: Kind) -> bool:
    return not kind.has_no_mark and kind.name not in EMBEDDED_LIMITS


def _dealt(chance: random.Random, kinds: Sequence[Kind]) -> Iterator[Kind]:
    while True:
        yield from chance.sample(kinds, len(kinds))


def _hostile(fed: Fed, kind: Kind, size_bytes: int) -> Fed:
    data = kind.build(Mark(b'"log_id":"%b"' % fed.log_id.encode()), size_bytes)
    return replace(fed, sort=Sort.HOSTILE, data=data, kind=kind)
