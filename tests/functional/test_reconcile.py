"""`reconcile` on the embedded stack: what a test has planted is found to the record, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from consumer.domain.records import Record
from consumer.local import stack as stacks
from consumer.local.generate import Logs
from consumer.local.stack import Stack
from consumer.operate.reconcile.command import reconcile_main
from consumer.settings import Backend
from tests.functional.harness.planted import HOUR_MS, SHARDS, Planted, chunked

pytestmark = pytest.mark.timeout(420)

BEGIN = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=5)
BEGIN_MS = int(BEGIN.timestamp() * 1000)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stacks.running(tmp_path_factory.mktemp("reconcile")) as running:
        yield running.stack


@pytest.fixture(autouse=True)
def credentials(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in stacks.environment(stack).items():
        monkeypatch.setenv(name, value)


ODD = [b"not json", b'{"event":"without a key"}', b'{"player_id":"zz","time":"%s"}', b'{"player_id":"a"}']


def payloads(count: int) -> Iterator[bytes]:
    """Logs of three hours, of few players so that few tables get rows; one in a hundred is no JSON, has no table or no
    time."""
    a_second = count / (3 * 3600)
    logs = Logs(count=count, seed=3, base_time=BEGIN, records_per_second=a_second, players=5).lines()
    for number, line in enumerate(logs):
        yield (
            ODD[number // 100 % len(ODD)].replace(b"%s", BEGIN.isoformat().encode())
            if number % 100 == 7
            else line
        )


def arrivals(count: int) -> list[int]:
    return [BEGIN_MS + 20 + number * 3 * HOUR_MS // count for number in range(count)]


INSERT_ALL = {"bigquery.method": "insert_all"}
IDENTITIES = {**INSERT_ALL, "bigquery.metadata_columns": "true"}
KINDS: dict[str, dict[Backend, dict[str, str]]] = {
    "counts": {
        "s3": {
            "s3.key_template": "event={event|none}/dt=%Y-%m-%d/hour=%H",
            "s3.time_zone": "Asia/Kolkata",
        },
        "bigquery": INSERT_ALL,
    },
    "identities": {"bigquery": IDENTITIES},
    "by-record": {"s3": {"s3.partition_time": "record"}, "bigquery": IDENTITIES},
}


@dataclass
class Case:
    """Records that both have, in chunks of S3."""

    planted: Planted
    chunks: list[list[Record]]
    capsys: pytest.CaptureFixture[str]

    @classmethod
    def of(
        cls, stack: Stack, kind: str, capsys: pytest.CaptureFixture[str], *, count: int, size: int
    ) -> Case:
        planted = Planted(stack, f"reconcile-{kind}-{count}", KINDS[kind])
        chunks = chunked(payloads(count), arrivals(count), size)
        planted.deliver(chunks)
        return cls(planted, chunks, capsys)

    def look(self, *options: str) -> tuple[int, dict[str, Any]]:
        code = reconcile_main([*self.planted.options(), f"--from={BEGIN.isoformat()}", "--json", *options])
        told = self.capsys.readouterr()
        assert told.out, told.err
        found: dict[str, Any] = json.loads(told.out)
        return code, found

    def delete_object(self, number: int) -> list[bytes]:
        """All objects of one chunk; the lines that were in them."""
        name = f"-{self.chunks[number][0].position}-{len(self.chunks[number])}.ndjson.gz"
        keys = [key for key in self.planted.object_keys() if key.endswith(name)]
        assert keys
        lines = [line for key in keys for line in self.planted.lines(key)]
        for key in keys:
            self.planted.delete_object(key)
        return lines

    def rows_of(self, record: Record) -> str:
        log = json.loads(record.data)
        return f"`{{}}_{log['player_id'][0]}` WHERE JSON_VALUE(log, '$.log_id') = '{log['log_id']}'"


def is_log(record: Record) -> bool:
    return b"log_id" in record.data


def neighbours_of(records: Sequence[Record]) -> tuple[Record, Record]:
    """Two logs of one table and hour."""
    logs = [record for record in records if is_log(record)]
    digits = [json.loads(record.data)["player_id"][0] for record in logs]
    first = next(number for number, digit in enumerate(digits) if digits.count(digit) > 1)
    second = digits.index(digits[first], first + 1)
    return logs[first], logs[second]


SIZES = [
    pytest.param(2_400, 150, id="2400"),
    pytest.param(100_000, 5_000, id="100000", marks=[pytest.mark.long, pytest.mark.timeout(1800)]),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("count", "size"), SIZES)
def test_one_deleted_object_one_deleted_row_and_one_doubled_row_are_found(
    stack: Stack, capsys: pytest.CaptureFixture[str], kind: str, count: int, size: int
) -> None:
    case = Case.of(stack, kind, capsys, count=count, size=size)
    code, clean = case.look()
    assert (code, clean["clean"]) == (0, True), clean
    assert clean["s3"]["records"] == clean["bigquery"]["records"] == count

    lost = case.delete_object(3)
    deleted, doubled = neighbours_of(case.chunks[1])
    case.planted.query(f"DELETE FROM {case.rows_of(deleted)}")
    table = f"`{{}}_{json.loads(doubled.data)['player_id'][0]}`"
    case.planted.query(f"INSERT INTO {table} SELECT * FROM {case.rows_of(doubled)}")

    code, found = case.look()
    assert code == 1
    assert {name: found[name] for name in found if "_in_" in name} == {
        "missing_in_s3": len(lost),
        "missing_in_bigquery": 1,
        "doubled_in_s3": 0,
        "doubled_in_bigquery": 1,
    }
    named = {
        (one["backend"], one["problem"]): one for one in found["records"] if one["backend"] == "bigquery"
    }
    key, line = named["bigquery", "missing"]["where"].removeprefix(f"s3://{stack.bucket}/").split(" line ")
    assert case.planted.lines(key)[int(line) - 1] == deleted.data
    twice = named["bigquery", "doubled"]["where"]
    if kind == "counts":
        assert json.loads(doubled.data)["player_id"] in twice
        assert json.loads(doubled.data)["time"] in twice
        return
    assert str(doubled.position) in twice
    missing = {one["where"].split()[1] for one in found["records"] if one["backend"] == "s3"} - {"letter"}
    logs = {f"{SHARDS[1]}/{record.position}" for record in case.chunks[3] if is_log(record)}
    assert logs <= missing


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--set-s3=applicationName=another"], 'lease table "another" does not exist'),
        (["--set-bigquery=bigquery.table_prefix=others"], "others was not found"),
        (["--set-s3=s3.bucket=nobodys-bucket"], "NoSuchBucket"),
        (["--set-bigquery=deadletter.bucket=nobodys-bucket"], "NoSuchBucket"),
        (["--set-bigquery=bigquery.dataset=others"], "not found"),
        (["--from=2099-01-01"], "is in the future"),
        (["--from=2h", "--to=3h"], "an empty range"),
    ],
)
def test_what_is_not_there_is_told_in_one_line(
    stack: Stack, capsys: pytest.CaptureFixture[str], options: list[str], told: str
) -> None:
    planted = Planted(stack, "reconcile-refused", {"bigquery": {**INSERT_ALL, "bigquery.key_digits": "0"}})
    code = reconcile_main([*planted.options(), "--from=3h", *options])
    captured = capsys.readouterr()
    assert (code, captured.out) == (1, "")
    [line] = captured.err.splitlines()
    assert told in line
    assert line.startswith("reconcile: ")
