"""The embedded stack as processes: it starts, answers, and never outlives the one who started it."""

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from consumer.local import stack as stacks
from consumer.local.demo import _OWN_QUERY, _ROW_QUERY
from consumer.local.generate import Logs
from consumer.local.look import look_main
from consumer.local.put import Target, put, put_main
from consumer.local.readback import BigQueryReader
from consumer.local.stack import Stack, StackNotRunningError, StackRunningError
from consumer.local.witness import Seen, Witness
from consumer.settings import Settings, load
from consumer.settings.table import Backend

DIGITS = "0123456789abcdef"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stack")


@pytest.fixture(scope="module")
def stack(state_dir: Path) -> Iterator[Stack]:
    with stacks.running(state_dir, shards=2) as running:
        yield running.stack
        running.check()


def client_of(stack: Stack) -> bigquery.Client:
    return bigquery.Client(
        project=stack.project,
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options=ClientOptions(api_endpoint=stack.bigquery_endpoint),
    )


@pytest.fixture(scope="module")
def tables(stack: Stack) -> list[str]:
    """The sixteen tables of bigquery.row = log."""
    kinds = {"player_id": "STRING", "time": "TIMESTAMP", "log": "JSON"}
    schema = [bigquery.SchemaField(name, kind) for name, kind in kinds.items()]
    names = [f"{stack.project}.{stack.dataset}.player_log_{digit}" for digit in DIGITS]
    with client_of(stack) as client:
        for name in names:
            table = bigquery.Table(name, schema=schema)
            table.time_partitioning = bigquery.TimePartitioning(field="time")
            client.create_table(table)
    return names


def wait_for(condition: Callable[[], bool], *, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def processes_of(state_dir: Path) -> set[int]:
    """Live processes whose command line or environment names the state directory."""
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            known = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if str(state_dir).encode() in known and state != "Z":
            found.add(int(entry.name))
    return found


def command(*arguments: str, state_dir: Path) -> subprocess.Popen[bytes]:
    """A `python -m consumer` command in a session of its own, its output in the state directory."""
    state_dir.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CONSUMER_LOCAL_DIR": str(state_dir)}
    environment["TMPDIR"] = str(state_dir)
    with (state_dir / "command.log").open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "consumer", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment,
        )


def test_a_head_request_is_answered(stack: Stack) -> None:
    s3 = stack.client("s3")
    s3.put_object(Bucket=stack.bucket, Key="headed", Body=b"four")
    assert s3.head_object(Bucket=stack.bucket, Key="headed")["ContentLength"] == 4
    assert s3.head_bucket(Bucket=stack.bucket)["ResponseMetadata"]["HTTPStatusCode"] == 200
    s3.delete_object(Bucket=stack.bucket, Key="headed")


def test_a_key_with_escapes_is_another_one_than_what_they_stand_for(stack: Stack) -> None:
    s3 = stack.client("s3")
    keys = ["k=a b/1", "k=a%20b/1", "k=a%2Fb/1", "k=a/b/1"]
    for key in keys:
        s3.put_object(Bucket=stack.bucket, Key=key, Body=key.encode())
    listed = s3.list_objects_v2(Bucket=stack.bucket, Prefix="k=")["Contents"]
    assert [one["Key"] for one in listed] == keys
    for key in keys:
        assert s3.get_object(Bucket=stack.bucket, Key=key)["Body"].read() == key.encode()
        s3.delete_object(Bucket=stack.bucket, Key=key)


def test_a_running_stack_is_found_by_its_state_directory(stack: Stack, state_dir: Path) -> None:
    assert stacks.load(state_dir) == stack
    assert stack.pid == os.getpid()


def test_a_second_stack_in_the_same_directory_is_refused(stack: Stack, state_dir: Path) -> None:
    with pytest.raises(StackRunningError), stacks.running(state_dir):
        pass
    assert stacks.load(state_dir) == stack


def test_no_stack_and_an_ended_stack_are_told(stack: Stack, state_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(StackNotRunningError, match="bin/local"):
        stacks.load(tmp_path)
    ended = subprocess.Popen(["true"])
    ended.wait()
    facts = json.loads((state_dir / "stack.json").read_text()) | {"pid": ended.pid}
    (tmp_path / "stack.json").write_text(json.dumps(facts))
    with pytest.raises(StackNotRunningError, match="has ended"):
        stacks.load(tmp_path)


@pytest.mark.parametrize("backend", ["s3", "bigquery"])
def test_the_overrides_are_settings_the_backend_knows(stack: Stack, backend: Backend) -> None:
    file = ROOT / "properties" / f"{backend}.properties"
    settings = load(backend, file=file, overrides=stacks.overrides(stack, backend))
    assert settings["streamName"] == stack.stream
    assert settings["s3.endpoint_url"] == stack.aws_endpoint


def test_aws_speaks_http_2_with_prior_knowledge(stack: Stack) -> None:
    host, _, port = stack.aws_endpoint.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5))
        header = connection.recv(9)
    assert header[3] == 4, "the first frame is not SETTINGS"


@pytest.mark.parametrize("aggregate", [False, True])
def test_what_is_put_is_on_the_stream(stack: Stack, aggregate: bool) -> None:
    client = stack.client("kinesis")
    name = f"put-{aggregate}".lower()
    client.create_stream(StreamName=name, ShardCount=3)
    lines = list(Logs(count=1200, seed=7, base_time=datetime(2026, 3, 1, tzinfo=UTC)).lines())
    sent = put(lines, Target(client, name), aggregate=aggregate)
    assert (sent.records, sent.failed) == (1200, 0)
    found: list[bytes] = []
    for shard in client.list_shards(StreamName=name)["Shards"]:
        start = client.get_shard_iterator(
            StreamName=name, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )
        found += [one["Data"] for one in client.get_records(ShardIterator=start["ShardIterator"])["Records"]]
    if aggregate:
        assert len(found) < 100
        assert all(sum(line in data for data in found) == 1 for line in lines)
    else:
        assert sorted(found) == sorted(lines)


def test_put_reports_and_fails_when_the_stream_is_missing(
    stack: Stack, state_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--state-dir", str(state_dir)]
    assert put_main(["--generate", "50", "--json", *where]) == 0
    assert json.loads(capsys.readouterr().out)["records"] == 50
    assert put_main(["--generate", "50", "--stream", "missing", *where]) == 1
    assert "missing" in capsys.readouterr().err


def rows(digit: str, part: int) -> list[dict[str, Any]]:
    records = [
        {"player_id": f"{digit}{number:031x}", "time": "2026-03-01T10:00:00Z", "part": part}
        for number in range(40)
    ]
    return [{key: one[key] for key in ("player_id", "time")} | {"log": json.dumps(one)} for one in records]


def test_many_writers_on_sixteen_tables_store_every_row_once(stack: Stack, tables: list[str]) -> None:
    failures: list[Any] = []

    def write(part: int) -> None:
        with client_of(stack) as client:
            for digit, table in zip(DIGITS, tables, strict=True):
                ids = [f"{part}-{number}" for number in range(40)]
                for _ in range(2):  # the repeat of a request whose answer was lost
                    failures.extend(client.insert_rows_json(table, rows(digit, part), row_ids=ids))

    threads = [threading.Thread(target=write, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    reader = BigQueryReader(stack, time_column="time")
    assert reader.count("player_log_") == 16 * 4 * 40
    assert reader.counts("player_log_") == {f"player_log_{digit}": 4 * 40 for digit in DIGITS}
    assert Counter(row.table for row in reader.rows()) == {f"player_log_{digit}": 4 * 40 for digit in DIGITS}
    assert reader.count("none_") == 0
    with client_of(stack) as client:
        client.query_and_wait("; ".join(f"DELETE FROM `{table}` WHERE TRUE" for table in tables))


def test_a_row_that_is_no_json_is_invalid_and_its_neighbour_is_stored(
    stack: Stack, tables: list[str]
) -> None:
    given = [{"player_id": "0", "time": "2026-03-01T10:00:00Z", "log": text} for text in ("{", "{}")]
    with client_of(stack) as client:
        errors = client.insert_rows_json(tables[0], given, row_ids=["bad", "good"], skip_invalid_rows=True)
        assert [(one["index"], one["errors"][0]["reason"]) for one in errors] == [(0, "invalid")]
        assert sum(1 for _ in client.query_and_wait(f"SELECT 1 FROM `{tables[0]}`")) == 1
        client.query_and_wait(f"DELETE FROM `{tables[0]}` WHERE TRUE")


def test_bigquery_is_asked_from_the_command_line(
    stack: Stack, state_dir: Path, tables: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with client_of(stack) as client:
        for number, line in enumerate(
            Logs(count=3, seed=1, base_time=datetime(2026, 3, 1, tzinfo=UTC)).lines()
        ):
            assert client.insert_rows_json(tables[0], [as_row(line)], row_ids=[f"look-{number}"]) == []
        answers = [look_main(["sql", sql, "--state-dir", str(state_dir)]) for sql in QUERIES]
        client.query_and_wait(f"DELETE FROM `{tables[0]}` WHERE TRUE")
    found = capsys.readouterr()
    assert answers == [0, 0, 1, 1]
    heading, row, names, *events = found.out.splitlines()
    assert heading.split() == ["player_id", "time", "log"]
    assert '{"log_id":"1-0000000000"' in row
    assert names.split() == ["event", "records"]
    assert sum(int(event.split()[1]) for event in events) == 3
    missing, wrong = found.err.splitlines()
    assert missing.startswith("bin/local: Not found: Table local:player_logs.none")
    assert missing.endswith("; there are player_log_0 to player_log_f")
    assert wrong.startswith("bin/local: Syntax error")


QUERIES = [
    _ROW_QUERY.format(table="player_log_0", time="time"),
    _OWN_QUERY.format(table="player_log_0"),
    "SELECT * FROM none",
    "SELEC",
]


def test_the_witness_reads_what_both_backends_hold(stack: Stack, tables: list[str]) -> None:
    names: tuple[Backend, ...] = ("s3", "bigquery")
    settings: dict[Backend, Settings] = {
        name: load(name, overrides=BASICS[name] | stacks.overrides(stack, name)) for name in names
    }
    start = datetime.now(UTC) - timedelta(seconds=5)
    lines = list(Logs(count=40, seed=3, base_time=start).lines())
    letter = {"reason": "no_key", "payload": "e30="}
    s3 = stack.client("s3")

    def store(key: str, *texts: bytes) -> None:
        s3.put_object(
            Bucket=stack.bucket, Key=key, Body=gzip.compress(b"".join(one + b"\n" for one in texts))
        )

    store("player-log/dt=2026-03-01/hour=10/s-shardId-000000000000-1-25.ndjson.gz", *lines[:25])
    store("player-log/dt=2026-03-01/hour=11/s-shardId-000000000000-1-25.ndjson.gz")
    store("player-log/dt=2026-03-01/hour=10/s-shardId-000000000001-2.5-16.ndjson.gz", *lines[25:], b"{}")
    store("deadletter/player-log-bigquery/dt=2026-03-01/s-1-1.ndjson.gz", json.dumps(letter).encode())
    with client_of(stack) as client:
        for digit, table in zip(DIGITS, tables, strict=True):
            found = [line for line in lines if json.loads(line)["player_id"][0] == digit]
            if found:
                assert client.insert_rows_json(table, [as_row(line) for line in found]) == []
    witness = Witness(stack, settings)
    assert witness.look() == Seen(s3=41, bigquery=41)
    verdict = witness.verdict([*lines, b"{}"], start=start, end=datetime.now(UTC))
    assert (verdict.s3.delivered, verdict.bigquery.delivered, verdict.bigquery.dead_letters) == (41, 40, 1)
    assert verdict.clean, (verdict.s3.examples, verdict.bigquery.examples)
    assert (verdict.objects, sum(verdict.rows.values())) == (3, 40)


def as_row(line: bytes) -> dict[str, Any]:
    log = json.loads(line)
    return {"player_id": log["player_id"], "time": log["time"], "log": line.decode()}


BASICS: dict[Backend, dict[str, str]] = {
    "s3": {"applicationName": "player-log-s3"},
    "bigquery": {"applicationName": "player-log-bigquery"},
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_local_stops_cleanly_on_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    local = command("local", "--state-dir", str(tmp_path), state_dir=tmp_path)
    wait_for(lambda: (tmp_path / "stack.json").exists())
    local.send_signal(number)
    assert local.wait(20) == 0
    assert processes_of(tmp_path) == set()
    assert not (tmp_path / "stack.json").exists()


def test_the_stack_ends_when_the_one_who_started_it_is_killed(tmp_path: Path) -> None:
    local = command("local", "--state-dir", str(tmp_path), state_dir=tmp_path)
    wait_for(lambda: (tmp_path / "stack.json").exists())
    assert len(processes_of(tmp_path)) == 3
    local.kill()
    local.wait(10)
    wait_for(lambda: not processes_of(tmp_path))


def test_local_ends_with_an_error_when_one_of_its_processes_ends(tmp_path: Path) -> None:
    local = command("local", "--state-dir", str(tmp_path), state_dir=tmp_path)
    wait_for(lambda: (tmp_path / "stack.json").exists())
    os.kill((processes_of(tmp_path) - {local.pid}).pop(), signal.SIGKILL)
    assert local.wait(20) == 1
    assert processes_of(tmp_path) == set()


@pytest.mark.parametrize("at", ["starting AWS", pytest.param("bin/start s3", marks=pytest.mark.integration)])
def test_a_demo_leaves_no_process_behind_after_ctrl_c(tmp_path: Path, at: str) -> None:
    demo = command("demo", "--records", "2000", state_dir=tmp_path)
    wait_for(lambda: at in (tmp_path / "command.log").read_text())
    demo.send_signal(signal.SIGINT)
    assert demo.wait(40) == 130
    wait_for(lambda: not processes_of(tmp_path))
