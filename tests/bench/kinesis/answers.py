"""What the stub answers: a stream whose shards hold a prepared script of batches, one batch an answer."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from tests.bench.inputs import number_sum
from tests.bench.kinesis.wire import BY_CONTENT_TYPE, BY_NAME, Wire, position_of

_ACCOUNT = "000000000000"
_HASH_KEYS = 2**128
_FIRST_ARRIVAL_MS = 1_700_000_000_000
_LATER_MS = 3_600_000
_BEHIND_MS = 60_000
_KEPT_BODIES = 8


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """What each shard holds: `warm_up` records, and once the stub is opened `measured` ones and a last one, which
    arrived an hour later and so seals every chunk before it. `wire` is the format in which they will be asked for."""

    shards: int
    warm_up: int
    measured: int
    batch_records: int
    record_bytes: int
    arrivals_per_second: int = 10_000
    wire: str = "cbor"

    def batches(self) -> "list[Batch]":
        """Of each shard, in order."""
        counts = [*self._split(self.warm_up), *self._split(self.measured)]
        made: list[Batch] = []
        given = 0
        for count in counts:
            made.append(Batch(count, _FIRST_ARRIVAL_MS + given * 1000 // self.arrivals_per_second))
            given += count
        return [*made, Batch(1, made[-1].arrival_ms + _LATER_MS)]

    @property
    def warm_up_batches(self) -> int:
        return len(self._split(self.warm_up))

    def number_sum(self, *, warm_up: bool) -> int:
        """Of the payloads of all shards: of the warm-up, or of what is measured."""
        counts = self._split(self.warm_up if warm_up else self.measured)
        return self.shards * sum(number_sum(count) for count in counts)

    def _split(self, records: int) -> list[int]:
        full, rest = divmod(records, self.batch_records)
        return [self.batch_records] * full + ([rest] if rest else [])


@dataclass(frozen=True, slots=True)
class Batch:
    records: int
    arrival_ms: int


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    content_type: str
    body: bytes


class State(msgspec.Struct):
    """What the stub has been asked: `wires` are content types, `refused` what it does not answer."""

    calls: dict[str, int] = msgspec.field(default_factory=dict)
    wires: set[str] = msgspec.field(default_factory=set)
    records: int = 0
    refused: list[str] = msgspec.field(default_factory=list)


class Refused(Exception):
    """No request that the stub has an answer for."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(f"{kind}: {message}")


class Kinesis:
    """The read API of one stream of any name."""

    def __init__(self, script: Script) -> None:
        self.state = State()
        self._script = script
        self._batches = script.batches()
        self._end = script.warm_up_batches
        self._actions: Mapping[str, Callable[[dict[str, Any], Wire], bytes]] = {
            "DescribeStreamSummary": self._describe_stream_summary,
            "ListShards": self._list_shards,
            "GetShardIterator": self._get_shard_iterator,
            "GetRecords": self._get_records,
        }
        self._template = functools.cache(self._made_template)
        self._body = functools.lru_cache(_KEPT_BODIES)(self._made_body)

    def prepare(self) -> None:
        """Make the templates, which takes some seconds, before they are asked for."""
        for batch in self._batches:
            self._template(BY_NAME[self._script.wire].content_type, batch.records)

    def open(self) -> None:
        """Let the shards be read beyond the warm-up."""
        self._end = len(self._batches)

    def answer(self, target: str, content_type: str, body: bytes) -> Answer:
        """`target` is the header `x-amz-target`."""
        wire = BY_CONTENT_TYPE.get(content_type, BY_NAME["json"])
        action = target.rpartition(".")[2]
        self.state.calls[action] = self.state.calls.get(action, 0) + 1
        self.state.wires.add(content_type)
        try:
            return Answer(200, wire.content_type, self._answered(action, body, wire))
        except Refused as refusal:
            self.state.refused.append(f"{action}: {refusal}")
            error = wire.encode({"__type": refusal.kind, "message": str(refusal)})
            return Answer(400, wire.content_type, error)

    def _answered(self, action: str, body: bytes, wire: Wire) -> bytes:
        if action not in self._actions:
            raise Refused("UnknownOperationException", "not in this stub")
        try:
            return self._actions[action](wire.decode(body), wire)
        except (KeyError, ValueError) as error:
            raise Refused("SerializationException", repr(error)) from error

    def _describe_stream_summary(self, request: dict[str, Any], wire: Wire) -> bytes:
        name, arn = _stream(request)
        summary = {
            "StreamName": name,
            "StreamARN": arn,
            "StreamStatus": "ACTIVE",
            "RetentionPeriodHours": 24,
            "StreamCreationTimestamp": wire.moment(_FIRST_ARRIVAL_MS),
            "EnhancedMonitoring": [{"ShardLevelMetrics": []}],
            "OpenShardCount": self._script.shards,
        }
        return wire.encode({"StreamDescriptionSummary": summary})

    def _list_shards(self, request: dict[str, Any], wire: Wire) -> bytes:
        bounds = [_HASH_KEYS * place // self._script.shards for place in range(self._script.shards + 1)]
        shards = [
            {
                "ShardId": shard_id(place),
                "HashKeyRange": {
                    "StartingHashKey": str(bounds[place]),
                    "EndingHashKey": str(bounds[place + 1] - 1),
                },
                "SequenceNumberRange": {"StartingSequenceNumber": "49" + "0" * 54},
            }
            for place in range(self._script.shards)
        ]
        return wire.encode({"Shards": shards})

    def _get_shard_iterator(self, request: dict[str, Any], wire: Wire) -> bytes:
        match request["ShardIteratorType"]:
            case "TRIM_HORIZON":
                position = 0
            case "AT_SEQUENCE_NUMBER":
                position = position_of(request["StartingSequenceNumber"])
            case "AFTER_SEQUENCE_NUMBER":
                position = position_of(request["StartingSequenceNumber"]) + 1
            case other:
                raise Refused("InvalidArgumentException", f"no {other} in this stub")
        return wire.encode({"ShardIterator": f"{request['ShardId']}:{position}"})

    def _get_records(self, request: dict[str, Any], wire: Wire) -> bytes:
        shard, _, place = request["ShardIterator"].rpartition(":")
        position = int(place)
        if position >= self._end:
            page = {"NextShardIterator": request["ShardIterator"], "MillisBehindLatest": 0}
            return wire.page(page, wire.encode([]))
        records = self._batches[position].records
        if records > request.get("Limit", records):
            raise Refused("InvalidArgumentException", f"an answer has {records} records")
        self.state.records += records
        behind = 0 if position + 1 == self._end else _BEHIND_MS
        page = {"NextShardIterator": f"{shard}:{position + 1}", "MillisBehindLatest": behind}
        return wire.page(page, self._body(wire.content_type, position))

    def _made_template(self, content_type: str, records: int) -> bytes:
        return BY_CONTENT_TYPE[content_type].template(records, self._script.record_bytes)

    def _made_body(self, content_type: str, position: int) -> bytes:
        batch = self._batches[position]
        template = self._template(content_type, batch.records)
        return BY_CONTENT_TYPE[content_type].placed(template, position=position, arrival_ms=batch.arrival_ms)


def shard_id(place: int) -> str:
    return f"shardId-{place:012}"


def _stream(request: Mapping[str, Any]) -> tuple[str, str]:
    arn = request.get("StreamARN")
    name = arn.rpartition("/")[2] if arn else request["StreamName"]
    return name, f"arn:aws:kinesis:us-east-1:{_ACCOUNT}:stream/{name}"
