"""Kinesis, DynamoDB and S3 as far as they limit: reads and writes of a shard, capacity of a table, use of a bucket."""

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec

from consumer.local.aws.item_sizes import READ_BYTES, WRITE_BYTES, Attributes, item_bytes, units
from consumer.local.faults.answers import render
from consumer.local.faults.connection import Scope
from consumer.local.faults.requests import aws_request
from consumer.local.faults.rules import Answer as Error
from consumer.local.limits.layer import Answer, Call, json_answer, plain_answer
from consumer.local.limits.meters import Meters

THROUGHPUT_EXCEEDED = "ProvisionedThroughputExceededException"
_LIMIT_EXCEEDED = "LimitExceededException"
_JSON = "application/x-amz-json-1.1"
_ACCOUNT = "123456789012"
_DYNAMODB_MESSAGE = (
    "The level of configured provisioned throughput for the table was exceeded. Consider increasing your provisioning"
    " level with the UpdateTable API."
)
_S3_WRITES = frozenset({"PUT", "POST", "DELETE"})
_S3_READS = frozenset({"GET", "HEAD"})
_RESHARDING = frozenset({"SplitShard", "MergeShards", "UpdateShardCount", "CreateStream", "DeleteStream"})
_CALLS = {
    "ListShards": "kinesis.list_shards",
    "DescribeStream": "kinesis.describe",
    "DescribeStreamSummary": "kinesis.summaries",
}
_WRITES = frozenset({"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"})
_READS = frozenset({"GetItem", "Query", "Scan", "BatchGetItem", "TransactGetItems"})


class _Record(msgspec.Struct, rename="pascal"):
    data: msgspec.Raw


class _Read(msgspec.Struct, rename="pascal"):
    records: list[_Record] = []


class _Entry(msgspec.Struct, rename="pascal"):
    partition_key: str
    data: msgspec.Raw
    explicit_hash_key: str | None = None

    def size(self) -> int:
        return _data_bytes(self.data) + len(self.partition_key.encode())

    def hash_key(self) -> int:
        if self.explicit_hash_key is not None:
            return int(self.explicit_hash_key)
        return int.from_bytes(hashlib.md5(self.partition_key.encode(), usedforsecurity=False).digest())


class _Put(msgspec.Struct, rename="pascal"):
    records: list[msgspec.Raw]


def _data_bytes(base64_text: msgspec.Raw) -> int:
    text = bytes(base64_text)
    return (len(text) - 2) * 3 // 4 - text[-3:].count(b"=")


class AwsLimits:
    """The rules of the three services. `shard_of` tells stream and shard of an iterator."""

    def __init__(self, meters: Meters, shard_of: Callable[[str], tuple[str, str]]) -> None:
        self._meters = meters
        self._shard_of = shard_of
        self._ranges: dict[str, list[tuple[int, int, str]]] = {}

    def concerns(self, scope: Scope) -> bool:
        """All but a subscription: its answer lasts for minutes, and its consumer has a shard's reads to itself."""
        return aws_request(scope).operation != "SubscribeToShard"

    async def answer(self, call: Call) -> Answer:
        head = aws_request(call.scope)
        match head.service:
            case "kinesis":
                return await self._kinesis(call, head.operation)
            case "dynamodb":
                return await self._dynamodb(call, head.operation)
            case "s3":
                return await self._s3(call)
            case _:
                return await call.forward()

    # Kinesis

    async def _kinesis(self, call: Call, operation: str) -> Answer:
        match operation:
            case "GetRecords":
                return await self._get_records(call)
            case "GetShardIterator":
                return await self._get_iterator(call)
            case "PutRecords":
                return await self._put_records(call)
            case "PutRecord":
                return await self._put_record(call)
        if (name := _CALLS.get(operation)) and self._meters.take((name, _ACCOUNT, 1)):
            return _error(_LIMIT_EXCEEDED, f"Rate exceeded for account {_ACCOUNT}.")
        answer = await call.forward()
        if operation in _RESHARDING:
            self._ranges.clear()
        return answer

    async def _get_records(self, call: Call) -> Answer:
        try:
            stream, shard = self._shard_of(msgspec.json.decode(call.body)["ShardIterator"])
        except ValueError:  # the service says what is wrong with it
            return await call.forward()
        scope = f"{stream}/{shard}"
        if not self._meters.has_room("kinesis.read_bytes", scope) or self._meters.take(
            ("kinesis.reads", scope, 1)
        ):
            return _shard_exceeded(stream, shard)
        answer = await call.forward()
        if answer.status == 200:
            records = msgspec.json.decode(answer.body, type=_Read).records
            self._meters.add("kinesis.read_bytes", scope, sum(_data_bytes(one.data) for one in records))
        return answer

    async def _get_iterator(self, call: Call) -> Answer:
        request = msgspec.json.decode(call.body)
        stream, shard = _stream(request), request.get("ShardId", "")
        if self._meters.take(("kinesis.iterators", f"{stream}/{shard}", 1)):
            return _shard_exceeded(stream, shard)
        return await call.forward()

    async def _put_record(self, call: Call) -> Answer:
        stream = _stream(msgspec.json.decode(call.body))
        entry = msgspec.json.decode(call.body, type=_Entry)
        shard = await self._shard_for(call, stream, entry)
        if shard and self._refuses(stream, shard, entry):
            return _shard_exceeded(stream, shard)
        return await call.forward()

    async def _put_records(self, call: Call) -> Answer:
        """Each record by itself: those above a shard's limit are told as failed, the others are stored."""
        request = msgspec.json.decode(call.body)
        stream = _stream(request)
        records = msgspec.json.decode(call.body, type=_Put).records
        refused: dict[int, str] = {}
        for place, record in enumerate(records):
            entry = msgspec.json.decode(record, type=_Entry)
            shard = await self._shard_for(call, stream, entry)
            if shard and self._refuses(stream, shard, entry):
                refused[place] = shard
        if not refused:
            return await call.forward()
        kept = [record for place, record in enumerate(records) if place not in refused]
        results: list[Any] = []
        if kept:
            answer = await call.forward(msgspec.json.encode({**request, "Records": kept}))
            if answer.status != 200:
                return answer
            results = msgspec.json.decode(answer.body)["Records"]
        for place, shard in refused.items():
            results.insert(
                place, {"ErrorCode": THROUGHPUT_EXCEEDED, "ErrorMessage": _rate_exceeded(stream, shard)}
            )
        failed = sum("ErrorCode" in result for result in results)
        return json_answer(200, {"FailedRecordCount": failed, "Records": results}, _JSON)

    def _refuses(self, stream: str, shard: str, entry: _Entry) -> bool:
        scope = f"{stream}/{shard}"
        uses = ("kinesis.put_bytes", scope, entry.size()), ("kinesis.put_records", scope, 1.0)
        return self._meters.take(*uses) is not None

    async def _shard_for(self, call: Call, stream: str, entry: _Entry) -> str | None:
        if stream not in self._ranges:
            self._ranges[stream] = await _open_ranges(call, stream)
        hash_key = entry.hash_key()
        return next((shard for low, high, shard in self._ranges[stream] if low <= hash_key <= high), None)

    # DynamoDB

    async def _dynamodb(self, call: Call, operation: str) -> Answer:
        if operation not in _WRITES | _READS:
            return await call.forward()
        request = msgspec.json.decode(call.body)
        name = "dynamodb.write_units" if operation in _WRITES else "dynamodb.read_units"
        tables = [request["TableName"]] if "TableName" in request else list(request.get("RequestItems", ()))
        if not all(self._meters.has_room(name, table) for table in tables):
            return _error(THROUGHPUT_EXCEEDED, _DYNAMODB_MESSAGE)
        answer = await call.forward()
        if answer.status == 200 or b"ConditionalCheckFailed" in answer.body:
            for table, used in (await self._used(call, operation, request, answer)).items():
                self._meters.add(name, table, used)
        return answer

    async def _used(
        self, call: Call, operation: str, request: dict[str, Any], answer: Answer
    ) -> dict[str, float]:
        """Units by table. A failed condition costs what the write would."""
        table = request.get("TableName", "")
        match operation:
            case "PutItem":
                return {table: units(item_bytes(request["Item"]), WRITE_BYTES)}
            case "UpdateItem":
                after = await _item(call, table, request["Key"])
                return {table: units(item_bytes(after), WRITE_BYTES)}
            case "DeleteItem":
                return {table: 1.0}
            case "BatchWriteItem":
                return {
                    name: sum(
                        units(item_bytes(one.get("PutRequest", {}).get("Item", {})), WRITE_BYTES)
                        for one in requests
                    )
                    for name, requests in request["RequestItems"].items()
                }
            case "TransactWriteItems":
                return _transacted(request)
        found = msgspec.json.decode(answer.body)
        if operation == "BatchGetItem":
            return {
                name: sum(_read_units(item_bytes(item), request["RequestItems"][name]) for item in items)
                for name, items in found.get("Responses", {}).items()
            }
        items = found.get("Items", [found.get("Item", {})])
        return {table: _read_units(sum(map(item_bytes, items)), request)} if table else {}

    # S3

    async def _s3(self, call: Call) -> Answer:
        bucket, method = call.scope["path"].strip("/").partition("/")[0], call.scope["method"]
        name = "s3.writes" if method in _S3_WRITES else "s3.reads" if method in _S3_READS else None
        # without a bucket it is a service that names no operation in a header
        if bucket and name and self._meters.take((name, bucket, 1)):
            error = render(Error(503, "SlowDown", "Please reduce your request rate."), "s3")
            return plain_answer(error.status, error.body, error.content_type)
        return await call.forward()


def _transacted(request: dict[str, Any]) -> dict[str, float]:
    """Twice the units of the writes alone."""
    used: dict[str, float] = {}
    for item in request["TransactItems"]:
        [write] = item.values()
        size = item_bytes(write.get("Item", write.get("Key", {})))
        used[write["TableName"]] = used.get(write["TableName"], 0) + 2 * units(size, WRITE_BYTES)
    return used


def _read_units(size: int, request: dict[str, Any]) -> float:
    """Half as much where the answer may be a little old."""
    return units(size, READ_BYTES) * (1.0 if request.get("ConsistentRead") else 0.5)


async def _open_ranges(call: Call, stream: str) -> list[tuple[int, int, str]]:
    """Hash keys, from and to, of the open shards."""
    found = await _ask(call, "Kinesis_20131202.ListShards", {"StreamName": stream})
    return [
        (
            int(one["HashKeyRange"]["StartingHashKey"]),
            int(one["HashKeyRange"]["EndingHashKey"]),
            one["ShardId"],
        )
        for one in found.get("Shards", ())
        if "EndingSequenceNumber" not in one["SequenceNumberRange"]
    ]


async def _item(call: Call, table: str, key: Attributes) -> Attributes:
    request = {"TableName": table, "Key": key, "ConsistentRead": True}
    found = await _ask(call, "DynamoDB_20120810.GetItem", request)
    item: Attributes = found.get("Item", key)
    return item


async def _ask(call: Call, target: str, content: object) -> dict[str, Any]:
    answer = await call.forward(msgspec.json.encode(content), {b"x-amz-target": target.encode()})
    found: dict[str, Any] = msgspec.json.decode(answer.body) if answer.status == 200 else {}
    return found


def _stream(request: dict[str, Any]) -> str:
    return request.get("StreamName") or str(request.get("StreamARN", "")).rpartition("/")[2]


def _rate_exceeded(stream: str, shard: str) -> str:
    return f"Rate exceeded for shard {shard} in stream {stream} under account {_ACCOUNT}."


def _shard_exceeded(stream: str, shard: str) -> Answer:
    return _error(THROUGHPUT_EXCEEDED, _rate_exceeded(stream, shard))


def _error(code: str, message: str) -> Answer:
    return json_answer(400, {"__type": code, "message": message}, _JSON)
