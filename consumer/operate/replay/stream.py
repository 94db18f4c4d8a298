"""The shards of a stream, and the first record of each from a time or a place on: some small requests to Kinesis."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from consumer.daemon.prepare.aws import ask, code_of, kcl_service, stream_client
from consumer.daemon.prepare.aws_checks import stream_of
from consumer.daemon.prepare.preparation import NotReady, Unusable
from consumer.settings import Settings

_AT_ONCE = 8
_LOOKED_AT = 100
"""Records of an answer, by whose sizes those of the shard are estimated."""
_EMPTY_ANSWERS = 600
_PAUSE_SECONDS = 0.25
"""Between answers without a record: all that poll a shard share its five reads a second."""
_TRIES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamShard:
    """One shard that the stream still has. `parents` are those that it has been made of, if they are still there."""

    name: str
    parents: frozenset[str] = frozenset()
    hash_keys: tuple[str, str] = ("0", str(2**128 - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstRecord:
    """`record_bytes` is the mean size of the records there."""

    sequence_number: str
    arrived_ms: int
    record_bytes: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Retained:
    """What the stream keeps, in milliseconds since the epoch: what arrived before `since_ms` is gone, or was never
    there. `whole` says that the stream is younger than its retention, so nothing is gone."""

    since_ms: int
    hours: int
    whole: bool


class StreamShards:
    """Each method blocks, and raises Trouble."""

    def __init__(self, settings: Settings, *, sleep: Callable[[float], object] = time.sleep) -> None:
        self._service = kcl_service(settings, "Kinesis", "kinesisEndpoint")
        self._key, self._name, self._stream = stream_of(settings)
        self._by_arn = {"StreamARN": self._name} if self._key == "streamArn" else {}
        self._kinesis = stream_client(settings, self._service)
        self._sleep = sleep

    def retained(self, now: datetime) -> Retained:
        summary = self._ask("describe_stream_summary", **self._stream)["StreamDescriptionSummary"]
        hours = int(summary["RetentionPeriodHours"])
        since_ms = round(now.timestamp() * 1000) - hours * 3_600_000
        made_ms = round(summary["StreamCreationTimestamp"].timestamp() * 1000)
        return Retained(since_ms=max(since_ms, made_ms), hours=hours, whole=made_ms > since_ms)

    def shards(self) -> list[StreamShard]:
        """All of which a record may be left, the closed ones among them."""
        found: list[dict[str, Any]] = []
        request: dict[str, Any] = self._stream
        while True:
            answer = self._ask("list_shards", **request)
            found += answer["Shards"]
            if not answer.get("NextToken"):
                break
            request = {"NextToken": answer["NextToken"]}
        names = {shard["ShardId"] for shard in found}
        return [_shard(shard, names) for shard in found]

    def first_since(self, shards: Iterable[str], time_ms: int) -> dict[str, FirstRecord]:
        """By shard, the first record that arrived then or later; without those that have none."""
        moment = datetime.fromtimestamp(time_ms / 1000, UTC)
        position = {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": moment}
        return self._first(dict.fromkeys(shards, position))

    def first_from(self, places: dict[str, str]) -> dict[str, FirstRecord]:
        """By shard, the first record at a sequence number of it, or past it where that one is gone."""
        return self._first(
            {
                shard: {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": number}
                for shard, number in places.items()
            }
        )

    def _first(self, positions: dict[str, dict[str, Any]]) -> dict[str, FirstRecord]:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = pool.map(lambda item: self._first_of(*item), positions.items())
            return {shard: first for shard, first in zip(positions, found, strict=True) if first is not None}

    def _first_of(self, shard: str, position: dict[str, Any]) -> FirstRecord | None:
        answer = self._ask("get_shard_iterator", ShardId=shard, **self._stream, **position)
        iterator = answer.get("ShardIterator")
        for _ in range(_EMPTY_ANSWERS):
            if iterator is None:
                return None
            answer = self._ask("get_records", ShardIterator=iterator, Limit=_LOOKED_AT, **self._by_arn)
            records = answer["Records"]
            if records:
                return FirstRecord(
                    sequence_number=records[0]["SequenceNumber"],
                    arrived_ms=round(records[0]["ApproximateArrivalTimestamp"].timestamp() * 1000),
                    record_bytes=sum(len(record["Data"]) for record in records) / len(records),
                )
            if not answer.get("MillisBehindLatest"):
                return None
            iterator = answer.get("NextShardIterator")
            self._sleep(_PAUSE_SECONDS)
        raise NotReady(f"{shard}: Kinesis answers with no record, though there are more")

    def _ask(self, method: str, **request: Any) -> Any:
        """Throttled requests are repeated for some seconds."""
        for attempt in range(1, _TRIES + 1):
            try:
                return ask(lambda: getattr(self._kinesis, method)(**request), self._service)
            except NotReady:
                if attempt == _TRIES:
                    raise
                self._sleep(_PAUSE_SECONDS * min(attempt, 4))
            except ClientError as error:
                raise Unusable(
                    f'{self._key}: stream "{self._name}": {error.operation_name}: {code_of(error)}'
                    f" ({self._service.where()})"
                ) from error
        raise AssertionError("unreachable")


def _shard(shard: dict[str, Any], names: set[str]) -> StreamShard:
    keys = shard["HashKeyRange"]
    parents = {shard.get("ParentShardId"), shard.get("AdjacentParentShardId")}
    return StreamShard(
        name=shard["ShardId"],
        parents=frozenset(parent for parent in parents if parent in names),
        hash_keys=(keys["StartingHashKey"], keys["EndingHashKey"]),
    )
