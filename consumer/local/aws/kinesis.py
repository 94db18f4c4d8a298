"""moto's Kinesis, corrected where a consumer would notice.

What differs from moto, each with a test by its name: reads find their place by bisection and end at
10,000 records or 10 MiB; sequence numbers are sparse, of full length and rise over the whole stream;
a split or merge leaves the parents' records where they are; puts go to open shards, bounds included; a
closed shard ends with its children named; ListShards honours its filter; records may have 10 MiB.
`install()` puts the corrections in place. Nothing here locks: the server lets one request in at a time.
"""

import base64
import time
from types import SimpleNamespace
from typing import Any

import msgspec
from moto.core.exceptions import JsonRESTError
from moto.kinesis import models, urls
from moto.kinesis.exceptions import InvalidArgumentError, ResourceNotFoundError, ShardNotFoundError
from moto.kinesis.responses import KinesisResponse

from consumer.local.aws.reads import Reads, reader_of
from consumer.local.aws.stream import Entry, Shard, Stream, epoch_seconds

#: PutRecords: 500 records, 10 MiB a record and 10 MiB a request, partition keys included.
#: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html
MAX_PUT_RECORDS = 500
MAX_PUT_BYTES = 10 * 1024 * 1024


class PutRecords(msgspec.Struct, rename="pascal"):
    """A PutRecords request, straight from its JSON body."""

    records: list[Entry]
    stream_name: str | None = None
    stream_arn: str | None = msgspec.field(name="StreamARN", default=None)


class PutRecord(Entry, rename="pascal"):
    """A PutRecord request, straight from its JSON body."""

    stream_name: str | None = None
    stream_arn: str | None = msgspec.field(name="StreamARN", default=None)


def _iterator(stream: Stream, shard: Shard, position: int) -> str:
    return base64.urlsafe_b64encode(f"{stream.stream_name}:{shard.shard_id}:{position}".encode()).decode()


def shard_of(iterator: str) -> tuple[str, str]:
    """Stream and shard of an iterator. Raises ValueError for what is none."""
    name, shard_id, _ = base64.urlsafe_b64decode(iterator).decode().split(":")
    return name, shard_id


def _refuse_oversized(entries: list[Entry]) -> None:
    if len(entries) > MAX_PUT_RECORDS:
        raise _invalid("Value at 'records' failed to satisfy constraint: at most 500 members")
    sizes = [len(entry.data) + len(entry.partition_key.encode()) for entry in entries]
    for position, size in enumerate(sizes, start=1):
        if size > MAX_PUT_BYTES:
            raise _invalid(f"Value at 'records.{position}.member.data' is longer than {MAX_PUT_BYTES} bytes")
    if sum(sizes) > MAX_PUT_BYTES:
        raise InvalidArgumentError(f"Records size exceeds {MAX_PUT_BYTES} bytes")


def _invalid(message: str) -> JsonRESTError:
    return JsonRESTError("ValidationException", f"1 validation error detected: {message}")


class Backend(models.KinesisBackend):
    """The calls whose answers differ from moto's."""

    streams: dict[str, Stream]  # type: ignore[assignment]

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.reads = Reads()

    @property
    def _url_module(self) -> Any:
        return SimpleNamespace(url_bases=urls.url_bases, url_paths={"{0}/$": Response.dispatch})

    def stream_of(self, name: str | None, arn: str | None) -> Stream:
        stream = self.describe_stream(stream_arn=arn, stream_name=name)
        assert isinstance(stream, Stream)
        return stream

    def get_shard_iterator(
        self,
        stream_arn: str | None,
        stream_name: str | None,
        shard_id: str,
        shard_iterator_type: str,
        starting_sequence_number: Any,
        at_timestamp: Any,
    ) -> str:
        stream = self.stream_of(stream_name, stream_arn)
        if shard_id not in stream.shards:
            raise ResourceNotFoundError(f"Shard {shard_id} in stream {stream.stream_name} does not exist")
        shard = stream.shards[shard_id]
        match shard_iterator_type:
            case "TRIM_HORIZON":
                position = 0
            case "LATEST":
                position = stream.sequences.last
            case "AT_SEQUENCE_NUMBER":
                position = int(starting_sequence_number) - 1
            case "AFTER_SEQUENCE_NUMBER":
                position = int(starting_sequence_number)
            case "AT_TIMESTAMP":
                position = shard.log.position_at(epoch_seconds(at_timestamp))
            case _:
                raise InvalidArgumentError(f"Invalid ShardIteratorType: {shard_iterator_type}")
        return _iterator(stream, shard, position)

    def read(self, stream_arn: str | None, iterator: str, limit: int | None, reader: str) -> dict[str, Any]:
        """The body of a GetRecords answer; a closed shard read to its end names its children."""
        try:
            name, shard_id, position = base64.urlsafe_b64decode(iterator).decode().split(":")
        except ValueError:
            raise InvalidArgumentError("Invalid ShardIterator.") from None
        stream = self.stream_of(name, stream_arn)
        if shard_id not in stream.shards:
            raise ShardNotFoundError(shard_id, stream=name, account_id=self.account_id)
        shard = stream.shards[shard_id]
        found = shard.log.read(int(position), limit=limit, now=time.time())
        body = {"Records": found.records, "MillisBehindLatest": found.millis_behind_latest}
        ended = found.at_end and not shard.is_open
        self.reads.note(reader, name, shard_id, at_end=ended)
        if ended:
            return body | {"ChildShards": [child.as_child() for child in stream.children_of(shard)]}
        return body | {"NextShardIterator": _iterator(stream, shard, found.position)}


class Response(KinesisResponse):
    """The same calls at the HTTP edge, with the large bodies read and written by msgspec."""

    @property
    def backend(self) -> Backend:
        backend = self.kinesis_backend
        assert isinstance(backend, Backend)
        return backend

    def parse_parameters(self, request: Any) -> None:
        if self._get_action() not in ("PutRecord", "PutRecords"):
            super().parse_parameters(request)

    def put_record(self) -> Any:
        request = _decoded(self.raw_body, PutRecord)
        _refuse_oversized([request])
        sequence, shard_id = self.backend.stream_of(request.stream_name, request.stream_arn).put(request)
        return _answer({"SequenceNumber": sequence, "ShardId": shard_id})

    def put_records(self) -> Any:
        request = _decoded(self.raw_body, PutRecords)
        _refuse_oversized(request.records)
        stream = self.backend.stream_of(request.stream_name, request.stream_arn)
        stored = [stream.put(entry) for entry in request.records]
        results = [{"SequenceNumber": sequence, "ShardId": shard_id} for sequence, shard_id in stored]
        return _answer({"FailedRecordCount": 0, "Records": results})

    def get_records(self) -> Any:
        arn, iterator = self._get_param("StreamARN"), self._get_param("ShardIterator")
        reader = reader_of(self.headers.get("Authorization"))
        return _answer(self.backend.read(arn, iterator, self._get_param("Limit"), reader))

    def list_shards(self) -> Any:
        """One page up to MaxResults; the token names the stream and the last shard listed."""
        name, arn = self._get_param("StreamName"), self._get_param("StreamARN")
        shard_filter, after = self._get_param("ShardFilter") or {}, self._get_param("ExclusiveStartShardId")
        if token := self._get_param("NextToken"):
            page = msgspec.json.decode(base64.urlsafe_b64decode(token))
            name, shard_filter, after = page["stream"], page["filter"], page["after"]
        stream = self.backend.stream_of(name, arn)
        shards = [shard for shard in stream.matching(shard_filter) if not after or shard.shard_id > after]
        limit = self._get_param("MaxResults") or 1000
        body: dict[str, Any] = {"Shards": [shard.to_json() for shard in shards[:limit]]}
        if len(shards) > limit:
            page = {"stream": stream.stream_name, "filter": shard_filter, "after": shards[limit - 1].shard_id}
            body["NextToken"] = base64.urlsafe_b64encode(
                msgspec.json.encode(page, enc_hook=epoch_seconds)
            ).decode()
        return _answer(body)


def _decoded[T](body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise JsonRESTError("SerializationException", str(error)) from error


def _answer(body: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    return msgspec.json.encode(body), {"Content-Type": "application/x-amz-json-1.1"}


def install() -> None:
    """Make moto create, serve and answer with the classes above; before its Kinesis is first used."""
    models.Shard = Shard  # type: ignore[misc]
    models.Stream = Stream  # type: ignore[misc]
    models.kinesis_backends.backend = Backend
