"""What the stream holds: its shards, and where in them a time or a sequence number lies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from consumer.daemon.prepare.aws import ask, code_of, kcl_service, stream_client
from consumer.daemon.prepare.aws_checks import stream_of
from consumer.daemon.prepare.dynamodb import MISSING
from consumer.daemon.prepare.preparation import NotReady, Unreachable
from consumer.domain.errors import TransientError
from consumer.operate.checkpoint.places import START, Place
from consumer.operate.checkpoint.plan import Found, Shard
from consumer.operate.errors import Refused
from consumer.operate.patience import Patience
from consumer.settings import Settings

_NO_SUCH_PLACE = frozenset({"InvalidArgumentException", "ValidationException"})
_CLOSE_SECONDS = 1.0
"""What is read to find the last of some records."""


class Stream:
    """Raises Refused and Trouble. What Kinesis throttles is asked again: others read the shards as well."""

    def __init__(self, settings: Settings, patience: Patience) -> None:
        self._service = kcl_service(settings, "Kinesis", "kinesisEndpoint")
        self._key, self._name, self._stream = stream_of(settings)
        self._by_arn = {"StreamARN": self._name} if self._key == "streamArn" else {}
        self._patience = patience
        self._kinesis = stream_client(settings, self._service)

    def begins_at(self, now: datetime) -> datetime:
        """Records that arrived before are gone."""
        summary = self._ask("describe_stream_summary", **self._stream)["StreamDescriptionSummary"]
        return now - timedelta(hours=int(summary["RetentionPeriodHours"]))

    def shards(self) -> dict[str, Shard]:
        """By id; those that closed within the retention are among them."""
        found: dict[str, Shard] = {}
        request: dict[str, Any] = dict(self._stream)
        while True:
            page = self._ask("list_shards", **request)
            found |= {each["ShardId"]: _shard(each) for each in page["Shards"]}
            if not page.get("NextToken"):
                return found
            request = {"NextToken": page["NextToken"]}

    def place_of(self, shard: Shard, time: datetime, present: Place | None) -> Found | None:
        """Before the first record that arrived then or later, else behind the last one; None where a closed shard ends
        before. `present` is the checkpoint, which is kept where nothing lies behind it."""
        first = self._first(shard, {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": time})
        if first is not None:
            return _before(first)
        if not shard.is_open:
            return None
        if (
            present is not None
            and present.sequence.isdecimal()
            and self.after(shard, present).arrived_at is None
        ):
            return Found(present)
        last = self._last(shard, time)
        return Found(START if last is None else Place.past(last))

    def after(self, shard: Shard, place: Place) -> Found:
        """A place, with when the record behind it arrived."""
        position: dict[str, Any] = {"ShardIteratorType": place.sequence}
        if place.sequence.isdecimal():
            kind = "AT_SEQUENCE_NUMBER" if place.sub < 0 else "AFTER_SEQUENCE_NUMBER"
            position = {"ShardIteratorType": kind, "StartingSequenceNumber": place.sequence}
        first = self._first(shard, position)
        return Found(place) if first is None else Found(place, _arrived_at(first), first["SequenceNumber"])

    def first_since(self, shard: Shard, time: datetime) -> str | None:
        """The sequence number of the first record that arrived then or later."""
        first = self._first(shard, {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": time})
        return None if first is None else str(first["SequenceNumber"])

    def holds(self, shard: Shard, sequence: str) -> Found | None:
        """The place before this record; None where the stream has no such record, or not any more."""
        position = {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": sequence}
        first = self._first(shard, position)
        return _before(first) if first is not None and first["SequenceNumber"] == sequence else None

    def refuse_unheld(self, shard: Shard, sequence: str) -> None:
        """Raises Refused for what is no sequence number of a record of this shard."""
        if self.holds(shard, sequence) is not None:
            return
        oldest = self._first(shard, {"ShardIteratorType": "TRIM_HORIZON"})
        if oldest is not None and int(sequence) < int(oldest["SequenceNumber"]):
            raise Refused(
                f"{shard.id} holds no record {sequence}: its oldest one is {oldest['SequenceNumber']}, of"
                f" {oldest['ApproximateArrivalTimestamp'].astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}. --to TRIM_HORIZON goes"
                " there"
            )
        raise Refused(f"{shard.id} holds no record {sequence}: a sequence number of another shard or stream?")

    def _last(self, shard: Shard, time: datetime) -> str | None:
        """The sequence number of the last record of an open shard that has none from `time` on."""
        low = self._first(shard, {"ShardIteratorType": "TRIM_HORIZON"})
        if low is None:
            return None
        high = time.timestamp()
        while high - _arrived_at(low) > _CLOSE_SECONDS:
            middle = (high + _arrived_at(low)) / 2
            found = self._first(
                shard,
                {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": datetime.fromtimestamp(middle, UTC)},
            )
            if found is None:
                high = middle
            else:
                low = found
        last = str(low["SequenceNumber"])
        position = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": last}
        for record in self._records(shard, position):
            if _arrived_at(record) >= time.timestamp():
                break  # it has come meanwhile
            last = str(record["SequenceNumber"])
        return last

    def _first(self, shard: Shard, position: Mapping[str, Any]) -> Mapping[str, Any] | None:
        return next(self._records(shard, position, Limit=1), None)

    def _records(self, shard: Shard, position: Mapping[str, Any], **limit: int) -> Any:
        """Up to the tip of the shard, or its end."""
        try:
            answer = self._ask("get_shard_iterator", ShardId=shard.id, **self._stream, **position)
        except ClientError as error:
            if code_of(error) in _NO_SUCH_PLACE:
                return
            raise
        iterator = answer.get("ShardIterator")
        while iterator is not None:
            page = self._ask("get_records", ShardIterator=iterator, **limit, **self._by_arn)
            yield from page["Records"]
            if not page["MillisBehindLatest"] and not page["Records"] and shard.is_open:
                return
            iterator = page.get("NextShardIterator")

    def _ask(self, operation: str, **request: Any) -> Any:
        call: Callable[..., Any] = getattr(self._kinesis, operation)
        try:
            return patiently(self._patience, lambda: ask(lambda: call(**request), self._service))
        except ClientError as error:
            if code_of(error) == MISSING:
                raise Refused(
                    f'{self._key}: stream "{self._name}" does not exist ({self._service.where()})'
                ) from error
            if code_of(error) in _NO_SUCH_PLACE:
                raise
            raise Refused(f"{self._key}: {error}") from error


def patiently[T](patience: Patience, call: Callable[[], T]) -> T:
    """Asks again where waiting may cure it; not where nothing answers at all. Raises Trouble."""

    def once() -> T:
        try:
            return call()
        except NotReady as trouble:
            if isinstance(trouble, Unreachable):
                raise
            raise TransientError(str(trouble)) from trouble

    return patience.keep(once)


def _shard(each: Mapping[str, Any]) -> Shard:
    parents = (each.get("ParentShardId"), each.get("AdjacentParentShardId"))
    keys = each["HashKeyRange"]
    return Shard(
        id=each["ShardId"],
        parents=frozenset(filter(None, parents)),
        is_open="EndingSequenceNumber" not in each["SequenceNumberRange"],
        hash_keys=(keys["StartingHashKey"], keys["EndingHashKey"]),
    )


def _before(record: Mapping[str, Any]) -> Found:
    sequence = str(record["SequenceNumber"])
    return Found(Place.before(sequence), _arrived_at(record), sequence)


def _arrived_at(record: Mapping[str, Any]) -> float:
    return float(record["ApproximateArrivalTimestamp"].timestamp())
