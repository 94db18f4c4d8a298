"""S3: one gzip NDJSON object a chunk and path, under a key that fixes its content (I2)."""

import datetime
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from isal import isal_zlib

from consumer.domain.chunks import Chunk
from consumer.domain.columns import PART_RECORDS, Records
from consumer.domain.dead_letters import Rejection
from consumer.domain.object_names import object_name
from consumer.domain.routing import PartitionPaths
from consumer.sinks.aws import AWS_ERRORS, delivery_error
from consumer.sinks.base import Outcome, Prepared, Unordered, holds
from consumer.sinks.json.judge import Judge
from consumer.sinks.json.lines import GZIP_WINDOW_BITS, Lines
from consumer.sinks.json.rule import Limits
from consumer.sinks.s3.record_times import RecordTimes
from consumer.sinks.s3.routes import ChosenLines, KeyRoutes

type _Slice = tuple[bytearray, "array[int]", Sequence[int]]
"""Payloads with a line end after each, their sizes, and their indices in the chunk."""


@dataclass(frozen=True, slots=True)
class PutRequest:
    """`chosen` are the indices of the records that belong into it, those that make no line included; None for all of
    the chunk."""

    key: str
    body: bytes | bytearray
    records: int
    chosen: Sequence[int] | None = field(default=None, repr=False)


class S3Sink(Unordered):
    """`<prefix><path>/<stream>-<shard>-<first sequence>[.<sub>]-<records in the chunk>.ndjson.gz`"""

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
        compression_level: int,
        validate_json: bool,
        max_depth: int,
        record_times: RecordTimes | None = None,
        put_options: Mapping[str, str] | None = None,
    ) -> None:
        """`partition` and its `zone` choose the path, unless there are `key_routes`. `object_stem` is
        `<stream>-<shard>`; JSON may have `max_depth` levels; `record_times` None partitions by
        arrival; `put_options` are further arguments of PutObject (storage class, encryption)."""
        self._client = client
        self._bucket = bucket
        self._prefix = prefix
        self._paths = PartitionPaths(partition, zone)
        self._key_routes = key_routes
        self._stem = object_stem
        self._level = compression_level
        self._lines = Lines(Judge(Limits(max_depth=max_depth)), validate_json=validate_json)
        self._record_times = record_times
        self._put_options = dict(put_options or {})

    def prepare(self, chunk: Chunk) -> Prepared[PutRequest]:
        requests: list[PutRequest] = []
        rejections: list[Rejection] = []
        groups, lines = self._grouped(chunk.records)
        for path, chosen in sorted(groups.items()):
            key = f"{self._prefix}{path}{object_name(self._stem, chunk.name)}"
            slices = _slices(chunk.records) if chosen is None else _chosen_slices(lines, chosen)
            body, written = self._body(slices, rejections)
            if written:
                requests.append(PutRequest(key, body, written, chosen))
        rejections.sort(key=lambda rejection: rejection.index)
        unread = None if self._record_times is None else self._record_times.unread.take()
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
                ContentType="application/gzip",
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
        times_ms = self._times_ms(records)
        if self._key_routes is not None:
            return self._key_routes.group(records, times_ms)
        return self._paths.group(times_ms), ChosenLines(records)

    def _body(self, slices: Iterable[_Slice], rejections: list[Rejection]) -> tuple[bytearray, int]:
        """The object of these records, and how many have a line in it; the others go to `rejections`.

        The compressor is given part by part, and these are cut by number of records, so that the same records are
        the same bytes, whenever and by whomever they are written: how its input is cut shows in its output. Within a
        part it is cut where a record is no line as it came.
        """
        compressor = isal_zlib.compressobj(self._level, isal_zlib.DEFLATED, GZIP_WINDOW_BITS)
        body = bytearray()
        lines = 0
        for text, sizes, places in slices:
            lines += len(sizes)
            for piece, found in self._lines.of(text, sizes):
                body += compressor.compress(piece)
                rejections += [replace(each, index=places[each.index]) for each in found]
                lines -= len(found)
        body += compressor.flush()
        return body, lines

    def _times_ms(self, records: Records) -> "array[int]":
        if self._record_times is None:
            return records.arrivals()
        return self._record_times.times_ms(records)


def _slices(records: Records) -> Iterator[_Slice]:
    start = 0
    for part in records.parts:
        yield part.text, part.sizes, range(start, start + len(part))
        start += len(part)


def _chosen_slices(lines: ChosenLines, chosen: Sequence[int]) -> Iterator[_Slice]:
    for start in range(0, len(chosen), PART_RECORDS):
        places = chosen[start : start + PART_RECORDS]
        yield *lines.at(places), places
