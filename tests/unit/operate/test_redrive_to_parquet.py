"""Dead letters come back once into objects of Parquet: killed anywhere, repeated, beside replays of either kind."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from consumer.operate import lock
from consumer.operate.action import Console
from consumer.operate.dead_letters.command import deadletters_main
from consumer.operate.dead_letters.letters import letters_of
from consumer.settings import Settings, load
from consumer.sinks.dead_letters import DeadLetterPlace, DeadLetterSink
from consumer.sinks.s3.build import sink_of
from tests.unit.builders import chunk_of
from tests.unit.operate.fake_s3 import FakeS3
from tests.unit.operate.world import COMMON, DEAD, NOW, SHARDS

SCHEMA = [{"name": "time", "type": "TIMESTAMP"}, {"name": "n", "type": "INTEGER"}]


@pytest.fixture(autouse=True)
def ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that was killed here leaves this process running."""
    monkeypatch.setattr(lock.Holder, "has_ended", lambda self: True)


@pytest.fixture
def schema(tmp_path: Path) -> str:
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(SCHEMA))
    return str(file)


@cache
def settings_of(schema: str, unknown: str) -> Settings:
    return load("s3", overrides=dict(given(schema, unknown)))


def given(schema: str, unknown: str) -> tuple[tuple[str, str], ...]:
    form = {**COMMON, "s3.format": "parquet"}
    return tuple(
        ({**form, "s3.schema_file": schema, "s3.unknown_fields": unknown} if schema else form).items()
    )


class World:
    """A chunk of Parquet, of which records with a field without a column are dead letters until the settings are mended
    to leave that field out."""

    def __init__(self, schema: str, payloads: Sequence[bytes]) -> None:
        self.s3 = FakeS3()
        self.schema = schema
        self.payloads = payloads
        self.deliver("reject")

    def deliver(self, unknown: str) -> None:
        """As a shard process does, for the first time or again."""
        sink = sink_of(settings_of(self.schema, unknown), SHARDS[0], client=self.s3)
        chunk = chunk_of(self.payloads, first=1000, arrival_ms=int(NOW * 1000) - 3_600_000)
        prepared = sink.prepare(chunk)
        if prepared.rejections:
            place = DeadLetterPlace(
                bucket="bucket", prefix="deadletter/", application="app", stream="logs", shard=SHARDS[0]
            )
            DeadLetterSink(place, lambda: self.s3).write(chunk, prepared.rejections)
        for request in prepared.requests:
            sink.send(request)

    def redrive(self, *arguments: str) -> tuple[int, str]:
        out = io.StringIO()
        code = deadletters_main(
            [
                "s3",
                "redrive",
                "--yes",
                "--properties=/dev/null",
                *(f"--set={key}={value}" for key, value in given(self.schema, "ignore")),
                *arguments,
            ],
            console=Console(out, io.StringIO()),
            now=lambda: NOW,
            new_client=lambda settings: self.s3,
        )
        return code, out.getvalue()

    def killed(self, number: int) -> bool:
        """At its request of this number, before or behind it; whether it came so far."""
        return self.s3.killing(number, self.redrive)

    def rows(self, column: str = "n") -> Counter[Any]:
        """What a reader of the delivered objects sees."""
        keys = self.s3.keys("player-log/")
        return Counter(
            value
            for key in keys
            for value in parquet.read_table(io.BytesIO(self.s3.body(key)))[column].to_pylist()
        )

    def dead(self) -> int:
        return sum(len(list(letters_of(self.s3.body(key)))) for key in self.s3.keys(DEAD))


PAYLOADS = [b'{"n":1}', b'{"n":2,"x":1}', b'{"n":3}', b'{"n":2,"x":1}', b'{"n":4,"x":{"y":[1]}}']
ALL = Counter({1: 1, 2: 2, 3: 1, 4: 1})


def test_all_are_appended_once_and_a_second_redrive_does_nothing(schema: str) -> None:
    world = World(schema, PAYLOADS)
    assert (world.rows(), world.dead()) == (Counter({1: 1, 3: 1}), 3)
    code, told = world.redrive()
    assert code == 0, told
    assert (world.rows(), world.dead()) == (ALL, 0)
    [key] = world.s3.keys("player-log/")
    assert world.s3.objects[key].options["ContentType"] == "application/vnd.apache.parquet"
    before = dict(world.s3.objects)
    assert world.redrive()[0] == 1
    assert world.s3.objects == before


def test_killed_at_any_request_it_finishes_and_nothing_is_lost_or_doubled(schema: str) -> None:
    number = 0
    while True:
        world = World(schema, PAYLOADS)
        if not world.killed(number):
            break
        number += 1
        assert world.redrive()[0] in (0, 1)  # 1: all was done
        assert (world.rows(), world.dead()) == (ALL, 0)
    assert number > 20


def test_what_a_replay_has_delivered_is_not_added(schema: str) -> None:
    world = World(schema, PAYLOADS)
    world.deliver("ignore")
    assert (world.rows(), world.dead()) == (ALL, 3)
    assert world.redrive()[0] == 0
    assert (world.rows(), world.dead()) == (ALL, 0)


def test_a_replay_under_the_former_settings_brings_the_dead_letters_back(schema: str) -> None:
    world = World(schema, PAYLOADS)
    world.redrive()
    world.deliver("reject")
    assert (world.rows(), world.dead()) == (Counter({1: 1, 3: 1}), 3)
    world.redrive()
    assert (world.rows(), world.dead()) == (ALL, 0)


def test_an_object_that_was_never_written_is_made(schema: str) -> None:
    world = World(schema, [b'{"n":5,"x":1}'])
    assert world.rows() == Counter()
    assert world.redrive()[0] == 0
    assert world.rows() == Counter([5])


def test_rows_that_hold_the_record_tell_what_was_delivered() -> None:
    world = World("", [b'{"n":1}', b"oops 1"])
    code, told = world.redrive("--transform=tests.unit.operate.mend:mend")
    assert code == 0, told
    assert world.rows("log").total() == 2
    assert world.dead() == 0


def test_an_object_of_other_columns_is_not_touched(schema: str, tmp_path: Path) -> None:
    world = World(schema, PAYLOADS)
    before = world.rows()
    other = tmp_path / "other.json"
    other.write_text(json.dumps([*SCHEMA, {"name": "x", "type": "JSON"}]))
    world.schema = str(other)
    code, told = world.redrive()
    assert code == 1
    assert "its columns are not those of the settings (s3.schema_file)" in told
    assert (world.rows(), world.dead()) == (before, 3)
