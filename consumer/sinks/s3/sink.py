"""S3: one object a chunk and path, under a key that fixes its content (I2)."""

import datetime
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from consumer.domain.chunks import Chunk
from consumer.domain.columns import Records
from consumer.domain.dead_letters import Rejection
from consumer.domain.object_names import object_name
from consumer.domain.routing import PartitionPaths
from consumer.domain.unread_times import Unread
from consumer.sinks.aws import AWS_ERRORS, delivery_error
from consumer.sinks.base import Outcome, Prepared, Unordered, holds
from consumer.sinks.s3.chosen_lines import ChosenLines
from consumer.sinks.s3.record_times import RecordTimes
from consumer.sinks.s3.routes import KeyRoutes


class ObjectFormat(Protocol):
    """How the content of an object is written."""

    @property
    def extension(self) -> str: ...

    @property
    def content_type(self) -> str: ...

    def body(
        self, records: Records, lines: ChosenLines, chosen: Sequence[int] | None, rejections: list[Rejection]
    ) -> tuple[bytes | bytearray, int]:
        """The object of the records at these indices, or of all, and how many are in it; the others go to
        `rejections`. The same records are the same bytes."""

    def take_unread(self) -> Unread | None:
        """The times that the records written since the last call do not hold."""


@dataclass(frozen=True, slots=True)
class PutRequest:
    """`chosen` are the indices of the records that belong into it, those that make no line included; None for all of
    the chunk."""

    key: str
    body: bytes | bytearray
    records: int
    chosen: Sequence[int] | None = field(default=None, repr=False)


class S3Sink(Unordered):
    """`<prefix><path>/<stream>-<shard>-<first sequence>[.<sub>]-<records in the chunk>.<format>`"""

    def __init__(
        self,
        *,
        client: Any,
        bucket: str,
        prefix: str,
        partition: str = "",
        zone: datetime.tzinfo = datetime.UTC,
        key_routes: KeyRoutes | None = None,
        object_stem: str,
        object_format: ObjectFormat,
        record_times: RecordTimes | None = None,
        put_options: Mapping[str, str] | None = None,
    ) -> None:
        """`partition` and its `zone` choose the path, unless there are `key_routes`. `object_stem` is
        `<stream>-<shard>`; `record_times` None partitions by arrival; `put_options` are further arguments of PutObject
        (storage class, encryption)."""
        self._client = client
        self._bucket = bucket
        self._prefix = prefix
        self._paths = PartitionPaths(partition, zone)
        self._key_routes = key_routes
        self._stem = object_stem
        self._format = object_format
        self._record_times = record_times
        self._put_options = dict(put_options or {})

    def prepare(self, chunk: Chunk) -> Prepared[PutRequest]:
        requests: list[PutRequest] = []
        rejections: list[Rejection] = []
        groups, lines = self._grouped(chunk.records)
        for path, chosen in sorted(groups.items()):
            key = f"{self._prefix}{path}{object_name(self._stem, chunk.name, self._format.extension)}"
            body, written = self._format.body(chunk.records, lines, chosen, rejections)
            if written:
                requests.append(PutRequest(key, body, written, chosen))
        rejections.sort(key=lambda rejection: rejection.index)
        unread = self._format.take_unread()
        if self._record_times is not None:
            unread = self._record_times.unread.take()
        return Prepared(requests, rejections, may_release_records=not rejections, unread=unread)

    def lane(self, request: PutRequest) -> str:
        return self._bucket

    def destination(self, request: PutRequest, index: int) -> str | None:
        is_meant = request.chosen is None or holds(request.chosen, index)
        return f"s3://{self._bucket}/{request.key}" if is_meant else None

    def send(self, request: PutRequest) -> Outcome[PutRequest]:
        try:
            self._client.put_object(
                Bucket=self._bucket,
                Key=request.key,
                Body=request.body,
                ContentType=self._format.content_type,
                **self._put_options,
            )
        except AWS_ERRORS as error:
            raise delivery_error(error, setting="s3.bucket") from error
        return Outcome(counts={"objects": 1, "object_bytes": len(request.body)})

    def split(self, request: PutRequest, refusal: str) -> Outcome[PutRequest]:
        raise NotImplementedError("S3 never refuses an object for a record in it")

    def reconsider(self, chunk: Chunk, rejections: Sequence[Rejection]) -> Prepared[PutRequest]:
        return Prepared((), rejections)  # what is not JSON stays so

    def _grouped(self, records: Records) -> tuple[Mapping[str, Sequence[int] | None], ChosenLines]:
        """Indices of records by path, None for those of all."""
        routing = records.routing
        times_ms = self._times_ms(routing)
        if self._key_routes is not None:
            groups, lines = self._key_routes.group(routing, times_ms)
            return groups, lines if routing is records else ChosenLines(records)
        return self._paths.group(times_ms), ChosenLines(records)

    def _times_ms(self, records: Records) -> "array[int]":
        if self._record_times is None:
            return records.arrivals()
        return self._record_times.times_ms(records)
