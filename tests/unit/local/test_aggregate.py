"""KPL aggregation, read back by a decoder of the test's own."""

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from consumer.local.aggregate import MAGIC, Aggregator, aggregate, encode
from consumer.local.records import Outgoing

VECTORS = Path(__file__).parents[4] / "shared" / "conformance" / "kpl_vectors.json"
Decoded = list[tuple[str, str | None, bytes]]


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if not byte & 0x80:
            return value, at


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        if tag & 7 == 0:
            value, at = varint(data, at)
            yield tag >> 3, value
        else:
            assert tag & 7 == 2
            size, at = varint(data, at)
            yield tag >> 3, data[at : at + size]
            at += size


def decode(data: bytes) -> Decoded:
    assert data[:4] == MAGIC == b"\xf3\x89\x9a\xc2"
    body, digest = data[4:-16], data[-16:]
    assert hashlib.md5(body, usedforsecurity=False).digest() == digest
    tables: dict[int, list[str]] = {1: [], 2: []}
    records = []
    for number, value in fields(body):
        if number == 3:
            records.append(dict(fields(value)))
        else:
            tables[number].append(value.decode())
    return [(tables[1][one[1]], tables[2][one[2]] if 2 in one else None, one[3]) for one in records]


def record(key: str, data: bytes = b"x", explicit_hash_key: str | None = None) -> Outgoing:
    return Outgoing(data=data, partition_key=key, explicit_hash_key=explicit_hash_key)


def test_an_aggregate_holds_its_records_in_order_with_their_keys() -> None:
    records = (
        record("a", b"1"),
        record("b", b"\x00\xff" * 200, "17"),
        record("a", b"", "17"),
        record("c", b"4", "9"),
    )
    expected = [(one.partition_key, one.explicit_hash_key, one.data) for one in records]
    assert decode(encode(records)) == expected


def test_an_aggregate_lands_where_its_first_record_belongs() -> None:
    first = record("a")
    packed = aggregate((first, record("b")))
    assert (packed.hash_key(), packed.partition_key, packed.user_records) == (first.hash_key(), "a", 2)


@pytest.mark.skipif(not VECTORS.exists(), reason="the shared KPL vectors are not at hand")
def test_real_kpl_records_are_packed_to_the_same_records() -> None:
    packed = [one for one in json.loads(VECTORS.read_text())["vectors"] if one["name"].startswith("real_kpl")]
    assert packed
    for vector in packed:
        expected = [(one["pk"], one["ehk"], one["data"].encode()) for one in vector["expect"]]
        real = decode(base64.b64decode(vector["data"]))
        assert real == expected
        again = encode(tuple(record(key, data, hash_key) for key, hash_key, data in real))
        assert decode(again) == expected


class FakeKinesis:
    """ListShards of a stream whose open shards the test sets; ranges split the hash keys evenly."""

    def __init__(self, *shards: str) -> None:
        self.shards = shards
        self.closed: tuple[str, ...] = ()

    def get_paginator(self, name: str) -> Any:
        assert name == "list_shards"
        return self

    def paginate(self, **request: Any) -> Iterator[dict[str, Any]]:
        assert request == {"StreamName": "s"}
        step = 2**128 // len(self.shards)
        for index, shard in enumerate(self.shards):
            bounds = {"StartingHashKey": str(index * step), "EndingHashKey": str((index + 1) * step - 1)}
            yield {"Shards": [{"ShardId": shard, "HashKeyRange": bounds, "SequenceNumberRange": {}}]}
        for shard in self.closed:
            bounds = {"StartingHashKey": "0", "EndingHashKey": str(2**128 - 1)}
            ended = {"EndingSequenceNumber": "1"}
            yield {"Shards": [{"ShardId": shard, "HashKeyRange": bounds, "SequenceNumberRange": ended}]}


KEYS = [f"player-{number}" for number in range(200)]


def test_all_records_of_an_aggregate_belong_to_one_shard() -> None:
    packed = list(Aggregator(FakeKinesis("a", "b", "c", "d"), "s").pack(map(record, KEYS)))
    assert sorted(one.partition_key for each in packed for one in each.holds) == sorted(KEYS)
    for each in packed:
        assert len({one.hash_key() // 2**126 for one in each.holds}) == 1
        assert each.hash_key() // 2**126 == each.holds[0].hash_key() // 2**126


def test_an_aggregate_ends_before_its_size_limit() -> None:
    packed = list(
        Aggregator(FakeKinesis("a"), "s", max_bytes=1000).pack(record(key, bytes(90)) for key in KEYS)
    )
    assert sum(one.user_records for one in packed) == 200
    assert all(sum(held.size for held in one.holds) <= 1000 for one in packed)
    assert len(packed) == 20


def test_a_record_above_the_limit_goes_alone() -> None:
    packed = list(
        Aggregator(FakeKinesis("a"), "s", max_bytes=100).pack([record("k", bytes(500)), record("l")])
    )
    assert [one.user_records for one in packed] == [1, 1]


def test_records_of_one_key_keep_their_order() -> None:
    records = [record(KEYS[number % 3], bytes([number])) for number in range(60)]
    packed = Aggregator(FakeKinesis("a", "b"), "s", max_bytes=100).pack(records)
    held = [one for each in packed for one in each.holds]
    for key in KEYS[:3]:
        assert [one.data for one in held if one.partition_key == key] == [
            one.data for one in records if one.partition_key == key
        ]


def test_an_aggregate_that_a_child_of_its_shard_took_is_sent_again_in_parts() -> None:
    client = FakeKinesis("parent")
    aggregator = Aggregator(client, "s")
    (packed,) = aggregator.pack(map(record, KEYS[:50]))
    assert aggregator.misplaced(packed, "parent") == []
    client.shards, client.closed = ("low", "high"), ("parent",)
    again = aggregator.misplaced(packed, "low")
    assert len(again) == 2
    assert sorted(one.partition_key for each in again for one in each.holds) == sorted(KEYS[:50])
    for each in again:
        assert aggregator.misplaced(each, "low" if each.hash_key() < 2**127 else "high") == []


def test_an_aggregate_that_fits_the_child_that_took_it_stays() -> None:
    client = FakeKinesis("parent")
    aggregator = Aggregator(client, "s")
    low = [record(key) for key in KEYS if record(key).hash_key() < 2**127]
    (packed,) = aggregator.pack(low)
    client.shards, client.closed = ("low", "high"), ("parent",)
    assert aggregator.misplaced(packed, "low") == []
