"""A Kinesis stream that keeps its records where they were put, through splits and merges."""

import base64
import hashlib
import random
import re
import time
from typing import Any

import msgspec
from moto.kinesis import models
from moto.kinesis.exceptions import InvalidArgumentError

from consumer.local.aws.log import ShardLog

MAX_HASH_KEY = 2**128 - 1

_FIRST_SEQUENCE = 49_590_338_271_490_256_608_559_692_538_361_571_095_921_575_989_136_588_898


class Entry(msgspec.Struct, rename="pascal"):
    """One record as a put request holds it."""

    data: bytes
    partition_key: str
    explicit_hash_key: str | None = None


class SequenceNumbers:
    """Rising, sparse sequence numbers, one row for all shards of a stream."""

    def __init__(self) -> None:
        self._gaps = random.Random(0)
        self.last = _FIRST_SEQUENCE

    def next(self) -> int:
        self.last += 1 + self._gaps.randrange(1 << 40)
        return self.last


class Shard(models.Shard):
    """A shard that keeps its records for good and knows when it was opened and closed."""

    sequences: SequenceNumbers

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.log = ShardLog()
        self.opened_at = time.time()
        self.closed_at: float | None = None
        self.starting_sequence = self.ending_sequence = 0

    def open_with(self, sequences: SequenceNumbers) -> None:
        self.sequences = sequences
        self.starting_sequence = sequences.next()

    def close(self) -> None:
        self.is_open = False
        self.ending_sequence = self.sequences.next()
        self.closed_at = time.time()

    def covers(self, hash_key: int) -> bool:
        return bool(self.starting_hash <= hash_key <= self.ending_hash)

    def parents(self) -> list[str]:
        return [parent for parent in (self.parent, self.adjacent_parent) if parent]

    def put(self, entry: Entry) -> str:
        sequence = self.sequences.next()
        self.log.append(sequence, data=entry.data, partition_key=entry.partition_key, arrived_at=time.time())
        return str(sequence)

    def hash_range(self) -> dict[str, str]:
        return {"StartingHashKey": str(self.starting_hash), "EndingHashKey": str(self.ending_hash)}

    def to_json(self) -> dict[str, Any]:
        numbers = {"StartingSequenceNumber": str(self.starting_sequence)}
        if not self.is_open:
            numbers["EndingSequenceNumber"] = str(self.ending_sequence)
        body = {"ShardId": self.shard_id, "HashKeyRange": self.hash_range(), "SequenceNumberRange": numbers}
        if self.parent:
            body["ParentShardId"] = self.parent
        if self.adjacent_parent:
            body["AdjacentParentShardId"] = self.adjacent_parent
        return body

    def as_child(self) -> dict[str, Any]:
        return {"ShardId": self.shard_id, "ParentShards": self.parents(), "HashKeyRange": self.hash_range()}


class Stream(models.Stream):
    """A stream whose resharding opens children and leaves the parents to be read to their end."""

    shards: dict[str, Shard]  # type: ignore[assignment]

    def init_shards(self, shard_count: int) -> None:
        self.sequences = SequenceNumbers()
        super().init_shards(shard_count)
        for shard in self.shards.values():
            shard.open_with(self.sequences)

    def open_shards(self) -> list[Shard]:
        return [shard for shard in self.shards.values() if shard.is_open]

    def children_of(self, shard: Shard) -> list[Shard]:
        return [child for child in self.shards.values() if shard.shard_id in child.parents()]

    def shard_for(self, entry: Entry) -> Shard:
        """The open shard whose range holds the record's hash key."""
        if not 1 <= len(entry.partition_key) <= 256:
            raise InvalidArgumentError("PartitionKey must have 1 to 256 characters.")
        hash_key = _hash_key(entry)
        return next(shard for shard in self.open_shards() if shard.covers(hash_key))

    def put(self, entry: Entry) -> tuple[str, str]:
        """Store a record; returns its sequence number and shard id."""
        shard = self.shard_for(entry)
        return shard.put(entry), shard.shard_id

    def put_record(self, partition_key: str, explicit_hash_key: str, data: str) -> tuple[str, str]:
        return self.put(Entry(base64.b64decode(data), partition_key, explicit_hash_key or None))

    def split_shard(self, shard_to_split: str, new_starting_hash_key: str) -> None:
        shard, middle = self._open_shard(shard_to_split), int(new_starting_hash_key)
        if not shard.starting_hash < middle <= shard.ending_hash:
            raise InvalidArgumentError(f"NewStartingHashKey {middle} does not split {shard.shard_id}.")
        shard.close()
        self._add_child(shard.starting_hash, middle - 1, shard.shard_id)
        self._add_child(middle, shard.ending_hash, shard.shard_id)

    def merge_shards(self, shard_to_merge: str, adjacent_shard_to_merge: str) -> None:
        shard, adjacent = self._open_shard(shard_to_merge), self._open_shard(adjacent_shard_to_merge)
        low, high = sorted((shard, adjacent), key=lambda each: int(each.starting_hash))
        if low.ending_hash + 1 != high.starting_hash:
            raise InvalidArgumentError(f"{shard.shard_id} and {adjacent.shard_id} are not adjacent.")
        shard.close()
        adjacent.close()
        self._add_child(low.starting_hash, high.ending_hash, shard.shard_id, adjacent.shard_id)

    def _open_shard(self, shard_id: str) -> Shard:
        shard = self.shards[shard_id]
        if not shard.is_open:
            raise InvalidArgumentError(f"Shard {shard_id} has already been merged or split.")
        return shard

    def _add_child(self, low: int, high: int, parent: str, adjacent_parent: str | None = None) -> None:
        child = Shard(len(self.shards), low, high, parent=parent, adjacent_parent=adjacent_parent)
        child.open_with(self.sequences)
        self.shards[child.shard_id] = child
        self.shard_count = len(self.open_shards())

    def matching(self, shard_filter: dict[str, Any]) -> list[Shard]:
        """The shards a ListShards filter asks for. Nothing is ever trimmed here."""
        kind, shards = shard_filter.get("Type"), sorted(self.shards.values(), key=lambda each: each.shard_id)
        if kind == "AT_TRIM_HORIZON":
            return [shard for shard in shards if not shard.parents()]
        if kind == "AT_LATEST":
            return [shard for shard in shards if shard.is_open]
        if kind == "AFTER_SHARD_ID":
            return [shard for shard in shards if shard.shard_id > shard_filter["ShardId"]]
        if kind in ("AT_TIMESTAMP", "FROM_TIMESTAMP"):
            moment = epoch_seconds(shard_filter["Timestamp"])
            alive = [shard for shard in shards if shard.closed_at is None or shard.closed_at > moment]
            return [shard for shard in alive if kind == "FROM_TIMESTAMP" or shard.opened_at <= moment]
        return shards


def _hash_key(entry: Entry) -> int:
    if entry.explicit_hash_key is None:
        return int.from_bytes(hashlib.md5(entry.partition_key.encode(), usedforsecurity=False).digest())
    if not re.fullmatch(r"0|[1-9]\d{0,38}", entry.explicit_hash_key):
        raise InvalidArgumentError(f"ExplicitHashKey {entry.explicit_hash_key} is not a number.")
    if (hash_key := int(entry.explicit_hash_key)) > MAX_HASH_KEY:
        raise InvalidArgumentError(f"ExplicitHashKey {hash_key} is above 2^128 - 1.")
    return hash_key


def epoch_seconds(timestamp: Any) -> float:
    """A point in time as requests give it, a number or a datetime, in epoch seconds."""
    return float(timestamp.timestamp() if hasattr(timestamp, "timestamp") else timestamp)
