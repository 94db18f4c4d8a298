"""Kinesis, DynamoDB and S3 refuse as the real ones do; the services behind are played by the test."""

import asyncio
import base64
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from consumer.local.aws.item_sizes import item_bytes, units
from consumer.local.limits.aws import AwsLimits
from consumer.local.limits.layer import LimitLayer
from consumer.local.limits.meters import Meters
from consumer.local.limits.table import Limits
from tests.unit.local.limits.asgi import Client
from tests.unit.local.limits.clocks import Clock

EXCEEDED = "ProvisionedThroughputExceededException"
HALF = 2**127
MIB = 1024 * 1024


class Aws:
    """A stream of two shards whose answers to reads are as large as `read_bytes`, and a table of one item."""

    def __init__(self, **given: float) -> None:
        self.clock = Clock()
        self.meters = Meters(
            Limits(given={name.replace("__", "."): value for name, value in given.items()}), self.clock
        )
        self.read_bytes = 1000
        self.item: dict[str, Any] = {"key": {"S": "k"}}
        self.status = 200
        service = AwsLimits(self.meters, lambda iterator: ("logs", iterator))
        self.client = Client(service, self.meters, self.answer)

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, Any]:
        match headers.get("x-amz-target", "").rpartition(".")[2]:
            case "GetRecords":
                data = base64.b64encode(bytes(self.read_bytes)).decode()
                return 200, {"Records": [{"Data": data, "PartitionKey": "p"}], "NextShardIterator": "next"}
            case "ListShards":
                return 200, {
                    "Shards": [_shard("shard-0", 0, HALF - 1), _shard("shard-1", HALF, 2 * HALF - 1)]
                }
            case "PutRecords":
                records = msgspec.json.decode(body)["Records"]
                results = [{"SequenceNumber": "1", "ShardId": one["PartitionKey"]} for one in records]
                return 200, {"FailedRecordCount": 0, "Records": results}
            case "GetItem":
                return 200, {"Item": self.item}
            case "Query":
                return 200, {"Items": [self.item, self.item]}
        return self.status, {}

    def read(self, shard: str) -> tuple[int, Any]:
        return self.client.aws("Kinesis_20131202.GetRecords", {"ShardIterator": shard})

    def put(self, *records: tuple[int, int]) -> Any:
        """Hash key and size of each."""
        entries = [
            {"Data": base64.b64encode(bytes(size)).decode(), "PartitionKey": "", "ExplicitHashKey": str(key)}
            for key, size in records
        ]
        request = {"StreamName": "logs", "Records": entries}
        status, answer = self.client.aws("Kinesis_20131202.PutRecords", request)
        assert status == 200
        return answer

    def dynamodb(self, operation: str, **request: Any) -> tuple[int, Any]:
        return self.client.aws(f"DynamoDB_20120810.{operation}", {"TableName": "t", **request})

    def count(self, name: str) -> float:
        return float(self.meters.report().get(name, {}).get("counted", 0))


def _shard(shard: str, low: int, high: int) -> dict[str, Any]:
    return {
        "ShardId": shard,
        "HashKeyRange": {"StartingHashKey": str(low), "EndingHashKey": str(high)},
        "SequenceNumberRange": {"StartingSequenceNumber": "1"},
    }


def test_the_sixth_read_of_a_shard_within_a_second_is_refused_whoever_reads() -> None:
    aws = Aws()
    assert [aws.read("shard-0")[0] for _ in range(5)] == [200] * 5
    status, error = aws.read("shard-0")
    assert (status, error["__type"]) == (400, EXCEEDED)
    assert error["message"] == "Rate exceeded for shard shard-0 in stream logs under account 123456789012."
    assert aws.read("shard-1")[0] == 200
    aws.clock.wait(1)
    assert aws.read("shard-0")[0] == 200


def test_a_large_answer_closes_the_shard_for_all_readers() -> None:
    aws = Aws()
    aws.read_bytes = 10_000_000
    assert aws.read("shard-0")[0] == 200
    aws.clock.wait(4.9)
    assert aws.read("shard-0")[1]["__type"] == EXCEEDED
    aws.clock.wait(0.2)
    assert aws.read("shard-0")[0] == 200
    assert aws.count("kinesis.read_bytes") == 20_000_000


def test_what_is_no_iterator_is_left_to_the_service() -> None:
    aws = Aws()

    def fail(iterator: str) -> tuple[str, str]:
        raise ValueError(iterator)

    client = Client(AwsLimits(aws.meters, fail), aws.meters, aws.answer)
    assert client.aws("Kinesis_20131202.GetRecords", {"ShardIterator": "?"})[0] == 200


def test_a_subscription_is_passed_on_as_it_comes() -> None:
    """Its answer is a stream of events, which the layer must not wait for the end of."""
    aws = Aws()
    events: list[bytes] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"{}"}

    async def send(message: dict[str, Any]) -> None:
        events.append(message.get("body", b""))

    async def subscribed(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        assert events == [b"", b"first"]

    layer = LimitLayer(subscribed, AwsLimits(aws.meters, lambda iterator: ("", iterator)), aws.meters)
    headers = [(b"x-amz-target", b"Kinesis_20131202.SubscribeToShard")]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
    asyncio.run(layer(scope, receive, send))
    assert events == [b"", b"first"]


def test_records_above_a_shards_limit_fail_by_themselves() -> None:
    aws = Aws()
    aws.put(*[(0, 10)] * 500)
    answer = aws.put(*[(0, 10)] * 499, (HALF, 10))
    assert answer["FailedRecordCount"] == 0
    answer = aws.put((0, 10), (0, 10), (HALF, 10), (0, 10))
    assert answer["FailedRecordCount"] == 2
    assert [one.get("ErrorCode") for one in answer["Records"]] == [None, EXCEEDED, None, EXCEEDED]
    assert "shard shard-0 in stream logs" in answer["Records"][1]["ErrorMessage"]
    _, length, body = aws.client.application.seen[-1]
    assert len(msgspec.json.decode(body)["Records"]) == 2
    assert int(length) == len(body)
    aws.clock.wait(1)
    assert aws.put((0, 10))["FailedRecordCount"] == 0


def test_a_shard_takes_a_megabyte_a_second() -> None:
    aws = Aws()
    answer = aws.put((0, 600_000), (0, 600_000), (0, 1))
    assert [one.get("ErrorCode") for one in answer["Records"]] == [None, None, EXCEEDED]


def test_where_no_record_passes_the_service_is_not_asked() -> None:
    aws = Aws()
    aws.put((0, 2 * MIB))
    asked = len(aws.client.application.seen)
    assert aws.put((0, 1), (0, 1))["FailedRecordCount"] == 2
    assert len(aws.client.application.seen) == asked


def test_the_shards_are_looked_up_again_after_a_split() -> None:
    aws = Aws()
    aws.put((0, 1))
    aws.put((0, 1))
    assert aws.client.application.operations().count("ListShards") == 1
    aws.client.aws("Kinesis_20131202.SplitShard", {"StreamName": "logs"})
    aws.put((0, 1))
    assert aws.client.application.operations().count("ListShards") == 2


def test_one_record_above_the_limit_is_refused_as_a_whole() -> None:
    aws = Aws(kinesis__put_records=1)
    request = {"StreamARN": "arn:aws:kinesis:r:a:stream/logs", "Data": "", "PartitionKey": "p"}
    assert aws.client.aws("Kinesis_20131202.PutRecord", request)[0] == 200
    assert aws.client.aws("Kinesis_20131202.PutRecord", request)[1]["__type"] == EXCEEDED


@pytest.mark.parametrize(
    ("operation", "most", "code"),
    [
        ("GetShardIterator", 5, EXCEEDED),
        ("DescribeStream", 10, "LimitExceededException"),
        ("DescribeStreamSummary", 20, "LimitExceededException"),
        ("ListShards", 1000, "LimitExceededException"),
    ],
)
def test_other_calls_have_limits_of_their_own(operation: str, most: int, code: str) -> None:
    aws = Aws()
    target = f"Kinesis_20131202.{operation}"
    answers = [aws.client.aws(target, {"StreamName": "logs", "ShardId": "shard-0"}) for _ in range(most + 1)]
    assert [status for status, _ in answers] == [200] * most + [400]
    assert answers[-1][1]["__type"] == code


def test_writes_are_counted_by_begun_kilobytes() -> None:
    aws = Aws()
    aws.dynamodb("PutItem", Item={"key": {"S": "x" * 3000}})
    assert aws.count("dynamodb.write_units") == 3
    aws.item = {"key": {"S": "k"}, "rest": {"B": base64.b64encode(bytes(5000)).decode()}}
    aws.dynamodb("UpdateItem", Key={"key": {"S": "k"}}, UpdateExpression="SET a = :a")
    assert aws.count("dynamodb.write_units") == 3 + 5
    aws.dynamodb("DeleteItem", Key={"key": {"S": "k"}})
    assert aws.count("dynamodb.write_units") == 3 + 5 + 1


def test_a_failed_condition_costs_what_the_write_would() -> None:
    aws = Aws()
    aws.status = 400
    aws.dynamodb("PutItem", Item={"key": {"S": "k"}})
    assert aws.count("dynamodb.write_units") == 0
    aws.client.application.played = lambda *of: (400, {"__type": "ConditionalCheckFailedException"})
    aws.dynamodb("PutItem", Item={"key": {"S": "k"}})
    assert aws.count("dynamodb.write_units") == 1


def test_reads_are_counted_by_begun_four_kilobytes_and_half_where_they_may_be_old() -> None:
    aws = Aws()
    aws.item = {"key": {"S": "x" * 5000}}
    aws.dynamodb("GetItem", Key={}, ConsistentRead=True)
    assert aws.count("dynamodb.read_units") == 2
    aws.dynamodb("Query")
    assert aws.count("dynamodb.read_units") == 2 + 1.5


def test_a_table_without_capacity_left_refuses_until_it_is_paid_off() -> None:
    aws = Aws(dynamodb__write_units=2)
    assert aws.dynamodb("PutItem", Item={"key": {"S": "x" * 5000}})[0] == 200
    assert aws.dynamodb("PutItem", Item={"key": {"S": "k"}})[1]["__type"] == EXCEEDED
    assert aws.dynamodb("GetItem", Key={})[0] == 200
    aws.clock.wait(2.6)
    assert aws.dynamodb("PutItem", Item={"key": {"S": "k"}})[0] == 200


def test_sizes_of_items_are_those_of_names_and_values() -> None:
    item: dict[str, dict[str, Any]] = {
        "text": {"S": "häh"},
        "number": {"N": "-1234.5"},
        "yes": {"BOOL": True},
        "list": {"L": [{"S": "ab"}, {"NULL": True}]},
        "map": {"M": {"a": {"N": "7"}}},
        "set": {"SS": ["ab", "c"]},
    }
    sizes = {"text": 4, "number": 4, "yes": 1, "list": 3 + 3 + 2, "map": 3 + 1 + 1 + 2, "set": 3}
    assert item_bytes(item) == sum(len(name) + size for name, size in sizes.items())
    assert [units(size, 1024) for size in (0, 1024, 1025)] == [1, 1, 2]


def test_s3_says_slow_down_by_bucket() -> None:
    aws = Aws(s3__writes=2, s3__reads=3)
    assert [aws.client.ask("PUT", "/bucket/key")[0] for _ in range(2)] == [200, 200]
    status, body = aws.client.ask("PUT", "/bucket/other/key")
    assert status == 503
    assert b"<Code>SlowDown</Code><Message>Please reduce your request rate.</Message>" in body
    assert aws.client.ask("PUT", "/other/key")[0] == 200
    methods = ("GET", "HEAD", "GET", "GET", "HEAD")
    assert [aws.client.ask(method, "/bucket/key")[0] for method in methods] == [200, 200, 200, 503, 503]
    assert aws.client.ask("POST", "/")[0] == 200  # STS


def test_what_was_counted_and_refused_is_told_by_name() -> None:
    aws = Aws(s3__writes=1)
    aws.client.ask("PUT", "/bucket/key")
    aws.client.ask("PUT", "/bucket/key")
    status, report = aws.client.json("GET", "/_limits")
    assert status == 200
    assert list(report["limits"]) == ["s3.writes"]
    assert (report["limits"]["s3.writes"]["counted"], report["limits"]["s3.writes"]["refused"]) == (1, 1)


def test_time_can_be_let_pass() -> None:
    aws = Aws(s3__writes=1)
    aws.client.ask("PUT", "/bucket/key")
    assert aws.client.json("PUT", "/_limits", {"pass_seconds": 1})[0] == 200
    assert aws.client.ask("PUT", "/bucket/key")[0] == 200
