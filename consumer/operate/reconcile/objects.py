"""What S3 holds: the objects of a range by their keys, and the records in them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from consumer.domain.object_names import parse_object_name
from consumer.operate.bucket import Bucket, Listed
from consumer.operate.dead_letters.contents import blocks
from consumer.operate.dead_letters.letters import Unreadable
from consumer.operate.dead_letters.merged_object import MergedObject
from consumer.operate.reconcile.spans import Partition
from consumer.operate.reconcile.stored_rows import Row, RowReader
from consumer.settings import Settings

_AT_ONCE = 4
"""Objects that are on their way while one is looked at."""
_MOST_FOLDERS = 2000
"""Where there are more, what stands above them is listed as a whole."""
_SHARD = "shardId-"


@dataclass(frozen=True, slots=True)
class Object:
    """`chunk` is `<shard>-<first record>-<records>`, which has so many `records`; `span` is the beginning of that of
    its path. `listed` is how it was when it was found."""

    key: str
    shard: str
    chunk: str
    records: int
    span: int
    format: str
    listed: Listed


class Objects:
    """Those of one application."""

    def __init__(self, settings: Settings, bucket: Bucket, partition: Partition) -> None:
        self._bucket = bucket
        self._prefix = settings.text("s3.prefix")
        self._stream = settings.stream_name
        self._partition = partition
        self._rows = RowReader(
            key=settings.text("record.key_field"),
            time=settings.text("record.time_field"),
            has_schema=settings["s3.schema_file"] is not None,
        )

    def listed(self, begin_ms: int, end_ms: int) -> list[Object]:
        """All whose path is of a span from one time to before another. Raises DeliveryError."""
        folders = self._folders(begin_ms, end_ms)
        found = (self._object(one) for folder in folders for one in self._bucket.objects(folder))
        return [one for one in found if one is not None and begin_ms <= one.span < end_ms]

    def records(
        self, objects: Sequence[Object], problems: list[str], *, whole: bool
    ) -> Iterator[tuple[Object, list[bytes] | list[Row]]]:
        """The records of each as its format has them, but for those that a redrive has appended; of one that is gone,
        or that cannot be read and is added to `problems`, none. `whole` asks for all that a row holds. Raises
        DeliveryError."""
        stored_of = self._bucket.get_each((one.key for one in objects), at_once=_AT_ONCE)
        for one, (_, stored) in zip(objects, stored_of, strict=True):
            if stored is None:
                continue
            try:
                found = self._records(one, stored.body, whole=whole)
            except Unreadable as error:
                problems.append(f"s3://{self._bucket.name}/{one.key} cannot be read: {error}")
                continue
            yield one, found

    def where(self, one: Object, number: int) -> str:
        """Of a line or row, from 1 on."""
        kind = "row" if one.format == "parquet" else "line"
        return f"s3://{self._bucket.name}/{one.key} {kind} {number}"

    def _records(self, one: Object, body: bytes, *, whole: bool) -> list[bytes] | list[Row]:
        """Raises Unreadable."""
        if one.format == "parquet":
            return self._rows.rows(body, whole=whole)
        if one.format == "ndjson.gz":
            merged = MergedObject.read(body)
            return merged.content[: merged.base_bytes].split(b"\n")[:-1]
        found = blocks(io.BytesIO(body), one.format)
        return [line for block in found for line in block.split(b"\n")[:-1]]

    def _folders(self, begin_ms: int, end_ms: int) -> list[str]:
        """Prefixes of keys beneath which these stand, and perhaps others. Values of fields are listed, times known."""
        folders = [self._prefix]
        for part in _parts(self._partition.template):
            if "{" in part:
                deeper = [f"{folder}{name}/" for folder in folders for name in self._bucket.folders(folder)]
            else:
                known = self._partition.expanded(part, begin_ms, end_ms)
                deeper = [f"{folder}{path}/" for folder in folders for path in known]
            if len(deeper) > _MOST_FOLDERS:
                break
            folders = deeper
        return folders

    def _object(self, listed: Listed) -> Object | None:
        """None for what is none of this stream."""
        key = listed.key
        name = parse_object_name(key)
        span = self._partition.span_of(key.removeprefix(self._prefix).rpartition("/")[0])
        if name is None or span is None or not name.stem.startswith(f"{self._stream}-{_SHARD}"):
            return None
        shard = name.stem.removeprefix(f"{self._stream}-")
        return Object(
            key, shard, f"{shard}-{name.first}-{name.records}", name.records, span, name.format, listed
        )


def _parts(template: str) -> list[str]:
    """The template by its slashes, but for those between parts without fields."""
    parts: list[str] = []
    for part in template.split("/"):
        if parts and "{" not in part and "{" not in parts[-1]:
            parts[-1] += f"/{part}"
        else:
            parts.append(part)
    return parts
