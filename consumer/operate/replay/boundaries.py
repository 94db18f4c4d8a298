"""Where the chunks of an application begin, told by the keys of its objects.

Chunks are cut from the records since the last boundary, so who delivers a part of a shard once more has to begin at a
boundary to cut the same ones. Each object's key holds the first position of its chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import NamedTuple

from consumer.domain.object_names import parse_object_name
from consumer.domain.routing import expand_time

_MINUTE_MS = 60_000
_STEPS = (("%M", _MINUTE_MS), ("%H", 30 * _MINUTE_MS))
_HALF_DAY_MS = 720 * _MINUTE_MS
"""Half of what a path covers: a day may have 23 hours in its zone."""


class Place(NamedTuple):
    """A record's place in its shard; places of one shard compare as the records come."""

    sequence: int
    sub_sequence: int = 0


def chunk_of(key: str, stream: str) -> tuple[str, Place] | None:
    """The shard of an object and the place of its chunk's first record; None for a key of something else."""
    name = parse_object_name(key)
    if name is None or not name.stem.startswith(f"{stream}-shardId-"):
        return None
    place = Place(int(name.first.sequence_number), name.first.sub_sequence_number)
    return name.stem.removeprefix(f"{stream}-"), place


def times_of(partition: str) -> str:
    """What a template of keys begins with before its first field: text, and times as strftime has them."""
    head, field, _ = f"{partition.strip('/')}/".partition("{")
    return head if field else head.lstrip("/")


@dataclass(frozen=True, slots=True)
class Paths:
    """How the keys of an application begin, as `times_of` has it, in its zone."""

    times: str
    zone: tzinfo = UTC

    def back(self, newest_ms: int, oldest_ms: int) -> Iterator[str]:
        """From one time back to another, each once."""
        step = next((step for directive, step in _STEPS if directive in self.times), _HALF_DAY_MS)
        seen: set[str] = set()
        for moment in (*range(newest_ms, oldest_ms, -step), oldest_ms):
            path = expand_time(self.times, moment, self.zone)
            if path not in seen:
                seen.add(path)
                yield path


@dataclass(frozen=True, slots=True)
class Objects:
    """The keys of an application's objects. `keys` lists those that begin with a prefix."""

    keys: Callable[[str], Iterable[str]]
    prefix: str
    stream: str

    def last_at_or_before(self, wanted: Mapping[str, Place], paths: Iterable[str]) -> dict[str, Place]:
        """By shard, where the last chunk begins that begins at that place or before it, of the first of the paths that
        has one; without the shards of which none has."""
        return self._nearest(wanted, paths, lambda place, limit: place <= limit, max)

    def first_at_or_after(self, wanted: Mapping[str, Place], paths: Iterable[str]) -> dict[str, Place]:
        """By shard, where the first chunk begins that begins at that place or past it, likewise."""
        return self._nearest(wanted, paths, lambda place, limit: place >= limit, min)

    def _nearest(
        self,
        wanted: Mapping[str, Place],
        paths: Iterable[str],
        fits: Callable[[Place, Place], bool],
        nearest: Callable[[Iterable[Place]], Place],
    ) -> dict[str, Place]:
        found: dict[str, Place] = {}
        for path in paths if wanted else ():
            fitting: dict[str, list[Place]] = {}
            for key in self.keys(f"{self.prefix}{path}"):
                chunk = chunk_of(key, self.stream)
                if chunk is None:
                    continue
                shard, place = chunk
                if shard in wanted and shard not in found and fits(place, wanted[shard]):
                    fitting.setdefault(shard, []).append(place)
            found |= {shard: nearest(places) for shard, places in fitting.items()}
            if len(found) == len(wanted):
                break
        return found
