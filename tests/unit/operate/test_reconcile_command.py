"""`reconcile`: its options, its exit codes, what it refuses in one line, and what a monitor publishes."""

from __future__ import annotations

import inspect
import io
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from consumer.daemon.metrics.metric import Telling
from consumer.daemon.prepare.preparation import Unusable
from consumer.domain.errors import SetupError
from consumer.operate.action import Console
from consumer.operate.errors import Refused
from consumer.operate.reconcile import command
from consumer.operate.reconcile.command import reconcile_main
from consumer.operate.reconcile.compare import Copy, Difference, Kind
from consumer.operate.reconcile.look import Result
from consumer.operate.reconcile.monitor import Monitor
from consumer.operate.reconcile.reconciliation import Reconciliation
from consumer.operate.reconcile.spans import HOUR_MS, Partition, Scope
from consumer.settings import Settings

pytestmark = pytest.mark.usefixtures("restored_surroundings")

NOON = 1_769_860_800
SETTINGS = [
    "--s3-properties=/dev/null",
    "--bigquery-properties=/dev/null",
    "--set=streamName=logs",
    "--set=regionName=eu-west-1",
    "--set=s3.bucket=bucket",
    "--set=deadletter.bucket=bucket",
    "--set=bigquery.project=project",
    "--set=bigquery.dataset=dataset",
    "--set-s3=applicationName=to-s3",
    "--set-bigquery=applicationName=to-bigquery",
]
PARQUET = ["--set=s3.format=parquet", "--set=s3.schema_file=properties/player_log.schema.json"]


def result_of(*faults: Difference) -> Result:
    scope = Scope(
        partition=Partition("%Y-%m-%d/%H"),
        begin_ms=NOON * 1000 - HOUR_MS,
        end_ms=NOON * 1000,
        arrivals=(0, 0),
        by_arrival=False,
    )
    result = Result(scope)
    result.cells[scope.begin_ms, "player_log_a"].held.update({"s3": 10, "bigquery": 10})
    for fault in faults:
        result.name("player_log_a", scope.begin_ms, fault)
    return result


MISSING = Difference("bigquery", "missing", Copy("a", 1, None, Kind.DELIVERED, "s3://bucket/key line 3"))


class World:
    """A command whose looks find what they are told to; it ends when there is no more."""

    def __init__(self, *looks: Result | Exception) -> None:
        self._looks = list(looks)
        self.runs: list[tuple[datetime, datetime | None, float]] = []
        self.settings: tuple[Settings, ...] = ()
        self.now = float(NOON)
        self.out = io.StringIO()

    def make(self, *settings: Settings, **seams: Any) -> World:
        self.settings = settings
        return self

    def run(self, begin: datetime, end: datetime | None, *, late_seconds: float) -> Result:
        self.runs.append((begin, end, late_seconds))
        self.now += 5
        found = self._looks.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    def command(self, *arguments: str) -> tuple[int, list[str]]:
        code = reconcile_main(
            [*SETTINGS, *arguments],
            console=Console(self.out, io.StringIO()),
            now=lambda: self.now,
            sleep=self._sleep,
            make=self.make,  # type: ignore[arg-type]
        )
        return code, self.out.getvalue().splitlines()

    def _sleep(self, seconds: float) -> None:
        if not self._looks:
            raise KeyboardInterrupt
        self.now += seconds


def test_a_clean_look_ends_with_0_and_a_fault_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert World(result_of()).command("--from=3h")[0] == 0
    assert "nothing is missing, nothing is doubled" in capsys.readouterr().out
    assert World(result_of(MISSING)).command("--from=3h")[0] == 1
    assert "missing in BigQuery: s3://bucket/key line 3" in capsys.readouterr().out


def test_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    World(result_of(MISSING)).command("--from=3h", "--json")
    found = json.loads(capsys.readouterr().out)
    assert found["missing_in_bigquery"] == 1
    assert found["cells"][0]["hour"] == "2026-01-31T11:00Z"


@pytest.mark.parametrize(
    ("by", "periods"),
    [("hour", ["2026-01-31T10:00Z", "2026-01-31T11:00Z"]), ("day", ["2026-01-31"])],
)
def test_faults_are_told_by_table_and_hour_or_day(
    by: str, periods: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    result = result_of(MISSING)
    for table in ("player_log_a", "player_log_b"):
        result.name(table, result.scope.begin_ms - HOUR_MS, MISSING)
    World(result).command("--from=3h", f"--by={by}")
    told = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("2026-")]
    assert sorted((period, table) for period, table, *_ in told) == sorted(
        [(period, "player_log_a") for period in periods] + [(periods[0], "player_log_b")]
    )
    assert sum(int(row[5]) for row in told) == 3  # missing in BigQuery


def test_settings_go_to_those_that_know_them() -> None:
    world = World(result_of())
    world.command("--from=3h", "--late=10m", "--set=bigquery.key_digits=0")
    s3, bigquery = world.settings
    assert (s3.text("applicationName"), bigquery.text("applicationName")) == ("to-s3", "to-bigquery")
    assert bigquery.integer("bigquery.key_digits") == 0
    [(begin, end, late_seconds)] = world.runs
    assert (begin.timestamp(), end, late_seconds) == (NOON - 3 * 3600, None, 600)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--from=2026-02-01"], "reconcile: --from: 2026-02-01T00:00:00Z is in the future"),
        (["--from=3h", "--to=2099-01-01"], "reconcile: --to: 2099-01-01T00:00:00Z is in the future"),
        (
            ["--from=1h", "--to=2h"],
            "reconcile: an empty range: --from 2026-01-31T11:00:00Z is not before --to 2026-01-31T10:00:00Z",
        ),
    ],
)
def test_ranges_that_hold_nothing_are_refused_in_one_line(arguments: list[str], line: str) -> None:
    assert World().command(*arguments) == (1, [line])


@pytest.mark.parametrize(
    "error",
    [
        Refused("applicationName app has no checkpoints"),
        Unusable('lease table "app" does not exist'),
        SetupError("AccessDenied: the role needs s3:ListBucket", setting="s3.bucket"),
    ],
)
def test_whatever_keeps_it_from_comparing_is_told_in_one_line(error: Exception) -> None:
    assert World(error).command("--from=3h") == (1, [f"reconcile: {error}"])


def test_settings_that_cannot_be_used_end_with_2() -> None:
    code, lines = World().command("--from=3h", "--set-bigquery=bigquery.key_digits=7", "--set=nonsense=1")
    assert code == 2
    assert any("bigquery.key_digits" in line for line in lines)
    assert any("nonsense" in line for line in lines)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            ["--set-s3=streamName=others"],
            "streamName: others goes to S3, logs to BigQuery: nothing to compare",
        ),
        (
            ["--set-s3=s3.partition_time=record", "--set-s3=record.time_field=at"],
            "record.time_field differs: at for S3, time for BigQuery",
        ),
        (
            [*PARQUET, "--set-s3=record.key_field=n"],
            "record.key_field differs: n for S3, player_id for BigQuery",
        ),
        (
            [*PARQUET, "--set=record.key_field=n"],
            "s3.schema_file has no STRING column n (record.key_field), by which rows are compared",
        ),
        (
            [*PARQUET, "--set-s3=record.time_format=epoch_ms"],
            "record.time_format differs: epoch_ms for S3, iso8601 for BigQuery",
        ),
        (["--set=s3.partition=%H"], "the path of objects, %H, does not tell of which day they are"),
    ],
)
def test_settings_that_do_not_fit_each_other_are_refused(changes: list[str], line: str) -> None:
    out = io.StringIO()
    code = reconcile_main([*SETTINGS, "--from=3h", *changes], console=Console(out, io.StringIO()))
    assert code == 1
    assert out.getvalue().startswith(f"reconcile: {line}")
    assert out.getvalue().count("\n") == 1


def series(file: Path) -> dict[tuple[str, ...], float]:
    """By name and labels but for the application."""
    return {
        (
            sample.name,
            *(value for label, value in sample.labels.items() if label != "application"),
        ): sample.value
        for family in text_string_to_metric_families(file.read_text())
        for sample in family.samples
    }


def test_a_monitor_looks_again_and_keeps_what_it_knows_while_it_cannot_compare(tmp_path: Path) -> None:
    file = tmp_path / "reconcile.prom"
    world = World(result_of(MISSING), Refused("nothing to compare yet"))
    code, _ = world.command("--from=3h", "--every=1h", f"--metrics-file={file}")
    assert code == 1
    assert [begin.timestamp() for begin, *_ in world.runs] == [NOON - 10800, NOON + 3600 - 10800]
    found = series(file)
    assert found["consumer_reconcile_missing_records", "bigquery"] == 1
    assert found["consumer_reconcile_missing_records", "s3"] == 0
    assert found["consumer_reconcile_faulty_records", "bigquery", "missing", "player_log_a"] == 1
    assert found["consumer_reconcile_records", "s3"] == 10
    assert found["consumer_reconcile_until_seconds", "s3"] == NOON
    assert found["consumer_reconcile_look_seconds", "s3"] == NOON + 5
    assert found["consumer_reconcile_failed", "s3"] == found["consumer_reconcile_failed", "bigquery"] == 1
    assert list(tmp_path.iterdir()) == [file]


def test_a_mended_fault_leaves_the_metrics(tmp_path: Path) -> None:
    file = tmp_path / "reconcile.prom"
    code, _ = World(result_of(MISSING), result_of()).command(
        "--from=3h", "--every=1h", f"--metrics-file={file}"
    )
    assert code == 0
    found = series(file)
    assert found["consumer_reconcile_missing_records", "bigquery"] == 0
    assert found["consumer_reconcile_failed", "bigquery"] == 0
    assert not any("consumer_reconcile_faulty_records" in name for name in found)


def test_metrics_that_cannot_be_written_do_not_end_a_monitor(tmp_path: Path) -> None:
    code, lines = World(result_of(), result_of()).command(
        "--from=3h", "--every=1h", f"--metrics-file={tmp_path}/none/file"
    )
    assert code == 0
    assert len(lines) == 2
    assert all("metrics cannot be written (--metrics-file" in line for line in lines)


def test_lines_of_emf_and_a_push_are_of_the_side_that_asks_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(result_of())
    world.command(
        "--from=3h", "--set-s3=metrics.emf=true", "--set-bigquery=metrics.otlp_endpoint=http://127.0.0.1:1"
    )
    pushed: list[Telling] = []
    written: list[str] = []

    class Pusher:
        def push_told(self, telling: Telling) -> None:
            pushed.append(telling)

    s3, bigquery = world.settings
    monitor = Monitor(
        {"s3": s3, "bigquery": bigquery},
        file=None,
        began_at=NOON,
        say=pytest.fail,
        write=written.append,
        make_pusher=lambda settings: Pusher() if settings["metrics.otlp_endpoint"] else None,
    )
    monitor.publish(result_of(MISSING), NOON)
    [telling] = pushed
    assert (telling.application, telling.backend) == ("to-bigquery", "bigquery")
    lines = [json.loads(line) for line in written]
    assert {(line["application"], line["backend"]) for line in lines} == {("to-s3", "s3")}
    assert lines[0]["consumer_reconcile_missing_records"] == 0


def test_the_seams_fit_what_the_command_makes() -> None:
    assert inspect.signature(command.reconcile_main).parameters["make"].default is Reconciliation
