"""What happens when, drawn from the catalogue: a pure function of seed, number of faults and options."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from consumer.settings.table import Backend
from tests.chaos.catalogue import KINDS, Kind

MOST_OPEN_SHARDS = 6
_GAP_SECONDS = (2.0, 7.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`scale` multiplies every duration and pause; `shards` are open when the run begins; `kinds` are drawn from."""

    seed: int
    faults: int
    scale: float = 1.0
    shards: int = 2
    kinds: Sequence[Kind] = KINDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A fault to come. `at_seconds` counts from the first record delivered; `pick` in [0, 1) chooses among what
    is there at that moment: a process, a shard, an error code."""

    number: int
    at_seconds: float
    kind: Kind
    target: Backend | None
    seconds: float
    pick: float

    def __str__(self) -> str:
        whom = f" {self.target}" if self.target else ""
        lasting = f" for {self.seconds:.1f} s" if self.seconds else ""
        return f"#{self.number} {self.kind.name}{whom}{lasting}"


def plan(options: Options) -> list[Planned]:
    """The faults in order of their times.

    Every kind comes once before any comes twice. Faults that would get into each other's way follow one
    another; all others overlap as chance has it. Between two and six shards are open at any time.
    """
    chance = random.Random(options.seed)
    timetable = _Timetable(options, chance)
    kinds = _kinds(chance, options)
    drawn = [timetable.place(number, next(kinds)) for number in range(1, options.faults + 1)]
    return sorted(drawn, key=lambda fault: fault.at_seconds)


def _kinds(chance: random.Random, options: Options) -> Iterator[Kind]:
    open_shards = options.shards
    while True:
        deck = list(options.kinds)
        chance.shuffle(deck)
        for drawn in deck:
            kind = _that_fits(drawn, open_shards)
            open_shards += kind.open_shards
            yield kind


def _that_fits(kind: Kind, open_shards: int) -> Kind:
    """A split instead of a merge of too few shards, and the other way round."""
    if 2 <= open_shards + kind.open_shards <= MOST_OPEN_SHARDS:
        return kind
    return next(other for other in KINDS if other.open_shards == -kind.open_shards)


@dataclass(slots=True)
class _Timetable:
    options: Options
    chance: random.Random
    cursor: float = 0.0
    free_at: dict[str, float] = field(default_factory=dict)

    def place(self, number: int, kind: Kind) -> Planned:
        scale, chance = self.options.scale, self.chance
        target = chance.choice(kind.targets)
        seconds = round(chance.uniform(*kind.seconds) * scale, 1)
        self.cursor += chance.uniform(*_GAP_SECONDS) * scale
        lane = lane_of(kind, target)
        at_seconds = round(max(self.cursor, self.free_at.get(lane, 0.0)), 1)
        self.free_at[lane] = at_seconds + seconds + kind.settle_seconds * scale
        return Planned(
            number=number,
            at_seconds=at_seconds,
            kind=kind,
            target=target,
            seconds=seconds,
            pick=round(chance.random(), 4),
        )


def lane_of(kind: Kind, target: Backend | None) -> str:
    """Faults of one lane follow one another."""
    return f"{kind.lane or kind.name} {target or 'stream'}"


def lines(planned: Sequence[Planned]) -> list[str]:
    """The plan for people, one fault a line."""
    return [f"{fault.at_seconds:7.1f} s  {fault}" for fault in planned]
