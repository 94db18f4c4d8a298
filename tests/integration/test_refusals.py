"""What a command of an operator refuses, and that nothing is changed then: one clear line, exit code 1.

A new command gets its rows in REFUSALS. S3, DynamoDB and BigQuery of the embedded stack are compared as a whole.
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from consumer import cli
from consumer.local import stack as stacks
from consumer.local.faults.control import FaultControl
from consumer.local.faults.rules import Answer, Rule
from consumer.local.readback import BigQueryReader
from consumer.local.stack import Stack
from consumer.operate import patience
from consumer.settings import load
from consumer.sinks.dead_letters import DeadLetterPlace, DeadLetterSink
from consumer.sinks.s3.build import sink_of
from tests.unit.builders import chunk_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

APPLICATION, HAS_READ = "app", "reader"
SHARD = "shardId-000000000000"
NOWHERE = "http://127.0.0.1:9"
NOBODY = "--set=applicationName=nobody"
FUTURE = "2999-01-01T00:00Z"

DENIED = Answer(status=403, code="AccessDenied")
NO_BUCKET_RIGHTS, NO_WRITING = "no rights on the bucket", "no right to write there"
RULES = {
    NO_BUCKET_RIGHTS: Rule(action=DENIED, service="s3"),
    NO_WRITING: Rule(action=DENIED, service="s3", operation="PutObject"),
}
DAEMON_RUNS = "a daemon runs"

type Command = Sequence[str]

LIST, SHOW = ("deadletters", "list"), ("deadletters", "show")
REDRIVE, DISCARD = ("deadletters", "redrive", "--yes"), ("deadletters", "discard", "--yes")
PAUSE, RESUME = ("pause", "--yes"), ("resume", "--yes")
POSITIONS, SET = ("checkpoint", "show"), ("checkpoint", "set", "--to=TRIM_HORIZON", "--yes")
UNDO = ("checkpoint", "undo", "--of=deadletter/audit/app/dt=2026-01-31/one.before", "--yes")
REPLAY, NOTHING = ("replay", "--from=1h", "--to=0s", "--yes"), ("--from=2h", "--to=1h")
RECONCILE = ("reconcile", "--from=3h")
READER = f"--set=applicationName={HAS_READ}"


@dataclass(frozen=True)
class Refusal:
    """`says` stands in the last line; `world` is what is otherwise than usual."""

    case: str
    command: Command
    says: str
    options: Sequence[str] = ()
    world: str = ""
    backend: str = "s3"

    @property
    def arguments(self) -> list[str]:
        """`reconcile` is of both backends."""
        command, *rest = self.command
        return [command, *([] if command == "reconcile" else [self.backend]), *rest]


def refusals() -> Iterator[Refusal]:
    command: Command
    yield Refusal("a running daemon", SET, "a daemon of app runs on this host. Stop all", world=DAEMON_RUNS)

    beneath = "beneath s3://player-logs/deadletter/nobody/; there are some of app"
    unknown = f"no dead letters of applicationName nobody {beneath}"
    for command in (LIST, SHOW, REDRIVE, DISCARD):
        yield Refusal("a wrong application", command, unknown, [NOBODY])
    for command in (PAUSE, RESUME):
        yield Refusal(
            "a wrong application", command, "no worker of this application has ever started", [NOBODY]
        )
    for command in (POSITIONS, SET, REPLAY, RECONCILE):
        yield Refusal("a wrong application", command, 'lease table "nobody" does not exist', [NOBODY])
    yield Refusal(
        "a replay",
        REPLAY,
        "app-replay-0 is a replay itself: name the application",
        ["--set=applicationName=app-replay-0"],
    )
    yield Refusal(
        "an application that has not begun",
        RECONCILE,
        f"cannot be told how far app {SHARD} has come: begins at LATEST",
    )
    yield Refusal(
        "an application that is not past the range",
        REPLAY,
        f"how far app has delivered {SHARD} is not known: begins at LATEST",
        backend="bigquery",
    )
    yield Refusal(
        "an application that is not past the range",
        REPLAY,
        f"{HAS_READ} itself has still to deliver {SHARD} from ",
        [READER],
        backend="bigquery",
    )
    yield Refusal(
        "what nobody has kept", UNDO, "nothing to undo: there is no s3://player-logs/deadletter/audit"
    )

    for command in (LIST, SHOW, DISCARD, SET, REPLAY):
        yield Refusal(
            "a bucket without rights", command, "the role needs s3:ListBucket", world=NO_BUCKET_RIGHTS
        )
    yield Refusal(
        "a bucket without rights",
        RECONCILE,
        "the role needs s3:ListBucket",
        [READER],
        world=NO_BUCKET_RIGHTS,
    )
    for command in (REDRIVE, UNDO):
        yield Refusal(
            "a bucket without rights", command, "the role needs s3:GetObject", world=NO_BUCKET_RIGHTS
        )
    for command in (REDRIVE, DISCARD, PAUSE, SET, REPLAY):
        yield Refusal(
            "a bucket that takes nothing",
            command,
            "nothing was changed: the audit cannot be written to s3://player-logs/deadletter/audit/app/",
            world=NO_WRITING,
        )

    for command in (LIST, SHOW, REDRIVE, DISCARD):
        yield Refusal("an empty range", command, "an empty range: --since", ["--since=1h", "--until=2h"])
        yield Refusal(
            "the future", command, "--since: 2999-01-01T00:00:00Z is in the future", [f"--since={FUTURE}"]
        )
    for command in (REDRIVE, DISCARD):
        yield Refusal("an empty range", command, "nothing to do: no dead letter of app", ["--since=3d"])
        yield Refusal(
            "an unknown shard", command, "nothing to do: no dead letter of app", ["--shard=shardId-9"]
        )
    for command in (REPLAY, RECONCILE):
        yield Refusal("an empty range", command, "an empty range: --from", ["--from=1h", "--to=2h"])
        yield Refusal(
            "the future", command, "--to: 2999-01-01T00:00:00Z is in the future", [f"--to={FUTURE}"]
        )
        yield Refusal(
            "the future", command, "--from: 2999-01-01T00:00:00Z is in the future", [f"--from={FUTURE}"]
        )
    yield Refusal("an empty range", REPLAY, "an empty range: no record arrived from", NOTHING)
    yield Refusal(
        "an empty range",
        RECONCILE,
        "nothing to compare yet: no whole hour of the range is over",
        ["--from=1s", READER],
    )
    yield Refusal("an unknown shard", REPLAY, "no such shard: shardId-9", ["--shards=shardId-9"])
    yield Refusal("the future", SET, "--to: 2999-01-01T00:00:00Z is in the future", [f"--to={FUTURE}"])

    yield Refusal("an unknown shard", POSITIONS, "app has no lease of shardId-9", ["--shards=shardId-9"])
    yield Refusal(
        "an unknown shard",
        SET,
        f"stream player-logs has no shard shardId-9; it has {SHARD}",
        ["--shards=shardId-9"],
    )
    yield Refusal(
        "a place for one shard", SET, "belongs to one shard: name it by --shards", [f"--to={'4' * 56}"]
    )
    yield Refusal(
        "a record of another shard",
        SET,
        f"{SHARD} holds no record {'9' * 56}: a sequence number of another shard or stream?",
        [f"--to={'9' * 56}", f"--shards={SHARD}"],
    )

    for command in (SET, REPLAY):
        yield Refusal(
            "a stream that is gone",
            command,
            'streamName: stream "gone" does not exist',
            ["--set=streamName=gone"],
        )
    yield Refusal(
        "two streams", RECONCILE, "gone goes to S3, player-logs to BigQuery", ["--set-s3=streamName=gone"]
    )

    for command in (LIST, SHOW, REDRIVE, DISCARD, UNDO):
        yield Refusal("no answer", command, NOWHERE, [f"--set=s3.endpoint_url={NOWHERE}"])
    for command in (PAUSE, RESUME, POSITIONS, SET, REPLAY, RECONCILE):
        yield Refusal(
            "no answer",
            command,
            f"dynamoDBEndpoint: nothing answers for DynamoDB (dynamoDBEndpoint {NOWHERE}",
            [f"--set=dynamoDBEndpoint={NOWHERE}"],
        )
    for command in (SET, REPLAY):
        yield Refusal(
            "no answer",
            command,
            f"kinesisEndpoint: nothing answers for Kinesis (kinesisEndpoint {NOWHERE}",
            [f"--set=kinesisEndpoint={NOWHERE}"],
        )

    for command in (REDRIVE, DISCARD, PAUSE, SET, REPLAY):
        without = [word for word in command if word != "--yes"]
        yield Refusal("nobody to ask", without, "there is no terminal to ask on, so --yes is needed")


REFUSALS = list(refusals())


class World:
    """A stack on which an application has run once, and dead letters of it."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack = stack
        self._folder = folder
        self._dynamodb = stack.client("dynamodb")
        self._s3 = stack.client("s3")
        self._tables = BigQueryReader(stack, time_column="ts")
        self.make_tables()
        self.deliver()
        stack.client("kinesis").put_record(StreamName=stack.stream, Data=b"{}", PartitionKey="a")

    def make_tables(self) -> None:
        names = {APPLICATION: "leaseKey", f"{APPLICATION}-CoordinatorState": "key", HAS_READ: "leaseKey"}
        for name, key in names.items():
            self._dynamodb.create_table(
                TableName=name,
                KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )
        for name, checkpoint in ((APPLICATION, "LATEST"), (HAS_READ, "TRIM_HORIZON")):
            for shard in (SHARD, "shardId-000000000001"):
                self._dynamodb.put_item(
                    TableName=name,
                    Item={
                        "leaseKey": {"S": shard},
                        "leaseCounter": {"N": "7"},
                        "leaseOwner": {"S": "worker"},
                        "checkpoint": {"S": checkpoint},
                        "checkpointSubSequenceNumber": {"N": "0"},
                    },
                )

    def deliver(self) -> None:
        """A line, and beside it a record that is too deep."""
        settings = load("s3", overrides=stacks.overrides(self.stack, "s3"))
        deep = b"[" * 600 + b"]" * 600
        chunk = chunk_of([b'{"n":1}', deep], first=1000, arrival_ms=1_769_860_800_000)
        sink = sink_of(settings, SHARD, client=self._s3)
        prepared = sink.prepare(chunk)
        for request in prepared.requests:
            sink.send(request)
        place = DeadLetterPlace(
            bucket=self.stack.bucket,
            prefix="deadletter/",
            application=APPLICATION,
            stream=self.stack.stream,
            shard=SHARD,
        )
        DeadLetterSink(place, lambda: self._s3).write(chunk, prepared.rejections)

    def everything(self) -> dict[str, Any]:
        """All that the backends hold."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.stack.bucket)
        objects = {one["Key"]: one["ETag"] for page in pages for one in page.get("Contents", ())}
        tables = self._dynamodb.list_tables()["TableNames"]
        items = {
            name: sorted(map(repr, self._dynamodb.scan(TableName=name, ConsistentRead=True)["Items"]))
            for name in tables
        }
        rows = {name: self._tables.counts(name) for name in self._tables.tables()}
        return {"s3": objects, "dynamodb": items, "bigquery": rows}

    @contextmanager
    def otherwise(self, how: str) -> Iterator[None]:
        faults = FaultControl(self.stack.aws_endpoint)
        if how in RULES:
            faults.put("denied", RULES[how])
        try:
            if how == DAEMON_RUNS:
                with self._daemon():
                    yield
            else:
                yield
        finally:
            faults.clear()

    @contextmanager
    def _daemon(self) -> Iterator[None]:
        """As health and others see one: a lock that is held, and its settings."""
        place = self._folder / APPLICATION
        place.mkdir()
        settings = load(
            "s3", overrides={**stacks.overrides(self.stack, "s3"), "applicationName": APPLICATION}
        )
        (place / "settings.json").write_bytes(settings.dump())
        with (place / "lock").open("w+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            yield

    def options(self, backend: str) -> list[str]:
        chosen = {
            "applicationName": APPLICATION,
            "worker.state_dir": str(self._folder),
            "failoverTimeMillis": "100",
        }
        if backend == "s3":
            chosen["s3.max_depth"] = "1000"
        return ["--local", *(f"--set={key}={value}" for key, value in chosen.items())]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("stack")
    with stacks.running(folder, shards=2) as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONSUMER_LOCAL_DIR", str(folder))
        for name, value in stacks.environment(running.stack).items():
            patch.setenv(name, value)
        patch.setattr(boto3, "DEFAULT_SESSION", None)
        patch.setattr(patience, "UNANSWERED_SECONDS", 0.5)
        yield World(running.stack, tmp_path_factory.mktemp("workers"))


@pytest.mark.parametrize("row", REFUSALS, ids=lambda row: f"{' '.join(row.arguments[:3])}: {row.case}")
def test_a_command_that_refuses_says_why_in_a_line_and_changes_nothing(
    world: World, row: Refusal, capsys: pytest.CaptureFixture[str]
) -> None:
    before = world.everything()
    with world.otherwise(row.world):
        code = cli.main([*row.arguments, *world.options(row.backend), *row.options])
    output = capsys.readouterr()
    said = output.err.splitlines()
    assert (code, output.out) == (1, "")
    assert row.says in said[-1], said
    assert "Traceback" not in output.err
    is_told_more = {"set", "replay", "reconcile"} & set(row.command)  # what is planned or compared
    may_have_told_more = is_told_more or row.says == NOWHERE  # that it is repeated
    assert len(said) == 1 or may_have_told_more
    assert world.everything() == before
