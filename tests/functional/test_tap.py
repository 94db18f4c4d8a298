"""`tap` as a process beside real shard processes: what it says of a record is held against where that record is."""

import gzip
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any

import pytest

from consumer.settings import Settings
from tests.functional.conftest import StartShard
from tests.functional.harness.bigquery_stub import BigQueryStub, Insert, row_errors
from tests.functional.harness.dynamodb_stub import DynamoStub
from tests.functional.harness.http_stub import HttpStub, Reply
from tests.functional.harness.kcl import PROJECT, SAFETY_SECONDS, Kcl, Message, record
from tests.functional.harness.s3_stub import S3Stub
from tests.functional.harness.shard_settings import bigquery_settings, s3_settings, storage_write_settings
from tests.functional.harness.storage_write_stub import StorageWriteStub
from tests.unit.sinks.bigquery.load.fake_google import FakeGoogle

type Where = Callable[[], set[tuple[str, int]]]
"""Each delivered record by the place where it is found and its number."""

HOUR_MS = 3_600_000
REFUSED = 8
"""The number of a record that the backend itself refuses, where it can."""

ALL = {"chunk.max_records": "10", "deadletter.max_ratio": "1"}


class Listening:
    """A tap in a process of its own, at a state directory whose locks this process holds."""

    def __init__(self, state_dir: Path, backend: str, *options: str, stdout: int = subprocess.PIPE) -> None:
        before = requests(state_dir)
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "consumer", "tap", backend),
                *(f"--set=worker.state_dir={state_dir}", "--rate=100", *options),
            ],
            cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
        )
        await_that(lambda: requests(state_dir) > before or self.process.poll() is not None)
        assert self.process.poll() is None, self.process.communicate()

    def finished(self) -> tuple[list[dict[str, Any]], str]:
        """What it has shown, and what it has said."""
        out, err = self.process.communicate(timeout=SAFETY_SECONDS)
        assert self.process.returncode == 0, err
        return [json.loads(line) for line in out.splitlines()], err

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


def requests(state_dir: Path) -> int:
    return len([*state_dir.glob("*/taps/*.json")])


def await_that(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SAFETY_SECONDS
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)  # there is no event for a file that appears


type Listen = Callable[..., Listening]


@pytest.fixture
def listen(tmp_path: Path) -> Iterator[Listen]:
    """A tap at the shard process that `start_shard` starts first, of which it need not be there yet."""
    with ExitStack() as stack:

        def listen(settings: Settings, *options: str, **named: int) -> Listening:
            folder = tmp_path / "shard-0"
            folder.mkdir(exist_ok=True)
            (folder / "settings.json").write_bytes(settings.dump())
            if not (folder / "lock").exists():
                lock = stack.enter_context((folder / "lock").open("w"))
                lock.write(f"{os.getpid()}\n")
                lock.flush()
                flock(lock, LOCK_EX)
            listening = Listening(tmp_path, settings.backend, *options, **named)
            stack.callback(listening.kill)
            return listening

        yield listen


def log(number: int) -> Message:
    """Every seventh is no JSON; they are for several tables, and of several hours."""
    hour = number % 3
    content = {
        "player_id": f"{number % 5:x}{number:031x}",
        "time": f"2023-11-14T{10 + hour}:00:00Z",
        "number": number,
    }
    payload = b"oops" if number % 7 == 0 else json.dumps(content).encode()
    return record(number, payload, arrival_ms=1_700_000_000_000)


# Backends, and where records are found in them


class LoadStub(HttpStub):
    """BigQuery's load jobs."""

    def __init__(self) -> None:
        self.google = _Tables()
        super().__init__()

    def handle(self, path: str, body: bytes, number: int) -> Reply:
        if path.endswith("/insertAll"):
            return Reply(*self.google.post(path, body))
        answer = self.google.request("POST", path, body)
        return Reply(answer.status, answer.body)


class _Tables(FakeGoogle):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[tuple[str, int]] = set()

    def _begin(self, job: dict[str, Any], content: bytes) -> Any:
        table = job["configuration"]["load"]["destinationTable"]["tableId"]
        rows = [json.loads(line) for line in gzip.decompress(content).splitlines()]
        self.found |= {(table, row["log"]["number"]) for row in rows}
        return super()._begin(job, content)


class Backends:
    """A method's settings, and where its records are found."""

    def __init__(self, s3: S3Stub, dynamodb: DynamoStub, bigquery: BigQueryStub) -> None:
        self._s3, self._dynamodb, self._bigquery = s3, dynamodb, bigquery
        self._stack = ExitStack()

    def of(self, method: str) -> tuple[Callable[[dict[str, str]], Settings], Where]:
        match method:
            case "s3":
                by_hour = {"s3.partition_time": "record", "s3.partition": "dt=%Y-%m-%d/hour=%H"}
                return (lambda changes: s3_settings(self._s3, {**by_hour, **changes})), self._objects
            case "insert_all":
                self._bigquery.answer = self._refuse
                return (lambda changes: bigquery_settings(self._bigquery, self._s3, changes)), self._rows
            case "load":
                load = LoadStub()
                self._stack.callback(load.close)
                own = {"bigquery.method": "load", "bigquery.api_endpoint": load.url}
                return (
                    lambda changes: bigquery_settings(self._bigquery, self._s3, {**own, **changes})
                ), lambda: load.google.found
        google = StorageWriteStub()
        self._stack.callback(google.close)
        return (
            lambda changes: storage_write_settings(google.url, self._dynamodb.url, self._s3, changes)
        ), lambda: {
            (stream.table.rpartition("/")[2], json.loads(row["log"])["number"])
            for stream in google.streams.values()
            for row in stream.rows
        }

    def dead(self) -> set[tuple[str, int]]:
        return {
            (f"s3://{self._s3.bucket}/{key}", int(json.loads(line)["sequence_number"]))
            for key, body in self._s3.objects.items()
            if key.startswith("deadletter/")
            for line in gzip.decompress(body).splitlines()
        }

    def close(self) -> None:
        self._stack.close()

    def _objects(self) -> set[tuple[str, int]]:
        return {
            (f"s3://{self._s3.bucket}/{key}", json.loads(line)["number"])
            for key, body in self._s3.objects.items()
            if not key.startswith("deadletter/")
            for line in gzip.decompress(body).splitlines()
        }

    def _rows(self) -> set[tuple[str, int]]:
        return {(table, json.loads(row["log"])["number"]) for table, _, row in self._bigquery.rows}

    def _refuse(self, insert: Insert) -> Reply | None:
        bad = [
            place
            for place, row in enumerate(insert.rows)
            if json.loads(row["json"]["log"])["number"] == REFUSED
        ]
        if not bad:
            return None
        insert.rows[:] = [row for place, row in enumerate(insert.rows) if place not in bad]
        self._bigquery.store(insert)
        return row_errors(*((place, "invalid") for place in bad))


@pytest.fixture
def backends(s3: S3Stub, dynamodb: DynamoStub, bigquery: BigQueryStub) -> Iterator[Backends]:
    made = Backends(s3, dynamodb, bigquery)
    yield made
    made.close()


METHODS = ("s3", "insert_all", "load", "storage_write")


@pytest.mark.parametrize("native", ["true", "false"], ids=["C", "Python"])
@pytest.mark.parametrize("method", METHODS)
def test_a_record_is_where_the_tap_says(
    backends: Backends, start_shard: StartShard, listen: Listen, method: str, native: str
) -> None:
    configure, where = backends.of(method)
    settings = configure({**ALL, "shard.native": native})
    tap = listen(settings, "--json", "--limit=30")
    kcl = start_shard(settings)
    kcl.initialize()
    for first in range(1, 31, 10):  # a chunk each
        kcl.process([log(number) for number in range(first, first + 10)])
    kcl.tick_until_confirmed(30)
    shown, said = tap.finished()
    told = {(one["place"], int(one["sequence_number"])) for one in shown if one["outcome"] == "delivered"}
    dead = {(one["place"], int(one["sequence_number"])) for one in shown if one["outcome"] == "dead_letter"}
    assert told == where()
    assert dead == backends.dead()
    assert {number for _, number in told | dead} == set(range(1, 31))
    reasons = {int(one["sequence_number"]): one["reason"] for one in shown if one["reason"]}
    refused = {REFUSED: "rejected"} if method == "insert_all" else {}
    assert reasons == {**dict.fromkeys(range(7, 31, 7), "not_json"), **refused}
    payloads = {int(one["sequence_number"]): one["payload"] for one in shown}
    assert payloads[7] == "oops"
    assert json.loads(payloads[30])["number"] == 30
    assert said.endswith("30 shown of 30 records that passed\n")


def test_records_that_are_read_again_have_no_new_place(
    backends: Backends, start_shard: StartShard, listen: Listen, tmp_path: Path
) -> None:
    configure, where = backends.of("storage_write")
    settings = configure(ALL)
    first = start_shard(settings)
    first.initialize()
    first.process([log(number) for number in range(1, 11)])
    await_that(lambda: len(where()) == 9)
    first.kill()
    tap = listen(settings, "--json", "--limit=10")
    again = Kcl(settings, tmp_path / "shard-0")
    try:
        again.initialize()
        again.process([log(number) for number in range(1, 11)])
        shown, _ = tap.finished()
    finally:
        again.kill()
    fates = {int(one["sequence_number"]): one["outcome"] for one in shown}
    assert fates == {**dict.fromkeys(range(1, 11), "delivered_before"), 7: "dead_letter"}


def test_a_shard_process_that_runs_finds_a_tap_that_begins(
    s3: S3Stub, start_shard: StartShard, listen: Listen
) -> None:
    settings = s3_settings(s3, {"chunk.max_records": "1"})
    kcl = start_shard(settings)
    kcl.initialize()
    tap = listen(settings, "--json", "--limit=1")
    number = 0
    while tap.process.poll() is None:
        number += 1
        kcl.process([record(number)])
    [shown], _ = tap.finished()
    assert f"s3://{s3.bucket}/" in shown["place"]


def test_nothing_waits_for_a_tap_that_is_frozen_or_was_killed(
    s3: S3Stub, start_shard: StartShard, listen: Listen
) -> None:
    settings = s3_settings(s3, {"chunk.max_records": "1"})
    frozen, killed = listen(settings), listen(settings)
    kcl = start_shard(settings)
    kcl.initialize()
    frozen.process.send_signal(signal.SIGSTOP)
    for number in range(1, 61):  # many times what a socket holds
        kcl.process([record(number, b'{"a":"%b"}' % (b"x" * 8000))])
    killed.process.kill()
    for number in range(61, 121):
        kcl.process([record(number)])
    kcl.tick_until_confirmed(120)
    assert len(s3.lines) == 120


def test_sigterm_ends_a_tap_in_order(s3: S3Stub, listen: Listen, tmp_path: Path) -> None:
    tap = listen(s3_settings(s3))
    tap.process.terminate()
    shown, said = tap.finished()
    assert shown == []
    assert said.endswith("0 shown of 0 records that passed\n")
    assert list((tmp_path / "shard-0/taps").iterdir()) == []


def test_a_reader_that_has_seen_enough_ends_it(s3: S3Stub, start_shard: StartShard, listen: Listen) -> None:
    reading, writing = os.pipe()
    settings = s3_settings(s3, {"chunk.max_records": "1"})
    tap = listen(settings, stdout=writing)
    os.close(writing)
    os.close(reading)
    kcl = start_shard(settings)
    kcl.initialize()
    kcl.process([record(1)])
    assert tap.process.wait(SAFETY_SECONDS) == 0


@pytest.mark.parametrize("options", [(), ("--mask",), ("--json",)], ids=str)
def test_a_hostile_record_does_nothing_to_a_terminal(
    s3: S3Stub, start_shard: StartShard, listen: Listen, options: Sequence[str]
) -> None:
    commands = b"\x1b[2J\x1b]0;owned\x07\x9b31m\xc2\x9b31m\x08\r\x00\xff\xe2\x80\xae"
    payloads = [
        commands,
        json.dumps({"a": commands.decode("latin-1")}, ensure_ascii=False).encode(),
        json.dumps({commands.decode("latin-1"): 1}, ensure_ascii=False).encode(),
    ]
    terminal, its_end = pty.openpty()
    settings = s3_settings(s3, {**ALL, "chunk.max_records": "3"})
    tap = listen(settings, "--limit=3", *options, stdout=its_end)
    os.close(its_end)
    kcl = start_shard(settings)
    kcl.initialize()
    hostile = [
        {**record(number, each), "partitionKey": "\x1b[31m"} for number, each in enumerate(payloads, 1)
    ]
    kcl.process(hostile)
    shown = b""
    while select.select([terminal], [], [], SAFETY_SECONDS)[0]:
        try:
            shown += os.read(terminal, 65536)
        except OSError:  # the other end is closed
            break
    os.close(terminal)
    assert tap.process.wait(SAFETY_SECONDS) == 0
    lines = shown.decode().split("\r\n")
    assert len(lines) == (4 if "--json" in options else 10)
    assert all(line.isprintable() for line in lines)
