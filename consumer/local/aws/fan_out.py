"""SubscribeToShard, which moto does not have: records are pushed as an event stream to a registered consumer.

https://docs.aws.amazon.com/kinesis/latest/APIReference/API_SubscribeToShard.html: a subscription lasts five minutes;
each consumer gets 2 MB a second of a shard; an event without records comes where there are none; the last one of a
closed shard names its children and has no sequence number to continue with.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from moto.kinesis import models

from consumer.local.aws import event_stream
from consumer.local.aws.log import Slice
from consumer.local.aws.stream import Shard, Stream
from consumer.local.faults.connection import App, Message, Receive, Scope, Send, body_of

SECONDS = 300.0
BYTES_A_SECOND = 2_000_000
MAX_RECORDS = 1_000
"""Of one event; the service's own number is not written down."""
_LOOK_SECONDS = 0.2
_SILENCE_SECONDS = 1.0
_TARGET = b"Kinesis_20131202.SubscribeToShard"


class _Start(msgspec.Struct, rename="pascal"):
    type: str
    sequence_number: str | None = None
    timestamp: float | None = None


class _Request(msgspec.Struct, rename="pascal"):
    shard_id: str
    starting_position: _Start
    consumer_arn: str = msgspec.field(name="ConsumerARN")


class _Refused(Exception):
    """`code` is AWS's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class _Place(msgspec.Struct):
    """A stream, and the shard of it that is read from a position on."""

    stream: Stream
    shard: Shard
    position: int

    def read(self) -> tuple[dict[str, Any], Slice]:
        """What the next event holds, and what it was made of; the position moves."""
        found = self.shard.log.read(self.position, limit=MAX_RECORDS, now=time.time())
        self.position = found.position
        body: dict[str, Any] = {
            "Records": found.records,
            "MillisBehindLatest": found.millis_behind_latest,
            "ContinuationSequenceNumber": str(found.position),
        }
        if self.is_read(found):
            children = [child.as_child() for child in self.stream.children_of(self.shard)]
            body |= {"ChildShards": children, "ContinuationSequenceNumber": None}
        return body, found

    def is_read(self, found: Slice) -> bool:
        return found.at_end and not self.shard.is_open


class FanOut:
    """An ASGI application that answers SubscribeToShard itself and passes everything else on."""

    def __init__(
        self,
        app: App,
        lock: threading.Lock,
        *,
        seconds: float = SECONDS,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[asyncio.Task[None], float], Awaitable[Any]] | None = None,
    ) -> None:
        """`lock` is held while moto's state is read; a subscription lasts `seconds`. `pause` waits for so many seconds,
        or for the task's end."""
        self._app = app
        self._lock = lock
        self._seconds = seconds
        self._clock = clock
        self._pause = pause or _pause

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (b"x-amz-target", _TARGET) not in _lowered(scope["headers"]):
            await self._app(scope, receive, send)
            return
        try:
            request = msgspec.json.decode(await body_of(receive), type=_Request)
            with self._lock:
                place = _place_of(request)
        except (_Refused, msgspec.DecodeError) as error:
            code = error.code if isinstance(error, _Refused) else "SerializationException"
            body = msgspec.json.encode({"__type": code, "message": str(error)})
            await send(_head(400, b"application/x-amz-json-1.1"))
            await send({"type": "http.response.body", "body": body})
            return
        await send(_head(200, b"application/vnd.amazon.eventstream"))
        gone = asyncio.create_task(_until_gone(receive))
        try:
            await self._push(place, send, gone)
        finally:
            gone.cancel()

    async def _push(self, place: _Place, send: Send, gone: asyncio.Task[None]) -> None:
        await send(_piece(event_stream.event("initial-response", b"{}")))
        began = spoke = self._clock()
        ended = False
        while not ended and not gone.done() and self._clock() - began < self._seconds:
            with self._lock:
                body, found = place.read()
            ended = place.is_read(found)
            pause = _LOOK_SECONDS
            if found.records or ended or self._clock() - spoke >= _SILENCE_SECONDS or spoke == began:
                await send(_piece(event_stream.event("SubscribeToShardEvent", msgspec.json.encode(body))))
                spoke = self._clock()
                sent = sum(len(record.data) for record in found.records)
                pause = sent / BYTES_A_SECOND if sent else _LOOK_SECONDS
            await self._pause(gone, pause)
        await send({"type": "http.response.body", "body": b""})


def _place_of(request: _Request) -> _Place:
    try:
        _, _, _, region, account, resource = request.consumer_arn.split(":", 5)
        streams: dict[str, Any] = models.kinesis_backends[account][region].streams
        stream = streams[resource.split("/")[1]]
        shard = stream.shards[request.shard_id]
    except (ValueError, KeyError, IndexError):
        raise _Refused("ResourceNotFoundException", f"{request.consumer_arn}, {request.shard_id}") from None
    if stream.get_consumer_by_arn(request.consumer_arn) is None:
        raise _Refused("ResourceNotFoundException", f"Consumer {request.consumer_arn} not found.")
    return _Place(stream, shard, _position(stream, shard, request.starting_position))


def _position(stream: Stream, shard: Shard, start: _Start) -> int:
    match start.type:
        case "TRIM_HORIZON":
            return 0
        case "LATEST":
            return stream.sequences.last
        case "AT_SEQUENCE_NUMBER" if start.sequence_number:
            return int(start.sequence_number) - 1
        case "AFTER_SEQUENCE_NUMBER" if start.sequence_number:
            return int(start.sequence_number)
        case "AT_TIMESTAMP" if start.timestamp is not None:
            return shard.log.position_at(start.timestamp)
    raise _Refused("InvalidArgumentException", f"StartingPosition {start.type}")


def _lowered(headers: Any) -> list[tuple[bytes, bytes]]:
    return [(name.lower(), value) for name, value in headers]


async def _pause(task: asyncio.Task[None], seconds: float) -> None:
    await asyncio.wait([task], timeout=seconds)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _head(status: int, content_type: bytes) -> Message:
    return {"type": "http.response.start", "status": status, "headers": [(b"content-type", content_type)]}


def _piece(body: bytes) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": True}
