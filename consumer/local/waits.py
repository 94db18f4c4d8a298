"""Why records have not arrived: what the backends say, and what is on the stream behind their checkpoints."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from consumer.domain.excerpts import excerpt
from consumer.local.aggregate import user_records
from consumer.local.stack import Stack
from consumer.settings import Backend

_REASON_CHARACTERS = 100
_MOST_CALLS_WITHOUT_RECORDS = 5


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a backend has written into its status.json, as far as it is told here."""

    backend: Backend
    phase: str = ""
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    shards: tuple[dict[str, Any], ...] = ()

    @property
    def held(self) -> bool:
        """Whether a shard delivers nothing until someone acts."""
        return any(shard.get("held") for shard in self.shards)

    def doing(self) -> str:
        """What keeps it from delivering, or that it does."""
        if self.reasons:
            return excerpt(self.reasons[0], _REASON_CHARACTERS)
        if self.phase == "running":
            return "reading the stream" if self.shards else "waiting for the KCL's first leases"
        return {"preparing": "making what it writes to"}.get(self.phase, self.phase)


def reports(workers: Path) -> dict[Backend, Report]:
    """Of the backends whose state is in this directory, as far as they have said anything."""
    found: dict[Backend, Report] = {}
    for path in workers.glob("*/status.json"):
        try:
            report = msgspec.json.decode(path.read_bytes(), type=Report)
        except (OSError, msgspec.MsgspecError):  # it has just been removed, or another version writes it
            continue
        found[report.backend] = report
    return found


def unread(stack: Stack, application: str) -> Iterator[bytes]:
    """The user records on the stream that the application's next start reads: those behind its checkpoints."""
    kinesis = stack.client("kinesis")
    checkpoints = _checkpoints(stack, application)
    pages = kinesis.get_paginator("list_shards").paginate(StreamName=stack.stream)
    for shard in [shard["ShardId"] for page in pages for shard in page["Shards"]]:
        sequence, sub_sequence = checkpoints.get(shard, ("TRIM_HORIZON", 0))
        if sequence == "SHARD_END":
            continue
        for record in _records(kinesis, stack.stream, shard, sequence):
            first = sub_sequence + 1 if record["SequenceNumber"] == sequence else 0
            yield from user_records(record["Data"])[first:]


def _checkpoints(stack: Stack, application: str) -> dict[str, tuple[str, int]]:
    """By shard. https://github.com/awslabs/amazon-kinesis-client: DynamoDBLeaseSerializer"""
    dynamodb = stack.client("dynamodb")
    try:
        pages = list(dynamodb.get_paginator("scan").paginate(TableName=application, ConsistentRead=True))
    except dynamodb.exceptions.ResourceNotFoundException:
        return {}
    return {
        item["leaseKey"]["S"]: (
            item["checkpoint"]["S"],
            int(item.get("checkpointSubSequenceNumber", {"N": "0"})["N"]),
        )
        for page in pages
        for item in page["Items"]
        if "checkpoint" in item
    }


def _records(kinesis: Any, stream: str, shard: str, sequence: str) -> Iterator[Any]:
    """From a checkpoint on, the record of the checkpoint among them."""
    at: dict[str, str] = {"ShardIteratorType": "TRIM_HORIZON"}
    if sequence.isdigit():
        at = {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": sequence}
    iterator = kinesis.get_shard_iterator(StreamName=stream, ShardId=shard, **at)["ShardIterator"]
    calls_without = 0
    while iterator and calls_without < _MOST_CALLS_WITHOUT_RECORDS:
        answer = kinesis.get_records(ShardIterator=iterator)
        yield from answer["Records"]
        iterator = answer.get("NextShardIterator")
        if answer["MillisBehindLatest"] == 0:
            return
        calls_without = 0 if answer["Records"] else calls_without + 1
