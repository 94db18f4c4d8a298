"""What a stream holds: its shards, how far back they go, and records from a place on, by small requests to Kinesis."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from consumer.daemon.prepare.aws import ask, code_of, kcl_service, stream_client
from consumer.daemon.prepare.aws_checks import stream_of
from consumer.daemon.prepare.dynamodb import MISSING
from consumer.daemon.prepare.preparation import NotReady
from consumer.operate.errors import Refused
from consumer.operate.patience import Patience, patiently
from consumer.settings import Settings

_NO_SUCH_PLACE = frozenset({"InvalidArgumentException", "ValidationException"})
"""What a sequence number is refused with that is none of the shard's."""
_AT_ONCE = 8
_SAMPLE = 100
"""Records of an answer, by whose sizes those of the shard are estimated."""
_EMPTY_ANSWERS = 600
_PAUSE_SECONDS = 0.25
"""Between answers without a record: all that poll a shard share its five reads a second."""

HORIZON: Mapping[str, Any] = {"ShardIteratorType": "TRIM_HORIZON"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """As ListShards tells it. `parents` may be gone from the stream."""

    id: str
    parents: frozenset[str] = frozenset()
    is_open: bool = True
    hash_keys: tuple[str, str] = ("0", str(2**128 - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """A record of Kinesis. `data_bytes` is its size, or the mean of those that came in the same answer."""

    sequence_number: str
    arrived_ms: int
    data_bytes: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Retained:
    """What the stream keeps, in milliseconds since the epoch: what arrived before `since_ms` is gone, or was never
    there. `whole` says that the stream is younger than its retention, so nothing is gone."""

    since_ms: int
    hours: int
    whole: bool


def at_time(time_ms: int) -> dict[str, Any]:
    """The position of the first record that arrived then or later."""
    return {
        "ShardIteratorType": "AT_TIMESTAMP",
        "Timestamp": datetime.fromtimestamp(time_ms / 1000, UTC),
    }


def at_record(sequence_number: str) -> dict[str, Any]:
    """The position of this record, or of the first one past it where it is gone."""
    return {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": sequence_number}


def behind_record(sequence_number: str) -> dict[str, Any]:
    return {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": sequence_number}


class Stream:
    """Each method blocks, and raises Refused, Trouble or TransientError. What Kinesis throttles is asked again: others
    read the shards as well."""

    def __init__(
        self, settings: Settings, patience: Patience, *, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self._service = kcl_service(settings, "Kinesis", "kinesisEndpoint")
        self._key, self._name, self._stream = stream_of(settings)
        self._by_arn = {"StreamARN": self._name} if self._key == "streamArn" else {}
        self._patience = patience
        self._sleep = sleep
        self._kinesis = stream_client(settings, self._service)

    def retained(self, now: datetime) -> Retained:
        summary = self._ask("describe_stream_summary", **self._stream)["StreamDescriptionSummary"]
        hours = int(summary["RetentionPeriodHours"])
        since_ms = round(now.timestamp() * 1000) - hours * 3_600_000
        made_ms = _ms(summary["StreamCreationTimestamp"])
        return Retained(since_ms=max(since_ms, made_ms), hours=hours, whole=made_ms > since_ms)

    def shards(self) -> dict[str, Shard]:
        """By id, all of which a record may be left, the closed ones among them."""
        found: dict[str, Shard] = {}
        request: dict[str, Any] = dict(self._stream)
        while True:
            page = self._ask("list_shards", **request)
            found |= {each["ShardId"]: _shard(each) for each in page["Shards"]}
            if not page.get("NextToken"):
                return found
            request = {"NextToken": page["NextToken"]}

    def first(self, shard: str, position: Mapping[str, Any], *, sample: int = 1) -> Arrived | None:
        """The first record at the position or past it, with the mean size of as many as `sample`; None where there is
        none yet, or the shard has ended, or the position is in no record of it."""
        for page in self._pages(shard, position, Limit=sample):
            sizes = [len(record["Data"]) for record in page]
            return _arrived(page[0], sum(sizes) / len(sizes))
        return None

    def records(self, shard: str, position: Mapping[str, Any]) -> Iterator[Arrived]:
        """Up to the tip of the shard, or its end."""
        for page in self._pages(shard, position):
            yield from (_arrived(record, len(record["Data"])) for record in page)

    def first_since(self, shards: Iterable[str], time_ms: int) -> dict[str, Arrived]:
        """By shard, the first record that arrived then or later; without those that have none."""
        return self._firsts(dict.fromkeys(shards, at_time(time_ms)))

    def first_from(self, places: Mapping[str, str]) -> dict[str, Arrived]:
        """By shard, the first record at a sequence number of it, or past it where that one is gone."""
        return self._firsts({shard: at_record(number) for shard, number in places.items()})

    def _firsts(self, positions: Mapping[str, Mapping[str, Any]]) -> dict[str, Arrived]:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = pool.map(lambda item: self.first(*item, sample=_SAMPLE), positions.items())
            return {shard: first for shard, first in zip(positions, found, strict=True) if first is not None}

    def _pages(
        self, shard: str, position: Mapping[str, Any], **limit: int
    ) -> Iterator[Sequence[Mapping[str, Any]]]:
        """Answers that hold records."""
        try:
            answer = self._ask("get_shard_iterator", ShardId=shard, **self._stream, **position)
        except ClientError as error:
            if code_of(error) in _NO_SUCH_PLACE:
                return
            raise
        iterator, empty = answer.get("ShardIterator"), 0
        while iterator is not None:
            page = self._ask("get_records", ShardIterator=iterator, **limit, **self._by_arn)
            if page["Records"]:
                empty = 0
                yield page["Records"]
            elif not page.get("MillisBehindLatest"):
                return
            elif empty == _EMPTY_ANSWERS:
                raise NotReady(f"{shard}: Kinesis answers with no record, though there are more")
            else:
                empty += 1
                self._sleep(_PAUSE_SECONDS)
            iterator = page.get("NextShardIterator")

    def _ask(self, operation: str, **request: Any) -> Any:
        call: Callable[..., Any] = getattr(self._kinesis, operation)
        try:
            return patiently(self._patience, lambda: ask(lambda: call(**request), self._service))
        except ClientError as error:
            if code_of(error) in _NO_SUCH_PLACE:
                raise
            where = self._service.where()
            if code_of(error) == MISSING:
                raise Refused(f'{self._key}: stream "{self._name}" does not exist ({where})') from error
            raise Refused(
                f'{self._key}: stream "{self._name}": {error.operation_name}: {code_of(error)} ({where})'
            ) from error


def _shard(each: Mapping[str, Any]) -> Shard:
    parents = (each.get("ParentShardId"), each.get("AdjacentParentShardId"))
    keys = each["HashKeyRange"]
    return Shard(
        id=each["ShardId"],
        parents=frozenset(filter(None, parents)),
        is_open="EndingSequenceNumber" not in each["SequenceNumberRange"],
        hash_keys=(keys["StartingHashKey"], keys["EndingHashKey"]),
    )


def _arrived(record: Mapping[str, Any], data_bytes: float) -> Arrived:
    return Arrived(
        sequence_number=str(record["SequenceNumber"]),
        arrived_ms=_ms(record["ApproximateArrivalTimestamp"]),
        data_bytes=data_bytes,
    )


def _ms(time: datetime) -> int:
    return round(time.timestamp() * 1000)
