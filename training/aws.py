"""What the KCL asks Kinesis and DynamoDB, answered so that it reads records as fast as it can: an ASGI application.

Conditions of DynamoDB are taken for met: one worker has nobody to compete with.
"""

import json
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import cbor2

STREAM = "training"
APPLICATION = "training"
SHARDS = ("shardId-000000000000", "shardId-000000000001")
_BATCH_RECORDS = 2000
_RECORD_BYTES = 700
_HASH_KEYS = 2**128
_ARN = f"arn:aws:kinesis:us-east-1:000000000000:stream/{STREAM}"
_EPOCH_TAG = 1
_NOW_MS = 1_700_000_000_000
"""The AWS SDK for Java has milliseconds where the tag stands for seconds."""
_POSITION = "49" + "0" * 48
"""Begins the sequence numbers of a batch."""

type Item = dict[str, dict[str, Any]]


async def app(
    scope: Mapping[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    if scope["type"] != "http":
        return
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    target = next(value.decode() for name, value in scope["headers"] if name.lower() == b"x-amz-target")
    service, _, action = target.partition(".")
    if service.startswith("Kinesis"):
        status, kind, answer = 200, b"application/x-amz-cbor-1.1", _KINESIS[action](body)
    else:
        status, kind, answer = _dynamodb(action, json.loads(body))
    headers = [(b"content-type", kind), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


def _summary(body: bytes) -> bytes:
    summary = {
        "StreamName": STREAM,
        "StreamARN": _ARN,
        "StreamStatus": "ACTIVE",
        "RetentionPeriodHours": 24,
        "StreamCreationTimestamp": cbor2.CBORTag(_EPOCH_TAG, _NOW_MS),
        "EnhancedMonitoring": [{"ShardLevelMetrics": []}],
        "OpenShardCount": len(SHARDS),
    }
    return cbor2.dumps({"StreamDescriptionSummary": summary})


def _shards(body: bytes) -> bytes:
    return cbor2.dumps(
        {
            "Shards": [
                {
                    "ShardId": shard,
                    "HashKeyRange": {"StartingHashKey": str(first), "EndingHashKey": str(last)},
                    "SequenceNumberRange": {"StartingSequenceNumber": _POSITION + "0" * 6},
                }
                for shard, first, last in _ranges()
            ]
        }
    )


def _ranges() -> list[tuple[str, int, int]]:
    bounds = [_HASH_KEYS * place // len(SHARDS) for place in range(len(SHARDS) + 1)]
    return [(shard, bounds[place], bounds[place + 1] - 1) for place, shard in enumerate(SHARDS)]


def _iterator(body: bytes) -> bytes:
    """Always the begin of the shard."""
    return cbor2.dumps({"ShardIterator": f"{cbor2.loads(body)['ShardId']}:0"})


def _records(body: bytes) -> bytes:
    shard, _, position = cbor2.loads(body)["ShardIterator"].partition(":")
    answer = {"NextShardIterator": f"{shard}:{int(position) + 1}", "MillisBehindLatest": 60_000}
    empty = cbor2.dumps([])
    records = _BATCH.replace(_POSITION.encode(), f"49{int(position):048}".encode())
    return cbor2.dumps({**answer, "Records": []}).removesuffix(empty) + records


def _batch() -> bytes:
    return cbor2.dumps(
        [
            {
                "SequenceNumber": f"{_POSITION}{number:06}",
                "ApproximateArrivalTimestamp": cbor2.CBORTag(_EPOCH_TAG, _NOW_MS),
                "Data": os.urandom(_RECORD_BYTES),
                "PartitionKey": os.urandom(16).hex(),
            }
            for number in range(_BATCH_RECORDS)
        ]
    )


_BATCH = _batch()
_KINESIS: Mapping[str, Callable[[bytes], bytes]] = {
    "DescribeStreamSummary": _summary,
    "ListShards": _shards,
    "GetShardIterator": _iterator,
    "GetRecords": _records,
}


class Table:
    """Items by their keys, of tables without a limit."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self.keys = [part["AttributeName"] for part in request["KeySchema"]]
        self.items: dict[str, Item] = {}
        self.description = {
            "TableName": request["TableName"],
            "TableArn": f"arn:aws:dynamodb:us-east-1:000000000000:table/{request['TableName']}",
            "TableStatus": "ACTIVE",
            "KeySchema": request["KeySchema"],
            "AttributeDefinitions": request["AttributeDefinitions"],
            "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"},
            "ProvisionedThroughput": {"ReadCapacityUnits": 0, "WriteCapacityUnits": 0},
            "ItemCount": 0,
            "TableSizeBytes": 0,
        }

    def key(self, item: Item) -> str:
        return json.dumps([item[name] for name in self.keys])

    def add_index(self, request: Mapping[str, Any]) -> None:
        indexes = [
            update["Create"]
            for update in request.get("GlobalSecondaryIndexUpdates", ())
            if "Create" in update
        ]
        self.description["GlobalSecondaryIndexes"] = [{**index, "IndexStatus": "ACTIVE"} for index in indexes]

    def update(self, request: Mapping[str, Any]) -> None:
        item = self.items.setdefault(self.key(request["Key"]), dict(request["Key"]))
        for name, update in request.get("AttributeUpdates", {}).items():
            if update.get("Action") == "DELETE":
                item.pop(name, None)
            else:
                item[name] = update["Value"]
        names, values = (
            request.get("ExpressionAttributeNames", {}),
            request.get("ExpressionAttributeValues", {}),
        )
        for name, value in re.findall(r"([#\w]+)\s*=\s*(:\w+)", request.get("UpdateExpression", "")):
            item[names.get(name, name)] = values[value]


TABLES: dict[str, Table] = {}


def _dynamodb(action: str, request: dict[str, Any]) -> tuple[int, bytes, bytes]:
    kind = b"application/x-amz-json-1.0"
    if action == "CreateTable":
        TABLES[request["TableName"]] = Table(request)
    table = TABLES.get(request.get("TableName", ""))
    if table is None:
        error = {"__type": "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException", "message": action}
        return 400, kind, json.dumps(error).encode()
    return 200, kind, json.dumps(_answer(action, table, request)).encode()


def _answer(action: str, table: Table, request: dict[str, Any]) -> dict[str, Any]:
    match action:
        case "CreateTable":
            return {"TableDescription": table.description}
        case "DescribeTable":
            return {"Table": table.description}
        case "UpdateTable":
            table.add_index(request)
            return {"TableDescription": table.description}
        case "GetItem":
            item = table.items.get(table.key(request["Key"]))
            return {} if item is None else {"Item": item}
        case "PutItem":
            table.items[table.key(request["Item"])] = request["Item"]
            return {}
        case "UpdateItem":
            table.update(request)
            return {"Attributes": table.items[table.key(request["Key"])]}
        case "DeleteItem":
            table.items.pop(table.key(request["Key"]), None)
            return {}
        case "Scan":
            return _found(list(table.items.values()))
        case "Query":
            wanted = list(request.get("ExpressionAttributeValues", {}).values())
            return _found(
                [item for item in table.items.values() if any(value in wanted for value in item.values())]
            )
    return {}


def _found(items: list[Item]) -> dict[str, Any]:
    return {"Items": items, "Count": len(items), "ScannedCount": len(items)}


def _add_leases() -> None:
    """As a worker before left them: on an empty table the KCL would sleep for up to 30 s."""
    attribute = {"AttributeName": "leaseKey"}
    leases = {
        "TableName": APPLICATION,
        "KeySchema": [{**attribute, "KeyType": "HASH"}],
        "AttributeDefinitions": [{**attribute, "AttributeType": "S"}],
    }
    table = TABLES[APPLICATION] = Table(leases)
    for shard, first, last in _ranges():
        lease: Item = {
            "leaseKey": {"S": shard},
            "leaseCounter": {"N": "0"},
            "checkpoint": {"S": "TRIM_HORIZON"},
            "checkpointSubSequenceNumber": {"N": "0"},
            "ownerSwitchesSinceCheckpoint": {"N": "0"},
            "startingHashKey": {"S": str(first)},
            "endingHashKey": {"S": str(last)},
        }
        table.items[table.key(lease)] = lease


_add_leases()
