"""Where the chunks of an application begin, told by the keys of its objects.

Chunks are cut from the records since the last boundary, so who reads a part of a shard once more has to begin at a
boundary to cut the same ones. Each object's key holds the first position of its chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import NamedTuple

from consumer.domain.object_names import parse_object_name
from consumer.domain.routing import expand_time, time_zone
from consumer.operate.bucket import Bucket
from consumer.settings import Settings

_MINUTE_MS = 60_000
_STEPS = (("%M", _MINUTE_MS), ("%H", 30 * _MINUTE_MS))
_HALF_DAY_MS = 720 * _MINUTE_MS
"""Half of what a path covers: a day may have 23 hours in its zone."""
_DAY_MS = 2 * _HALF_DAY_MS


class Begin(NamedTuple):
    """A chunk's first record, or another record of its shard; those of one shard compare as they come."""

    sequence: int
    sub_sequence: int = 0


def chunk_of(key: str, stream: str) -> tuple[str, Begin] | None:
    """The shard of an object and where its chunk begins; None for a key of something else."""
    name = parse_object_name(key)
    if name is None or not name.stem.startswith(f"{stream}-shardId-"):
        return None
    begin = Begin(int(name.first.sequence_number), name.first.sub_sequence_number)
    return name.stem.removeprefix(f"{stream}-"), begin


@dataclass(frozen=True, slots=True)
class Paths:
    """The beginnings of an application's keys: those of `times`, which is text and times as strftime has them, in a
    zone. `whole` says that nothing stands between such a path and the name of an object."""

    times: str
    zone: tzinfo = UTC
    whole: bool = True

    @classmethod
    def of(cls, template: str, zone: tzinfo = UTC) -> Paths:
        """What a template of keys begins with before its first field."""
        head, field, _ = f"{template.strip('/')}/".partition("{")
        return cls(head if field else head.lstrip("/"), zone, whole=not field)

    def back(self, newest_ms: int, oldest_ms: int) -> Iterator[str]:
        """From one time back to another, each once."""
        step = next((step for directive, step in _STEPS if directive in self.times), _HALF_DAY_MS)
        seen: set[str] = set()
        for moment in (*range(newest_ms, oldest_ms, -step), oldest_ms):
            path = expand_time(self.times, moment, self.zone)
            if path not in seen:
                seen.add(path)
                yield path


type Fits = Callable[[Begin, Begin], bool]
type Nearest = Callable[[Iterable[Begin]], Begin]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkBoundaries:
    """Of an application. `keys` lists those that begin with a prefix; `spread_ms` is how far a record's own time is
    taken to lie from its arrival, where that makes the path."""

    keys: Callable[[str], Iterable[str]]
    prefix: str
    stream: str
    paths: Paths
    spread_ms: int = 0

    @classmethod
    def of(cls, settings: Settings, bucket: Bucket) -> ChunkBoundaries:
        """`bucket` is that of the objects; what lists them raises DeliveryError."""
        template = settings.optional_text("s3.key_template") or settings.text("s3.partition")
        return cls(
            keys=lambda prefix: (listed.key for listed in bucket.objects(prefix)),
            prefix=settings.text("s3.prefix"),
            stream=settings.stream_name,
            paths=Paths.of(template, time_zone(settings.text("s3.time_zone"))),
            spread_ms=_DAY_MS if settings.text("s3.partition_time") == "record" else 0,
        )

    def last_at_or_before(
        self, wanted: Mapping[str, Begin], *, newest_ms: int, oldest_ms: int
    ) -> dict[str, Begin]:
        """By shard, where the last chunk begins that begins at that record or before it, sought from the paths of the
        newest arrival back to those of the oldest one, in which nothing later has been found; without the shards of
        which there is none."""
        return self._nearest(
            wanted, self._back(newest_ms, oldest_ms), lambda begin, limit: begin <= limit, max
        )

    def first_at_or_behind(
        self, wanted: Mapping[str, Begin], *, newest_ms: int, oldest_ms: int
    ) -> dict[str, Begin]:
        """By shard, where the first chunk begins that begins at that record or behind it, sought likewise, from the
        oldest path on."""
        paths = reversed(list(self._back(newest_ms, oldest_ms)))
        return self._nearest(wanted, paths, lambda begin, limit: begin >= limit, min)

    def _back(self, newest_ms: int, oldest_ms: int) -> Iterator[str]:
        return self.paths.back(newest_ms + self.spread_ms, oldest_ms - self.spread_ms)

    def _nearest(
        self, wanted: Mapping[str, Begin], paths: Iterable[str], fits: Fits, nearest: Nearest
    ) -> dict[str, Begin]:
        found: dict[str, Begin] = {}
        for path in paths:
            left = {shard: limit for shard, limit in wanted.items() if shard not in found}
            if not left:
                break
            fitting: dict[str, list[Begin]] = {}
            for shard, begin in self._begins(path, left):
                if fits(begin, left[shard]):
                    fitting.setdefault(shard, []).append(begin)
            found |= {shard: nearest(begins) for shard, begins in fitting.items()}
        return found

    def _begins(self, path: str, shards: Mapping[str, Begin]) -> Iterator[tuple[str, Begin]]:
        """Of chunks of these shards with an object in the path."""
        prefix = f"{self.prefix}{path}"
        if self.paths.whole and len(shards) == 1:
            prefix = f"{prefix}{self.stream}-{next(iter(shards))}-"
        for key in self.keys(prefix):
            chunk = chunk_of(key, self.stream)
            if chunk is not None and chunk[0] in shards:
                yield chunk
