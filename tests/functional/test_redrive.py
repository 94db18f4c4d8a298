"""Dead letters of four reasons on the embedded stack: redriven, killed on the way, each is delivered once."""

import gzip
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery as google_bigquery

from consumer.daemon.prepare.bigquery_tables import BigQueryTables
from consumer.daemon.prepare.preparation import Patience, prepare
from consumer.daemon.report.log import Log
from consumer.domain.chunks import Chunk
from consumer.domain.columns import Records
from consumer.domain.dead_letters import ShareGuard, ShareLimit
from consumer.domain.records import Record
from consumer.local import stack as stacks
from consumer.local.stack import Stack
from consumer.settings import PROJECT_ROOT, Backend, Settings, load
from consumer.sinks.build import ShardContext, sink_module
from consumer.sinks.dead_letters import DeadLetterPlace, DeadLetterSink
from consumer.transforms.build import input_judge, transform_of
from consumer.transforms.sink import Step, TransformingSink

pytestmark = pytest.mark.timeout(420)

SHARDS = ("shardId-000000000000", "shardId-000000000001")
FORMER = {"s3.max_depth": "500"}
MENDED = {"s3.max_depth": "600"}
REASONS = 4
CHUNK = 120


@dataclass(frozen=True)
class Scale:
    """`kills` at a request before number `most`, which each of the commands comes to."""

    letters: int
    kills: int
    most: int


SMALL, FULL = Scale(720, 2, 60), Scale(10_000, 10, 450)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stacks.running(tmp_path_factory.mktemp("redrive")) as running:
        yield running.stack


@pytest.fixture(autouse=True)
def credentials(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in stacks.environment(stack).items():
        monkeypatch.setenv(name, value)


@dataclass(frozen=True)
class Era:
    """Settings, and four kinds of records that are bad under them."""

    settings: dict[str, str]
    kinds: list[Callable[[int], bytes]]


@dataclass
class Application:
    """One that has delivered a stream of which four kinds of records are bad, every fifth one good."""

    stack: Stack
    backend: Backend
    named: dict[str, str]
    mended: dict[str, str]

    def settings(self, changes: dict[str, str]) -> Settings:
        return load(self.backend, overrides=self._given(changes))

    def redrive(self, kill: int) -> int:
        given = [f"--set={key}={value}" for key, value in self._given(self.mended).items()]
        command = ["deadletters", self.backend, "redrive", "--yes", "--properties=/dev/null", *given]
        return subprocess.run(
            [
                sys.executable,
                "-m",
                "tests.functional.harness.killed_command",
                str(kill),
                *command,
                "--transform=tests.functional.mending:mend",
            ],
            cwd=PROJECT_ROOT,
            env=os.environ | {"PYTHONPATH": str(PROJECT_ROOT)},
            capture_output=True,
            timeout=300,
            check=False,
        ).returncode

    def deliver(self, letters: int, eras: list[Era]) -> set[int]:
        """As shard processes do under settings that change, until there are so many dead letters; the numbers of all
        records."""
        numbers, buried = 0, 0
        arrival = int(time.time() * 1000) - 3_600_000
        client = self.stack.client("s3")
        while buried < letters:
            shard = SHARDS[numbers // CHUNK % 2]
            era = eras[numbers // CHUNK // 2 % len(eras)]
            former = self.settings(era.settings)
            some = range(numbers, numbers + CHUNK)
            records = [
                Record(bad(number, era.kinds), "key", f"{49 * 10**54 + number}", 0, arrival + number)
                for number in some
            ]
            chunk = Chunk(Records.of(records))
            sink = self._sink(former, shard)
            prepared = sink.prepare(chunk)
            for request in prepared.requests:
                assert not sink.send(request).rejections
            place = DeadLetterPlace(
                bucket=former.text("deadletter.bucket"),
                prefix="deadletter/",
                application=former.text("applicationName"),
                stream=former.stream_name,
                shard=shard,
            )
            DeadLetterSink(place, lambda: client).write(chunk, prepared.rejections)
            buried += len(prepared.rejections)
            numbers += CHUNK
        return set(range(numbers))

    def dead(self) -> int:
        keys = self.keys(f"deadletter/{self.named['applicationName']}/")
        return sum(len(self.lines(key)) for key in keys)

    def reasons(self) -> set[str]:
        keys = self.keys(f"deadletter/{self.named['applicationName']}/")
        return {json.loads(line)["reason"] for key in keys for line in self.lines(key)}

    def keys(self, prefix: str) -> list[str]:
        pages = self.stack.client("s3").get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=self.stack.bucket, Prefix=prefix)
        return [one["Key"] for page in found for one in page.get("Contents", ())]

    def lines(self, key: str) -> list[bytes]:
        body = self.stack.client("s3").get_object(Bucket=self.stack.bucket, Key=key)["Body"].read()
        return gzip.decompress(body).splitlines()

    def _sink(self, settings: Settings, shard: str) -> Any:
        guard = partial(ShareGuard, ShareLimit(1.0, 1000))
        context = ShardContext(settings=settings, shard=shard, start=None, new_guard=guard, sleep=time.sleep)
        sink = sink_module(settings).build(context)
        transform = transform_of(settings)
        if transform is None:
            return sink
        step = Step(
            transform,
            input_judge(settings),
            give_way=lambda: None,
            tell_slow=lambda position, seconds: None,
        )
        return TransformingSink(sink, step)

    def _given(self, changes: dict[str, str]) -> dict[str, str]:
        return {**stacks.overrides(self.stack, self.backend), **self.named, **changes}


def bad(number: int, kinds: list[Callable[[int], bytes]]) -> bytes:
    """Every fifth is good, and each of four kinds is bad in its own way."""
    if number % (REASONS + 1) == 0:
        return b'{"player_id":"%x","n":%d}' % (number % 16, number)
    return kinds[number % (REASONS + 1) - 1](number)


def deep(number: int, levels: int) -> bytes:
    return b'{"player_id":"%x","n":%d,"deep":%s}' % (number % 16, number, b"[" * levels + b"]" * levels)


S3_KINDS: list[Callable[[int], bytes]] = [
    lambda number: b"not json n=%d" % number,
    lambda number: b'{"half n=%d' % number,
    lambda number: deep(number, 550),
    lambda number: b'{"n=%d": \xff}' % number,
]
BIGQUERY_KINDS: list[Callable[[int], bytes]] = [
    lambda number: b"not json n=%d" % number,
    lambda number: b'{"n":"n=%d"}' % number,  # no key
    lambda number: b'{"player_id":"zz","n":"n=%d"}' % number,
    lambda number: b'{"player_id":"0","n":"n=%d","deep":%s}' % (number, b"[" * 550 + b"]" * 550),
]


def redriven_with_kills(application: Application, scale: Scale) -> None:
    chosen = random.Random(20)
    killed = sum(application.redrive(chosen.randrange(1, scale.most)) < 0 for _ in range(scale.kills))
    assert killed == scale.kills
    assert application.redrive(0) == 0
    assert application.dead() == 0
    again = application.redrive(0)
    assert again == 1  # there is nothing to do


SCALES = [SMALL, pytest.param(FULL, marks=[pytest.mark.long, pytest.mark.timeout(1800)])]


@pytest.mark.parametrize("scale", SCALES, ids=["some", "10000"])
def test_S3_holds_each_record_once(stack: Stack, scale: Scale) -> None:
    name = f"redrive-s3-{scale.letters}"
    own = {"applicationName": name, "s3.prefix": f"{name}/"}
    application = Application(stack, "s3", own, MENDED)
    unvalidated = Era({"s3.validate_json": "false"}, [lambda number: b"two\nlines n=%d" % number] * REASONS)
    broken = [lambda number: b'{"player_id":"0","n":%d,"broken":1}' % number] * REASONS
    transformed = Era({"transform": "tests.functional.mending:refuse_broken"}, broken)
    numbers = application.deliver(scale.letters, [Era(FORMER, S3_KINDS), unvalidated, transformed])
    assert application.reasons() == {"not_json", "too_deep", "raw_newline", "transform_failed"}
    redriven_with_kills(application, scale)
    lines = [json.loads(line) for key in application.keys(f"{name}/") for line in application.lines(key)]
    assert Counter(line["n"] for line in lines) == Counter(numbers)


@pytest.mark.parametrize("scale", SCALES, ids=["some", "10000"])
@pytest.mark.parametrize("method", ["insert_all", "storage_write"])
def test_bigquery_holds_each_row_once(stack: Stack, method: str, scale: Scale) -> None:
    name = f"redrive-{method.replace('_', '-')}-{scale.letters}"
    table = name.replace("-", "_")
    own = {
        "applicationName": name,
        "bigquery.method": method,
        "bigquery.table_prefix": table,
        "deadletter.max_ratio": "1",
    }
    application = Application(stack, "bigquery", own, {})
    settings = application.settings({})
    tables = BigQueryTables(settings)
    patience = Patience(timeout_seconds=60, monotonic=lambda: 0.0, pause=lambda seconds: False, tell=print)
    log = Log(backend="bigquery", level="ERROR", clock=lambda: 0.0, write=lambda line: None)
    tables.ensure_dataset()
    prepare(tables.table_steps(), patience=patience, log=log)
    # where good rows go is no matter here: insertAll serves both
    writes = Application(stack, "bigquery", {**own, "bigquery.method": "insert_all"}, {})
    numbers = writes.deliver(scale.letters, [Era({}, BIGQUERY_KINDS)])
    assert application.reasons() == {"not_json", "no_key", "bad_key", "too_deep"}
    redriven_with_kills(application, scale)
    client = google_bigquery.Client(
        project=stack.project,
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": stack.bigquery_endpoint},
    )
    rows: Counter[int] = Counter()
    for digit in "0123456789abcdef":
        query = f"SELECT JSON_VALUE(log, '$.n') FROM `{stack.dataset}.{table}_{digit}`"
        rows.update(int(row[0]) for row in client.query_and_wait(query))
    assert rows == Counter(numbers)
