"""SubscribeToShard of the embedded Kinesis: what is pushed, how fast, and where it ends."""

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer
from moto.kinesis import models

from consumer.local.aws import kinesis
from consumer.local.aws.fan_out import BYTES_A_SECOND, FanOut
from consumer.local.aws.stream import Entry, Stream

SHARD = "shardId-000000000000"
ACCOUNT = "123456789012"


@pytest.fixture
def stream() -> Iterator[Stream]:
    kinesis.install()
    backend: Any = models.kinesis_backends[ACCOUNT]["us-east-1"]
    backend.create_stream(stream_name="pushed", shard_count=1, stream_mode=None, retention_period_hours=None)
    yield backend.streams["pushed"]
    backend.streams.clear()


@pytest.fixture
def consumer(stream: Stream) -> str:
    backend: Any = models.kinesis_backends[ACCOUNT]["us-east-1"]
    arn: str = backend.register_stream_consumer(stream.arn, "reader").consumer_arn
    return arn


class Client:
    """One subscription, over a clock that only pauses move."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        self.status = 0
        self.body = b""
        self.passed_on = False

    async def pause(self, task: object, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    async def app(self, *_: Any) -> None:
        self.passed_on = True

    async def send(self, message: Any) -> None:
        self.status = message.get("status", self.status)
        self.body += message.get("body", b"")

    def ask(self, request: dict[str, Any], *, seconds: float, operation: str = "SubscribeToShard") -> None:
        body = [{"type": "http.request", "body": json.dumps(request).encode()}]

        async def receive() -> Any:
            if body:
                return body.pop()
            return await asyncio.Event().wait()

        layer = FanOut(self.app, threading.Lock(), seconds=seconds, clock=lambda: self.now, pause=self.pause)
        target = f"Kinesis_20131202.{operation}".encode()
        scope = {"type": "http", "headers": [(b"X-Amz-Target", target)]}
        asyncio.run(layer(scope, receive, self.send))

    def events(self) -> list[dict[str, Any]]:
        buffer = EventStreamBuffer()
        buffer.add_data(self.body)
        first, *others = list(buffer)
        assert first.headers[":event-type"] == "initial-response"
        return [json.loads(one.payload) for one in others]


def request(consumer: str, kind: str = "TRIM_HORIZON", **start: Any) -> dict[str, Any]:
    return {"ConsumerARN": consumer, "ShardId": SHARD, "StartingPosition": {"Type": kind, **start}}


def keys(events: list[dict[str, Any]]) -> list[str]:
    return [record["PartitionKey"] for one in events for record in one["Records"]]


def test_records_are_pushed_from_the_start_and_silence_is_an_event_a_second(
    stream: Stream, consumer: str
) -> None:
    for key in "abc":
        stream.put(Entry(b"x", key))
    client = Client()
    client.ask(request(consumer), seconds=5)
    events = client.events()
    assert client.status == 200
    assert keys(events) == ["a", "b", "c"]
    assert 4 <= len(events) <= 6
    assert len({one["ContinuationSequenceNumber"] for one in events}) == 1


def test_a_subscription_goes_on_where_another_has_ended(stream: Stream, consumer: str) -> None:
    first = Client()
    stream.put(Entry(b"x", "a"))
    first.ask(request(consumer), seconds=1)
    stream.put(Entry(b"x", "b"))
    place = first.events()[-1]["ContinuationSequenceNumber"]
    for kind, expected in (("AFTER_SEQUENCE_NUMBER", ["b"]), ("AT_SEQUENCE_NUMBER", ["a", "b"])):
        second = Client()
        second.ask(request(consumer, kind, SequenceNumber=place), seconds=1)
        assert keys(second.events()) == expected
    latest = Client()
    latest.ask(request(consumer, "LATEST"), seconds=1)
    assert keys(latest.events()) == []


def test_a_closed_shard_ends_with_its_children(stream: Stream, consumer: str) -> None:
    stream.put(Entry(b"x", "a"))
    stream.split_shard(SHARD, str(2**127))
    client = Client()
    client.ask(request(consumer), seconds=300)
    [event] = client.events()
    assert keys([event]) == ["a"]
    assert event["ContinuationSequenceNumber"] is None
    assert [child["ShardId"][-1] for child in event["ChildShards"]] == ["1", "2"]


def test_a_consumer_gets_two_megabytes_a_second(stream: Stream, consumer: str) -> None:
    for _ in range(8):
        stream.put(Entry(bytes(BYTES_A_SECOND // 2), "a"))
    client = Client()
    client.ask(request(consumer), seconds=5)
    assert len(keys(client.events())) == 8
    assert client.pauses[0] == 4


@pytest.mark.parametrize(
    "change",
    [
        {"ConsumerARN": f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/pushed/consumer/nobody"},
        {"ConsumerARN": f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/none/consumer/reader"},
        {"ConsumerARN": "nonsense"},
        {"ShardId": "shardId-000000000009"},
        {"StartingPosition": {"Type": "AFTER_SEQUENCE_NUMBER"}},
    ],
)
def test_who_is_not_registered_and_what_is_not_there_is_refused(
    consumer: str, change: dict[str, Any]
) -> None:
    client = Client()
    client.ask(request(consumer) | change, seconds=1)
    assert client.status == 400
    assert json.loads(client.body)["__type"] in ("ResourceNotFoundException", "InvalidArgumentException")


def test_all_else_is_passed_on(consumer: str) -> None:
    client = Client()
    client.ask({}, seconds=1, operation="GetRecords")
    assert client.passed_on
