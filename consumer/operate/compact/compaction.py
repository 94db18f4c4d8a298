"""Rewrites one path after the other. Can be interrupted at any point and done again: what is there is never changed."""

from __future__ import annotations

import io
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import msgspec

from consumer.domain.object_names import parse_object_name
from consumer.operate.bucket import ABSENT, Bucket, Changed
from consumer.operate.compact.folder import SUCCESS, Folder, Manifest, Source, object_name
from consumer.operate.compact.forms import Form, Writer
from consumer.operate.dead_letters.letters import Unreadable
from consumer.operate.dead_letters.merged_object import MergedObject
from consumer.operate.errors import Refused
from consumer.operate.reconcile.objects import Object

_AT_ONCE = 8
"""Objects that are on their way while one is rewritten."""


@dataclass(frozen=True, slots=True)
class Part:
    """The daemon's objects of one path, which is without the prefix and has a slash at its end."""

    path: str
    objects: Sequence[Object]

    @property
    def bytes(self) -> int:
        return sum(one.listed.size for one in self.objects)


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done in a folder: objects to be finished that were begun, by number, and those to be made, each of
    some objects of the daemon."""

    folder: Folder
    open: Sequence[int]
    groups: Sequence[Sequence[Object]]

    @property
    def objects(self) -> int:
        begun = sum(len(self.folder.manifests[number].sources) for number in self.open)
        return begun + sum(map(len, self.groups))

    @property
    def is_done(self) -> bool:
        return not (self.open or self.groups) and self.folder.complete


@dataclass(frozen=True, slots=True)
class _Built:
    file: BinaryIO
    manifest: Manifest


class Compaction:
    """Of one prefix into another one of the same bucket. `counts` are of what was published."""

    def __init__(
        self,
        bucket: Bucket,
        *,
        into: str,
        stream: str,
        form: Form,
        put_options: Mapping[str, str],
        target_bytes: int,
        names_bound_records: bool,
        read: Callable[[int], object] = lambda objects: None,
    ) -> None:
        """`names_bound_records`: no object has more records than its name says. `read` is told of objects that were
        read."""
        self._bucket = bucket
        self._into = into
        self._stream = stream
        self._form = form
        self._put_options = dict(put_options)
        self._target_bytes = target_bytes
        self._names_bound_records = names_bound_records
        self.read = read
        self.counts: Counter[str] = Counter(objects=0, records=0, written=0)

    def work(self, part: Part) -> Work:
        """Raises Refused, DeliveryError."""
        folder = Folder.read(self._bucket, f"{self._into}{part.path}")
        others = sorted(folder.formats - {self._form.name})
        if others:
            raise Refused(
                f"s3://{self._bucket.name}/{folder.key} is compacted as {others[0]}, and one prefix holds one format:"
                f" choose --format {others[0]}, or another prefix with --into"
            )
        taken = folder.taken()
        new = [one for one in _in_order(part.objects) if taken.get(_name(one.key)) != one.listed.etag]
        return Work(folder, folder.open, list(self._groups(new)))

    def run(self, part: Part, stopping: Callable[[], bool]) -> None:
        """Raises Refused and Unreadable for a path that stays as it is from there on, and DeliveryError."""
        work = self.work(part)
        for number in work.open:
            if stopping():
                return
            self._finish(part, work.folder, number)
        if work.open:
            work = self.work(part)  # the sources of what could not be finished are new again
        number = work.folder.next_number
        for group in work.groups:
            if stopping():
                return
            built = self._built(work.folder, number, group)
            if built is None:
                continue
            with built.file:
                self._put_once(work.folder.manifest_key(number), msgspec.json.encode(built.manifest))
                self._publish(work.folder, number, built)
            number += 1
        if not work.folder.complete and not stopping():
            self._put_once(f"{work.folder.key}{SUCCESS}", b"")

    def _groups(self, objects: Iterable[Object]) -> Iterator[list[Object]]:
        """About as large together as an object is to become."""
        group: list[Object] = []
        size = 0
        for one in objects:
            if group and size + one.listed.size > self._target_bytes:
                yield group
                group, size = [], 0
            group.append(one)
            size += one.listed.size
        if group:
            yield group

    def _finish(self, part: Part, folder: Folder, number: int) -> None:
        """Puts an object as its manifest says where its sources are as they were, else empty."""
        manifest = folder.manifests[number]
        there = {_name(one.key): one for one in part.objects}
        sources = [there[source.name] for source in manifest.sources if source.name in there]
        if [one.listed.etag for one in sources] == [source.etag for source in manifest.sources]:
            built = self._built(folder, number, sources)
            if built is not None:
                with built.file:
                    if built.manifest == manifest:
                        self._publish(folder, number, built)
                        return
        with _temporary() as empty:
            self._form.writer(empty).close()
            try:
                self._put_object(f"{folder.key}{manifest.object}", empty)
            except Changed:
                return  # somebody has fulfilled the manifest after all

    def _built(self, folder: Folder, number: int, group: Sequence[Object]) -> _Built | None:
        """The object of these, verified, and its manifest; None where they hold nothing that is not taken."""
        file = _temporary()
        try:
            with closing(self._form.writer(file)) as writer:
                sources = list(self._written(writer, group, self._taken(folder, group)))
            records = sum(source.records for source in sources)
            if records == 0:
                file.close()
                return None
            self._verify(file, records)
            name = object_name(self._stream, number, self._form.name)
            size = file.seek(0, io.SEEK_END)
        except BaseException:
            file.close()
            raise
        return _Built(file, Manifest(object=name, bytes=size, records=records, sources=tuple(sources)))

    def _written(
        self, writer: Writer, group: Sequence[Object], taken: Mapping[str, Counter[bytes]]
    ) -> Iterator[Source]:
        spans = {one.key: one.span for one in group}
        for key, stored in self._bucket.get_each(spans, at_once=_AT_ONCE):
            self.read(1)
            if stored is None:
                continue  # deleted since it was listed
            count = total = 0
            try:
                for batch in self._form.batches(io.BytesIO(stored.body), _format(key), spans[key]):
                    total += self._form.size(batch)
                    new = self._without(batch, taken[key]) if key in taken else batch
                    if self._form.size(new):
                        writer.add(new)
                        count += self._form.size(new)
                self._check_name(key, total, stored.body)
            except Unreadable as error:
                raise Unreadable(f"s3://{self._bucket.name}/{key} cannot be compacted: {error}") from error
            yield Source(_name(key), stored.etag, count)

    def _check_name(self, key: str, records: int, body: bytes) -> None:
        name = parse_object_name(key)
        assert name is not None
        if self._names_bound_records and records > name.records and not _was_appended_to(body, name.format):
            raise Unreadable(
                f"it holds {records:,} records, and its name says {name.records:,}; if a transform has made several of"
                " one, set it here as well"
            )

    def _verify(self, file: BinaryIO, records: int) -> None:
        """By reading what was written."""
        file.seek(0)
        found = sum(map(self._form.size, self._form.batches(file, self._form.name, 0)))
        if found != records:
            raise Refused(f"nothing was published: {records:,} records were read and {found:,} written")

    def _taken(self, folder: Folder, group: Sequence[Object]) -> Mapping[str, Counter[bytes]]:
        """Of objects that have changed since they were read: the records that were taken from them, by digest."""
        names = {_name(one.key): one.key for one in group}
        found: dict[str, Counter[bytes]] = defaultdict(Counter)
        for _, manifest in folder.published:
            if not any(source.name in names and source.records for source in manifest.sources):
                continue
            key = f"{folder.key}{manifest.object}"
            stored = self._bucket.get(key)
            if stored is None:
                raise Refused(f"s3://{self._bucket.name}/{key} is gone")
            digests = self._digests(io.BytesIO(stored.body))
            for source in manifest.sources:
                own = [next(digests) for _ in range(source.records)]
                if source.name in names:
                    found[names[source.name]].update(own)
        return found

    def _digests(self, file: BinaryIO) -> Iterator[bytes]:
        for batch in self._form.batches(file, self._form.name, 0):
            yield from self._form.digests(batch)

    def _without(self, batch: Any, taken: Counter[bytes]) -> Any:
        """The records of a batch that were not taken before; a record that was counts once."""
        places: list[int] = []
        for place, digest in enumerate(self._form.digests(batch)):
            if taken[digest]:
                taken[digest] -= 1
            else:
                places.append(place)
        return self._form.chosen(batch, places)

    def _publish(self, folder: Folder, number: int, built: _Built) -> None:
        key = f"{folder.key}{built.manifest.object}"
        try:
            self._put_object(key, built.file)
        except Changed as error:
            # by a request of this command that was not answered, or by a former one: the manifest settles what it holds
            if self._bucket.size(key) != built.manifest.bytes:
                raise Refused(f"another command compacts {folder.key}") from error
        self.counts += Counter(objects=len(built.manifest.sources), records=built.manifest.records, written=1)

    def _put_object(self, key: str, file: BinaryIO) -> None:
        """Raises Changed where one is there."""
        options = {**self._put_options, "ContentType": self._form.content_type}
        self._bucket.put(key, file, match=ABSENT, options=options)

    def _put_once(self, key: str, body: bytes) -> None:
        try:
            self._bucket.put(key, body, match=ABSENT, options=self._put_options)
        except Changed as error:  # perhaps by a request of this command that was not answered
            stored = self._bucket.get(key)
            if stored is None or stored.body != body:
                raise Refused(f"another command has written s3://{self._bucket.name}/{key}") from error


def _temporary() -> BinaryIO:
    return cast(BinaryIO, tempfile.TemporaryFile())


def _name(key: str) -> str:
    return key.rpartition("/")[2]


def _format(key: str) -> str:
    name = parse_object_name(key)
    assert name is not None
    return name.format


def _in_order(objects: Iterable[Object]) -> list[Object]:
    """By shard, then as their records came."""

    def place(one: Object) -> tuple[str, int, int, str]:
        name = parse_object_name(one.key)
        assert name is not None
        return one.shard, int(name.first.sequence_number), name.first.sub_sequence_number, one.key

    return sorted(objects, key=place)


def _was_appended_to(body: bytes, form: str) -> bool:
    """By a redrive, which may have made several records of one."""
    return form == "ndjson.gz" and bool(MergedObject.read(body).digests)
