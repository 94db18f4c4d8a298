"""S3: one gzip NDJSON object a chunk and partition, under a key that fixes its content (I2)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from isal import igzip

from consumer.domain.chunks import Chunk
from consumer.domain.dead_letters import Rejection
from consumer.domain.records import Record
from consumer.domain.routing import PartitionPaths, TimeParser, epoch_ms
from consumer.sinks.aws import AWS_ERRORS, delivery_error
from consumer.sinks.base import Outcome, Prepared
from consumer.sinks.lines import join_lines, lines_of
from consumer.sinks.payloads import RoutingReader


@dataclass(frozen=True, slots=True)
class PutRequest:
    key: str
    body: bytes
    records: int


@dataclass(frozen=True, slots=True)
class RecordTimes:
    """How to find a record's own time, for partitions by it; arrival is the fallback."""

    reader: RoutingReader
    parse: TimeParser


class S3Sink:
    """`<prefix><partition path>/<stream>-<shard>-<first sequence>[.<sub>]-<records in the chunk>.ndjson.gz`"""

    def __init__(
        self,
        *,
        client: Any,
        bucket: str,
        prefix: str,
        partition: str,
        object_stem: str,
        compression_level: int,
        validate_json: bool,
        record_times: RecordTimes | None = None,
        put_options: Mapping[str, str] | None = None,
    ) -> None:
        """`object_stem` is `<stream>-<shard>`; `record_times` None partitions by arrival; `put_options` are
        further arguments of PutObject (storage class, encryption)."""
        self._client = client
        self._bucket = bucket
        self._prefix = prefix
        self._paths = PartitionPaths(partition)
        self._stem = object_stem
        self._level = compression_level
        self._validate = validate_json
        self._record_times = record_times
        self._put_options = dict(put_options or {})

    def prepare(self, chunk: Chunk) -> Prepared[PutRequest]:
        payloads = [record.data for record in chunk.records]
        lined = lines_of(payloads, validate_json=self._validate)
        groups = self._paths.group(self._times_ms(chunk.records, payloads))
        requests = [
            self._request(chunk, path, kept)
            for path, indices in sorted(groups.items())
            if (kept := _kept(lined.lines, indices))
        ]
        return Prepared(requests, lined.rejections)

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
        return Outcome()

    def split(self, request: PutRequest, refusal: str) -> Outcome[PutRequest]:
        raise NotImplementedError("S3 never refuses an object for a record in it")

    def reconsider(self, chunk: Chunk, rejections: Sequence[Rejection]) -> Prepared[PutRequest]:
        return Prepared((), rejections)  # what is not JSON stays so

    def _request(self, chunk: Chunk, path: str, lines: Sequence[bytes]) -> PutRequest:
        # mtime=0: the same lines are the same bytes, whenever they are written
        body = igzip.compress(join_lines(lines), self._level, mtime=0)
        return PutRequest(f"{self._prefix}{path}{self._stem}-{chunk.name}.ndjson.gz", body, len(lines))

    def _times_ms(self, records: Sequence[Record], payloads: Sequence[bytes]) -> list[int]:
        arrivals = [record.arrival_ms for record in records]
        if self._record_times is None:
            return arrivals
        fields, _ = self._record_times.reader.read(payloads)
        parse = self._record_times.parse
        times = (parse(field.time) if field is not None else None for field in fields)
        return [
            epoch_ms(time) if time is not None else arrival
            for time, arrival in zip(times, arrivals, strict=True)
        ]


def _kept(lines: Sequence[bytes | None], indices: Sequence[int] | None) -> Sequence[bytes]:
    """The lines of one partition, without the rejected ones."""
    chosen = lines if indices is None else [lines[index] for index in indices]
    return [line for line in chosen if line is not None]
