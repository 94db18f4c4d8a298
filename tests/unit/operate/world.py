"""A bucket into which shard processes have delivered, and commands that act on it."""

import gzip
import io
import json
from collections import Counter
from collections.abc import Sequence

from consumer.domain.chunks import Chunk
from consumer.operate.action import Console
from consumer.operate.dead_letters.command import deadletters_main
from consumer.operate.dead_letters.letters import Letter, letters_of
from consumer.settings import Settings, load
from consumer.sinks.dead_letters import DeadLetterPlace, DeadLetterSink
from consumer.sinks.s3.build import sink_of
from tests.unit.builders import chunk_of
from tests.unit.operate.fake_s3 import FakeS3

NOW = 1_769_860_800.0
COMMON = {"streamName": "logs", "applicationName": "app", "s3.bucket": "bucket", "regionName": "eu-west-1"}
MENDED = "1000"
"""Levels of JSON that the settings allow once they are mended."""
FORMER = "500"
DEAD = "deadletter/app/"
SHARDS = ("shardId-000000000000", "shardId-000000000001")
HOUR_MS = 3_600_000
BEGIN_MS = int(NOW * 1000) - 5 * HOUR_MS


def settings_of(max_depth: str) -> Settings:
    return load("s3", overrides={**COMMON, "s3.max_depth": max_depth})


SETTINGS = {depth: settings_of(depth) for depth in (FORMER, MENDED)}


def deep(number: int, levels: int = 700) -> bytes:
    return b'{"n":%d,"deep":%s}' % (number, b"[" * levels + b"]" * levels)


class World:
    """`chunks` are delivered under the settings as they were before they were mended."""

    def __init__(self, payloads: Sequence[Sequence[bytes]], s3: FakeS3 | None = None) -> None:
        self.s3 = s3 or FakeS3()
        self.chunks: list[tuple[str, Chunk]] = []
        for number, each in enumerate(payloads):
            first, arrival = 1000 * (number + 1), BEGIN_MS + number * HOUR_MS
            self.chunks.append((SHARDS[number % 2], chunk_of(each, first=first, arrival_ms=arrival)))
        for number in range(len(self.chunks)):
            self.deliver(number, FORMER)

    def deliver(self, number: int, max_depth: str) -> None:
        """As a shard process does, for the first time or again."""
        shard, chunk = self.chunks[number]
        sink = sink_of(SETTINGS[max_depth], shard, client=self.s3)
        prepared = sink.prepare(chunk)
        for request in prepared.requests:
            sink.send(request)
        if prepared.rejections:
            place = DeadLetterPlace(
                bucket="bucket", prefix="deadletter/", application="app", stream="logs", shard=shard
            )
            DeadLetterSink(place, lambda: self.s3).write(chunk, prepared.rejections)

    def run(self, *arguments: str, max_depth: str = MENDED) -> tuple[int, str]:
        """The exit code and what was told on standard error."""
        out = io.StringIO()
        code = deadletters_main(
            [
                "s3",
                "--properties=/dev/null",
                *(f"--set={key}={value}" for key, value in COMMON.items()),
                f"--set=s3.max_depth={max_depth}",
                *arguments,
            ],
            console=Console(out, io.StringIO()),
            now=lambda: NOW,
            new_client=lambda settings: self.s3,
        )
        return code, out.getvalue()

    def run_until(self, number: int, *arguments: str) -> bool:
        """Kills the command at its request of this number, before or behind it; whether it came so far."""
        return self.s3.killing(number, lambda: self.run(*arguments))

    def delivered(self) -> list[str]:
        """Keys."""
        return [key for key in sorted(self.s3.objects) if not key.startswith("deadletter/")]

    def lines(self) -> Counter[bytes]:
        """What a reader of the delivered objects sees."""
        keys = self.delivered()
        return Counter(line for key in keys for line in gzip.decompress(self.s3.body(key)).splitlines())

    def dead(self, prefix: str = DEAD) -> list[Letter]:
        return [letter for key in self.s3.keys(prefix) for letter in letters_of(self.s3.body(key))]

    def moved(self, folder: str) -> list[bytes]:
        return sorted(letter.payload for letter in self.dead(f"deadletter/{folder}/app/"))

    def audits(self) -> list[dict[str, object]]:
        return [json.loads(self.s3.body(key)) for key in self.s3.keys("deadletter/audit/app/")]
