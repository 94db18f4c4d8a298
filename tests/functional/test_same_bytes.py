"""I2 in every format: whatever the batches, kills and restarts, the same records are the same objects."""

import json
import random
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.functional.conftest import StartShard
from tests.functional.harness.kcl import Kcl, Message, record
from tests.functional.harness.s3_stub import Rule, S3Stub, held_until
from tests.functional.harness.shard_settings import s3_settings

SCHEMA = [
    {"name": "player_id", "type": "STRING"},
    {"name": "time", "type": "TIMESTAMP", "mode": "REQUIRED"},
    {"name": "score", "type": "INTEGER"},
    {"name": "note", "type": "JSON"},
    {"name": "tags", "type": "STRING", "mode": "REPEATED"},
]
FORMATS = {
    "ndjson.gz": {"s3.format": "ndjson.gz"},
    "ndjson.zst": {"s3.format": "ndjson.zst"},
    "parquet": {"s3.format": "parquet"},
    "parquet fields": {"s3.format": "parquet", "s3.unknown_fields": "ignore"},
}
RECORDS = 3000


def payload(number: int) -> bytes:
    """One of three kinds, with a score that has to be adjusted, or does not fit; some are no JSON."""
    if number % 97 == 5:
        return b"nope"
    fields = {
        "kind": ("Free Kick", "pass", None)[number % 3],
        "player_id": f"{number:04x}",
        "score": "none" if number % 89 == 2 else str(number),
        "note": {"text": "é" * (number % 5)},
        "tags": ["a"] * (number % 3),
    }
    return json.dumps(fields, ensure_ascii=number % 2 == 0).encode()


MESSAGES = [
    record(number, payload(number), arrival_ms=1_700_000_000_000 + 40 * number)
    for number in range(1, RECORDS + 1)
]


def held_after(puts: int, gate: threading.Event) -> Rule:
    return lambda put: held_until(gate) if put.number > puts else None


def whole(kcl: Kcl, messages: Sequence[Message], sizes: Iterable[int]) -> None:
    for batch in batches(messages, sizes):
        kcl.process(batch)
    kcl.end_shard()
    assert kcl.finish() == 0


def batches(messages: Sequence[Message], sizes: Iterable[int]) -> Iterator[Sequence[Message]]:
    place = 0
    for size in sizes:
        yield messages[place : place + size]
        place += size
    yield messages[place:]


@pytest.mark.parametrize("name", FORMATS)
def test_I2_kills_restarts_and_other_batches_write_the_same_bytes(
    name: str, start_shard: StartShard, tmp_path: Path
) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps(SCHEMA))
    chosen = {
        **FORMATS[name],
        **({"s3.schema_file": str(schema)} if "fields" in name else {}),
        "s3.key_template": "kind={kind|none}/minute=%H-%M",
        "s3.max_routes": "4",
        "chunk.max_records": "250",
        "delivery.max_in_flight_chunks": "100",
        "deadletter.max_ratio": "1",
    }
    first, second = S3Stub(), S3Stub()
    try:
        calm = start_shard(s3_settings(first, chosen))
        calm.initialize()
        whole(calm, MESSAGES, [1000, 1000])

        chance = random.Random(name)
        start, gate = 0, threading.Event()
        for puts in (6, 25):
            second.rule = held_after(puts, gate)
            killed = start_shard(s3_settings(second, chosen))
            killed.initialize(str(start) if start else "TRIM_HORIZON")
            held = len(second.held)
            for batch in batches(MESSAGES[start:], [chance.randint(1, 400) for _ in range(5)]):
                killed.process(batch)
            second.wait_for_held(held + 1)
            killed.kill()
            start = max([start, *(int(sequence) for sequence, _ in killed.confirmed if sequence)])
            assert second.objects.keys() < first.objects.keys()
        second.rule = lambda put: None
        ordered = start_shard(s3_settings(second, chosen))
        ordered.initialize(str(start) if start else "TRIM_HORIZON")
        ordered.process(MESSAGES[start : start + 600])
        ordered.shut_down()
        assert ordered.finish() == 0
        start = int(ordered.confirmed[-1][0] or 0)
        last = start_shard(s3_settings(second, chosen))
        last.initialize(str(start))
        whole(last, MESSAGES[start:], [chance.randint(1, 90) for _ in range(7)])

        assert len(first.objects) > 40
        assert second.objects == first.objects
        assert second.one_content_per_key()
        assert len(second.versions) > len(second.objects)
    finally:
        first.close()
        second.close()
