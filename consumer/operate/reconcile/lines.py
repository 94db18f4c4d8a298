"""S3's side of a look: sums of all lines in the scope, then the lines of some buckets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from consumer.operate.progress import Progress
from consumer.operate.reconcile.compare import Bucket, Copy, Kind, Sums, add
from consumer.operate.reconcile.letters import Aside
from consumer.operate.reconcile.objects import Object, Objects
from consumer.operate.reconcile.placing import Filing


class Lines:
    """Objects are read one after the other, and once more where their lines are asked for. Methods raise
    DeliveryError; objects that cannot be read are added to `problems`."""

    def __init__(self, objects: Objects, filing: Filing, progress: Progress, problems: list[str]) -> None:
        self._objects = objects
        self._filing = filing
        self._progress = progress
        self._problems = problems
        self._listed: list[Object] = []
        self._objects_of: dict[Bucket, list[int]] = {}
        self._lines_of: Counter[str] = Counter()
        scope = filing.scope
        self.oldest_ms, self.newest_ms = scope.begin_ms, scope.end_ms
        """Of the own times of what was found, and of the scope."""

    def sums(self) -> Sums:
        """Of all objects; remembers which of them are in which bucket."""
        sums: Sums = {}
        self._listed = self._objects.listed(*self._filing.scope.arrivals)
        indices = {one.key: index for index, one in enumerate(self._listed)}
        for one, lines in self._objects.records(self._listed, self._problems, whole=False):
            index = indices[one.key]
            self._lines_of[one.chunk] += len(lines)
            for filed in self._filing.filed(lines, one.span):
                if filed is None:
                    continue
                bucket, place = filed
                add(sums, bucket, place.time_us)
                if place.time_us is not None:
                    self.oldest_ms = min(self.oldest_ms, place.time_us // 1000)
                    self.newest_ms = max(self.newest_ms, place.time_us // 1000)
                objects = self._objects_of.setdefault(bucket, [])
                if not objects or objects[-1] != index:
                    objects.append(index)
            self._progress.add(len(lines))
        return sums

    def copies(self, is_wanted: Callable[[Bucket], bool]) -> Iterator[tuple[Bucket, Copy]]:
        """The lines of these buckets."""
        wanted = {bucket for bucket in self._objects_of if is_wanted(bucket)}
        indices = sorted({index for bucket in wanted for index in self._objects_of[bucket]})
        chosen = [self._listed[index] for index in indices]
        for one, lines in self._objects.records(chosen, [], whole=True):
            equal: Counter[int] = Counter()  # lines of one object are as many records, however alike
            for number, (line, filed) in enumerate(
                zip(lines, self._filing.filed(lines, one.span), strict=True), 1
            ):
                if filed is not None and filed[0] in wanted:
                    bucket, place = filed
                    digest = hash(line)
                    equal[digest] += 1
                    same = (one.shard, digest, equal[digest])
                    where = self._objects.where(one, number)
                    yield bucket, Copy(place.key, place.time_us, same, Kind.DELIVERED, where)

    def incomplete(self, letters: Iterable[Aside]) -> Iterator[str]:
        """Chunks of which there are fewer records than their names say, dead letters included. Objects of one chunk
        that are filed under arrivals stand in neighbouring spans; under records' own times they could be anywhere."""
        begin_ms, end_ms = self._filing.scope.arrivals
        span_ms = self._filing.scope.partition.span_ms
        beside = [
            *self._objects.listed(begin_ms - span_ms, begin_ms),
            *self._objects.listed(end_ms, end_ms + span_ms),
        ]
        elsewhere = {one.chunk for one in beside}
        aside = Counter(one.chunk for one in letters)
        for chunk, records in {one.chunk: one.records for one in self._listed}.items():
            found = self._lines_of[chunk] + aside[chunk]
            if found < records and chunk not in elsewhere:
                yield f"S3 holds {found:,} of the {records:,} records of chunk {chunk}, dead letters included"
