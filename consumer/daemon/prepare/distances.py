"""How far the checkpoints of a lease table are from the tip of the stream: two small requests to Kinesis a shard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from consumer.daemon.prepare.aws import ask, code_of, kcl_service, stream_client
from consumer.daemon.prepare.aws_checks import stream_of
from consumer.daemon.prepare.preparation import Trouble
from consumer.daemon.report.leases import Lease
from consumer.settings import Settings

_AT_ONCE = 8
_EMPTY_ANSWERS = 4
"""GetRecords may answer with nothing though there is more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distance:
    """`next_arrived_at` is when the first record past the checkpoint arrived on the stream, in seconds since the epoch;
    None where there is none, or where `fault` says why it is not known."""

    next_arrived_at: float | None = None
    behind_latest_seconds: float | None = None
    fault: str | None = None


type ReadDistances = Callable[[Sequence[Lease]], dict[str, Distance]]
"""By shard, of those that are not read to their end; blocks. Raises Trouble."""


def distance_reader(settings: Settings) -> ReadDistances:
    """The client is made at the first call: in this thread, since botocore's makers are not for several at once."""
    service = kcl_service(settings, "Kinesis", "kinesisEndpoint")
    key, name, stream = stream_of(settings)
    by_arn = {"StreamARN": name} if key == "streamArn" else {}
    made: list[Any] = []

    def one(lease: Lease) -> Distance:
        try:
            return ask(lambda: distance(made[0], lease, stream, by_arn), service)  # type: ignore[no-any-return]
        except ClientError as error:
            return Distance(fault=f"{error.operation_name}: {code_of(error)}")
        except Trouble as trouble:
            return Distance(fault=str(trouble))

    def read(leases: Sequence[Lease]) -> dict[str, Distance]:
        if not made:
            made.append(stream_client(settings, service))
        asked = [lease for lease in leases if not lease.ended]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return dict(zip((lease.shard for lease in asked), pool.map(one, asked), strict=True))

    return read


def distance(kinesis: Any, lease: Lease, stream: dict[str, str], by_arn: dict[str, str]) -> Distance:
    """`stream` names it for GetShardIterator, `by_arn` for GetRecords. Raises ClientError."""
    position = _position(lease)
    if position is None:
        return Distance(fault=f"begins at {lease.checkpoint}")
    iterator = kinesis.get_shard_iterator(ShardId=lease.shard, **stream, **position).get("ShardIterator")
    behind = None
    for _ in range(_EMPTY_ANSWERS):
        if iterator is None:
            break
        answer = kinesis.get_records(ShardIterator=iterator, Limit=1, **by_arn)
        behind = answer["MillisBehindLatest"] / 1000
        for record in answer["Records"]:
            return Distance(
                next_arrived_at=record["ApproximateArrivalTimestamp"].timestamp(),
                behind_latest_seconds=behind,
            )
        if not behind:
            break
        iterator = answer.get("NextShardIterator")
    if behind:
        return Distance(
            behind_latest_seconds=behind, fault="Kinesis answers with no record, though there are more"
        )
    return Distance(behind_latest_seconds=behind)


def _position(lease: Lease) -> dict[str, str] | None:
    checkpoint = lease.checkpoint
    if checkpoint is None or checkpoint == "TRIM_HORIZON":
        return {"ShardIteratorType": "TRIM_HORIZON"}
    if checkpoint.isdecimal():
        kind = "AT_SEQUENCE_NUMBER" if lease.sub_sequence < 0 else "AFTER_SEQUENCE_NUMBER"
        return {"ShardIteratorType": kind, "StartingSequenceNumber": checkpoint}
    return None
