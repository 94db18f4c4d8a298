"""Records packed as the Kinesis Producer Library packs them.

An aggregate is the magic, a protobuf AggregatedRecord and the MD5 of the latter. All user records of an
aggregate belong to one shard: the KCL drops an aggregate that holds a record whose hash key lies outside
the shard it is read from. https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md
"""

import hashlib
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from consumer.local.records import Outgoing

MAGIC = b"\xf3\x89\x9a\xc2"
MAX_AGGREGATE_BYTES = 50 * 1024
_DIGEST_BYTES = 16

_FIELD = descriptor_pb2.FieldDescriptorProto


def _field(name: str, number: int, kind: int, *, repeated: bool = False, of: str | None = None) -> Any:
    label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
    return _FIELD(name=name, number=number, type=kind, label=label, type_name=of)


def _aggregated_record() -> Any:
    record = descriptor_pb2.DescriptorProto(
        name="Record",
        field=[
            _field("partition_key_index", 1, _FIELD.TYPE_UINT64),
            _field("explicit_hash_key_index", 2, _FIELD.TYPE_UINT64),
            _field("data", 3, _FIELD.TYPE_BYTES),
        ],
    )
    aggregated = descriptor_pb2.DescriptorProto(
        name="AggregatedRecord",
        field=[
            _field("partition_key_table", 1, _FIELD.TYPE_STRING, repeated=True),
            _field("explicit_hash_key_table", 2, _FIELD.TYPE_STRING, repeated=True),
            _field("records", 3, _FIELD.TYPE_MESSAGE, repeated=True, of=".kpl.Record"),
        ],
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(
        descriptor_pb2.FileDescriptorProto(
            name="kpl.proto", package="kpl", syntax="proto2", message_type=[record, aggregated]
        )
    )
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("kpl.AggregatedRecord"))


_AggregatedRecord = _aggregated_record()


def encode(records: tuple[Outgoing, ...]) -> bytes:
    """The bytes of an aggregate of these user records, in their order."""
    message = _AggregatedRecord()
    keys = {key: index for index, key in enumerate(dict.fromkeys(one.partition_key for one in records))}
    hash_keys: dict[str, int] = {}
    message.partition_key_table.extend(keys)
    for one in records:
        fields = {"partition_key_index": keys[one.partition_key], "data": one.data}
        if one.explicit_hash_key is not None:
            fields["explicit_hash_key_index"] = hash_keys.setdefault(one.explicit_hash_key, len(hash_keys))
        message.records.add(**fields)
    message.explicit_hash_key_table.extend(hash_keys)
    body: bytes = message.SerializeToString()
    return MAGIC + body + hashlib.md5(body, usedforsecurity=False).digest()


def user_records(data: bytes) -> list[bytes]:
    """Of an aggregate, or the record itself where it is none."""
    body, digest = data[len(MAGIC) : -_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if not data.startswith(MAGIC) or hashlib.md5(body, usedforsecurity=False).digest() != digest:
        return [data]
    return [one.data for one in _AggregatedRecord.FromString(body).records]


def aggregate(records: tuple[Outgoing, ...]) -> Outgoing:
    """One record that holds these and lands where the first of them belongs."""
    first = records[0]
    return Outgoing(
        data=encode(records),
        partition_key=first.partition_key,
        explicit_hash_key=str(first.hash_key()),
        holds=records,
    )


@dataclass(slots=True)
class _Pending:
    records: list[Outgoing] = field(default_factory=list)
    size: int = 0

    def add(self, record: Outgoing) -> None:
        self.records.append(record)
        self.size += record.size

    def take(self) -> Outgoing:
        taken = aggregate(tuple(self.records))
        self.records, self.size = [], 0
        return taken


class Aggregator:
    """Groups records by the shard they belong to, and packs each group up to 50 KiB."""

    def __init__(self, client: Any, stream: str, *, max_bytes: int = MAX_AGGREGATE_BYTES) -> None:
        self._client = client
        self._stream = stream
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._ranges: dict[str, tuple[int, int]] = {}
        self._refresh()

    def pack(self, records: Iterable[Outgoing]) -> Iterator[Outgoing]:
        """Aggregates of the records; blocks for ListShards only where the stream was resharded."""
        pending: dict[str, _Pending] = {}
        for record in records:
            group = pending.setdefault(self._shard_of(record), _Pending())
            if group.records and group.size + record.size > self._max_bytes:
                yield group.take()
            group.add(record)
        yield from (group.take() for group in pending.values() if group.records)

    def misplaced(self, stored: Outgoing, shard: str) -> list[Outgoing]:
        """What to send again of an aggregate that one shard took: all of it, if the KCL would drop it."""
        low, high = self._range_of(shard)
        if all(low <= record.hash_key() <= high for record in stored.holds):
            return []
        self._refresh()
        return list(self.pack(stored.holds))

    def _shard_of(self, record: Outgoing) -> str:
        point = record.hash_key()
        with self._lock:
            return next(shard for shard, (low, high) in self._ranges.items() if low <= point <= high)

    def _range_of(self, shard: str) -> tuple[int, int]:
        with self._lock:
            known = self._ranges.get(shard)
        if known is None:
            self._refresh()
        with self._lock:
            return known or self._ranges.get(shard, (0, -1))

    def _refresh(self) -> None:
        """Learn the ranges of the open shards."""
        pages = self._client.get_paginator("list_shards").paginate(StreamName=self._stream)
        ranges = {
            shard["ShardId"]: (
                int(shard["HashKeyRange"]["StartingHashKey"]),
                int(shard["HashKeyRange"]["EndingHashKey"]),
            )
            for page in pages
            for shard in page["Shards"]
            if "EndingSequenceNumber" not in shard["SequenceNumberRange"]
        }
        with self._lock:
            self._ranges = ranges
