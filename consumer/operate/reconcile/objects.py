"""What S3 holds: the objects of a range by their keys, and the lines in them."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from consumer.operate.dead_letters.letters import Unreadable
from consumer.operate.dead_letters.merged_object import MergedObject
from consumer.operate.dead_letters.store import Bucket, Stored
from consumer.operate.reconcile.spans import Partition
from consumer.settings import Settings

_AT_ONCE = 4
"""Objects that are on their way while one is looked at."""
_MOST_PATHS = 2000
"""For more of them one listing of everything beneath the prefix is shorter."""


@dataclass(frozen=True, slots=True)
class Object:
    """`chunk` is `<shard>-<first record>-<records>`, which has so many `records`; `span` is the beginning of that of
    its path."""

    key: str
    shard: str
    chunk: str
    records: int
    span: int


class Objects:
    """Those of one application."""

    def __init__(self, settings: Settings, bucket: Bucket, partition: Partition) -> None:
        self._bucket = bucket
        self._prefix = settings.text("s3.prefix")
        self._stem = f"{settings.stream_name}-"
        self._name = re.compile(
            rf"{re.escape(self._stem)}(?P<chunk>(?P<shard>shardId-[0-9]+)-[0-9]+(?:\.[0-9]+)?-(?P<records>[0-9]+))\.ndjson\.gz"
        ).fullmatch
        self._partition = partition

    def listed(self, begin_ms: int, end_ms: int) -> list[Object]:
        """All whose path lies between these times. Raises DeliveryError."""
        paths = self._partition.paths(begin_ms, end_ms)
        found = (self._object(key, paths) for key in self._keys(list(paths)))
        return [one for one in found if one is not None]

    def lines(self, objects: Sequence[Object], problems: list[str]) -> Iterator[tuple[Object, list[bytes]]]:
        """The lines of each, but for those that a redrive has appended; of one that is gone, or that cannot be read and
        is added to `problems`, none. Raises DeliveryError."""
        for one, stored in self._read(objects):
            if stored is None:
                continue
            try:
                merged = MergedObject.read(stored.body)
            except Unreadable as error:
                problems.append(f"s3://{self._bucket.name}/{one.key} cannot be read: {error}")
                continue
            lines = merged.content[: merged.base_bytes].split(b"\n")
            yield one, lines[:-1]

    def where(self, one: Object, number: int) -> str:
        """Of a line, from 1 on."""
        return f"s3://{self._bucket.name}/{one.key} line {number}"

    def _keys(self, paths: Sequence[str]) -> Iterator[str]:
        if len(paths) > _MOST_PATHS:
            yield from (listed.key for listed in self._bucket.objects(self._prefix))
            return
        for path in paths:
            yield from (listed.key for listed in self._bucket.objects(f"{self._prefix}{path}{self._stem}"))

    def _object(self, key: str, paths: dict[str, int]) -> Object | None:
        folder, slash, name = key.removeprefix(self._prefix).rpartition("/")
        span, found = paths.get(folder + slash), self._name(name)
        if span is None or found is None:
            return None
        return Object(key, found["shard"], found["chunk"], int(found["records"]), span)

    def _read(self, objects: Iterable[Object]) -> Iterator[tuple[Object, Stored | None]]:
        coming: deque[tuple[Object, Future[Stored | None]]] = deque()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for one in objects:
                coming.append((one, pool.submit(self._bucket.get, one.key)))
                if len(coming) > _AT_ONCE:
                    first, stored = coming.popleft()
                    yield first, stored.result()
            for first, stored in coming:
                yield first, stored.result()
