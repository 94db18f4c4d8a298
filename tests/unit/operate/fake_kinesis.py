"""A stream of Kinesis that lives in memory: resharded, trimmed, in small answers of which some are empty."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

BEGIN_MS = 1_769_860_800_000
"""2026-01-31T12:00Z."""


@dataclass(frozen=True)
class Held:
    sequence: int
    arrived_ms: int
    data: bytes = b"x"


@dataclass
class FakeKinesis:
    """Records of each shard in order, by shard. An iterator is the shard and an index into them. With `seed` some
    answers hold no record though there are more, and none holds more than `page` of them."""

    records: dict[str, list[Held]]
    parents: dict[str, tuple[str, ...]] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    made_ms: int = BEGIN_MS - 30 * 86_400_000
    hours: int = 24
    page: int = 3
    shards_a_page: int = 2
    seed: int | None = None
    faults: list[Exception] = field(default_factory=list)
    """Raised by the next requests."""
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)

    def describe_stream_summary(self, **stream: str) -> dict[str, Any]:
        self._begin("describe_stream_summary")
        made = datetime.fromtimestamp(self.made_ms / 1000, UTC)
        return {
            "StreamDescriptionSummary": {
                "RetentionPeriodHours": self.hours,
                "StreamCreationTimestamp": made,
            }
        }

    def list_shards(self, *, NextToken: str = "0", **stream: str) -> dict[str, Any]:  # noqa: N803
        self._begin("list_shards")
        assert bool(stream) == (NextToken == "0")  # as Kinesis asks for it
        first = int(NextToken)
        behind = first + self.shards_a_page
        page = [self._shard(name) for name in list(self.records)[first:behind]]
        return {"Shards": page} | ({"NextToken": str(behind)} if behind < len(self.records) else {})

    def get_shard_iterator(
        self,
        *,
        ShardId: str,  # noqa: N803
        ShardIteratorType: str,  # noqa: N803
        Timestamp: datetime | None = None,  # noqa: N803
        StartingSequenceNumber: str | None = None,  # noqa: N803
        **stream: str,
    ) -> dict[str, str]:
        self._begin("get_shard_iterator")
        held = self.records[ShardId]
        if ShardIteratorType == "AT_TIMESTAMP":
            assert Timestamp is not None
            wanted_ms = round(Timestamp.timestamp() * 1000)
            index = next((i for i, one in enumerate(held) if one.arrived_ms >= wanted_ms), len(held))
        elif StartingSequenceNumber is not None:
            number = int(StartingSequenceNumber) + (ShardIteratorType == "AFTER_SEQUENCE_NUMBER")
            if number > 10**60:
                raise refusal("InvalidArgumentException", "GetShardIterator")
            index = next((i for i, one in enumerate(held) if one.sequence >= number), len(held))
        else:
            index = 0 if ShardIteratorType == "TRIM_HORIZON" else len(held)
        return {"ShardIterator": f"{ShardId}/{index}"}

    def get_records(self, *, ShardIterator: str, Limit: int = 10_000, **stream: str) -> dict[str, Any]:  # noqa: N803
        self._begin("get_records")
        shard, _, index = ShardIterator.partition("/")
        held, first = self.records[shard], int(index)
        count = 0 if self.seed is not None and self._rng.random() < 0.4 else min(Limit, self.page)
        found = held[first : first + count]
        behind = first + len(found)
        ended = shard in self.closed and behind == len(held)
        return {
            "Records": [_record(one) for one in found],
            "MillisBehindLatest": (len(held) - behind) * 1000,
        } | ({} if ended else {"NextShardIterator": f"{shard}/{behind}"})

    def _shard(self, name: str) -> dict[str, Any]:
        keys = ("ParentShardId", "AdjacentParentShardId")
        ending = {"EndingSequenceNumber": "9"} if name in self.closed else {}
        return {
            "ShardId": name,
            "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "7"},
            "SequenceNumberRange": {"StartingSequenceNumber": "1", **ending},
        } | dict(zip(keys, self.parents.get(name, ()), strict=False))

    def _begin(self, operation: str) -> None:
        self.requests.append(operation)
        if self.faults:
            raise self.faults.pop(0)


def refusal(code: str, operation: str = "GetRecords", status: int = 400) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": "as told"}, "ResponseMetadata": {"HTTPStatusCode": status}},
        operation,
    )


def _record(one: Held) -> dict[str, Any]:
    return {
        "SequenceNumber": str(one.sequence),
        "ApproximateArrivalTimestamp": datetime.fromtimestamp(one.arrived_ms / 1000, UTC),
        "Data": one.data,
    }
