"""`replay`: what it says, refuses, leaves and takes away, with a daemon and tables of its own."""

from __future__ import annotations

import io
import json
import shlex
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.daemon.prepare.preparation import Unusable
from consumer.daemon.report.leases import SHARD_END, Lease
from consumer.domain.events import REPLAYED
from consumer.operate.action import Console
from consumer.operate.patience import Patience
from consumer.operate.progress import Progress
from consumer.operate.replay import command, own_settings
from consumer.operate.replay.daemon import Told, is_complete, seconds_done, start_arguments
from consumer.operate.replay.plan import Range
from consumer.operate.replay.tables import FirstLease
from consumer.settings import Settings, load
from tests.unit.operate.fake_s3 import FakeS3, answer
from tests.unit.operate.test_replay_plan import HOUR_MS, NOW_MS, SHARD, FakeStream, keys_of, numbered

SETTINGS = [
    "--properties=/dev/null",
    "--set=streamName=player-logs",
    "--set=applicationName=app",
    "--set=s3.bucket=bucket",
    "--set=s3.prefix=logs/",
    "--set=s3.partition=dt=%Y-%m-%d/hour=%H",
    "--set=regionName=eu-west-1",
]
RANGE = ["--from", "2026-01-31T11:00Z", "--to", "2026-01-31T11:30Z"]


def lease(shard: str = SHARD, *, parents: Sequence[str] = (), ended: bool = False) -> Lease:
    return Lease(
        shard=shard, owner="w", counter=1, checkpoint=SHARD_END if ended else "7", parents=frozenset(parents)
    )


@dataclass
class FakeTables:
    """Of the replay, as every command of a test finds them."""

    plan: str | None = None
    leases: list[FirstLease] = field(default_factory=list)
    deleted: int = 0
    names: list[str] = field(default_factory=list)

    def __call__(self, settings: Settings, patience: Patience) -> FakeTables:
        self.names.append(settings.text("applicationName"))
        return self

    def begun(self) -> str | None:
        return self.plan

    def begin(self, leases: Sequence[FirstLease], plan: str) -> None:
        self.leases, self.plan = list(leases), plan

    def delete(self) -> None:
        self.plan, self.deleted = None, self.deleted + 1


@dataclass
class FakeDaemon:
    """One that is told what happens while it runs."""

    states: list[str]
    code_at_end: int | None = None
    stop_code: int = 0
    started: list[Any] = field(default_factory=list)
    stopped: int = 0
    forgotten: int = 0
    meanwhile: Callable[[], None] = lambda: None
    log: Path = Path("/state/replay.log")
    reasons: list[list[str]] = field(default_factory=list)
    """Why it is not well, by what it says of itself."""

    def __call__(self, settings: Settings, arguments: list[str], environment: dict[str, str]) -> FakeDaemon:
        self.given = (settings, arguments, environment)
        return self

    def start(self) -> None:
        self.started.append(self.given)

    def told(self) -> Told | None:
        self.meanwhile()
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        shards = [{"shard": SHARD, "state": state, "behind_latest_seconds": 2000.0}]
        status = {
            "pid": 1,
            "updated_at": NOW_MS / 1000,
            "reasons": self.reasons.pop(0) if self.reasons else [],
            "shards": shards,
            "records": {"delivered": 40, "dead_letters": 2},
        }
        return _told(status)

    def code(self) -> int | None:
        return self.code_at_end

    def stop(self) -> int:
        self.stopped += 1
        return self.stop_code

    def last_lines(self) -> list[str]:
        return ["the last line"]

    def forget(self) -> None:
        self.forgotten += 1


def _told(status: dict[str, Any]) -> Told:
    return msgspec.json.decode(json.dumps(status).encode(), type=Told)


class World:
    """A stream of an hour and an application that has delivered it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        records = numbered(NOW_MS - HOUR_MS, 1000, 3600)
        self.s3 = FakeS3()
        for key in keys_of(records):
            self.s3.put_object(Bucket="bucket", Key=key, Body=b"")
        self.stream = FakeStream({SHARD: records})
        self.tables = FakeTables()
        self.daemon = FakeDaemon(["running", REPLAYED])
        self.leases: list[Lease] = [lease()]
        self.trouble: Exception | None = None
        monkeypatch.setattr(command, "Stream", lambda settings, patience: self.stream)
        monkeypatch.setattr(command, "ReplayTables", self.tables)
        monkeypatch.setattr(command, "ReplayDaemon", self.daemon)
        monkeypatch.setattr(command, "lease_reader", lambda settings: self._read)
        monkeypatch.setattr(command, "s3_client_of", lambda settings: self.s3)
        monkeypatch.setattr(command, "_LOOK_SECONDS", 0)
        monkeypatch.setattr(command, "_LEASES_SECONDS", 0)

    def _read(self) -> list[Lease]:
        if self.trouble is not None:
            raise self.trouble
        return self.leases

    def run(self, *arguments: str) -> tuple[int, list[str]]:
        """The exit code and the lines, those of the audit aside."""
        out = io.StringIO()
        code = command.replay_main(
            ["s3", *SETTINGS, *arguments],
            console=Console(out),
            now=lambda: NOW_MS / 1000,
            new_client=lambda settings: self.s3,
        )
        return code, [line for line in out.getvalue().splitlines() if not line.startswith("audit ")]

    def audits(self) -> list[dict[str, Any]]:
        keys = [key for key in self.s3.objects if "audit/" in key]
        return [json.loads(self.s3.objects[key].body) for key in keys]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_it_delivers_the_range_and_leaves_nothing(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = world.run(*RANGE, "--yes", "--why", "a bad night")
    assert code == 0, lines
    assert capsys.readouterr().out == "40 records delivered, 2 dead letters\n"
    assert (world.tables.deleted, world.daemon.forgotten) == (1, 1)
    assert [one.shard for one in world.tables.leases] == [SHARD]
    [(settings, arguments, environment)] = world.daemon.started
    assert settings.text("applicationName") == world.tables.names[0]
    assert f"--set=applicationName={world.tables.names[0]}" in arguments
    assert json.loads(environment["CONSUMER_REPLAY"]) == {
        "until_ms": NOW_MS - HOUR_MS // 2,
        "shards": [SHARD],
    }
    [audit] = world.audits()
    assert (audit["state"], audit["reason"], audit["counts"]["delivered"]) == ("done", "a bad night", 40)
    assert not [key for key in world.s3.objects if key.endswith("lock.json")]


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(world: World) -> None:
    before = dict(world.s3.objects)
    code, lines = world.run(*RANGE, "--dry-run")
    assert code == 0
    assert (
        "replay would replay 2026-01-31T11:00:00Z to 2026-01-31T11:30:00Z of player-logs, in 1 shard"
        in lines[-1]
    )
    assert any("10,000 records a second are read from a shard" in line for line in lines)
    assert world.s3.objects == before
    assert (world.tables.leases, world.daemon.started) == ([], [])


def test_an_interrupted_one_is_kept_and_goes_on_without_a_new_plan(world: World) -> None:
    world.daemon.states = ["running"]
    world.daemon.meanwhile = lambda: signal.raise_signal(signal.SIGTERM)
    code, lines = world.run(*RANGE, "--yes", "--shards", SHARD, "--into=s3.prefix=logs/")
    assert code == 1
    told = lines[-1].removeprefix("to go on: ").partition(";")[0]
    assert world.daemon.stopped
    assert (world.tables.deleted, world.daemon.forgotten) == (0, 0)
    leases = world.tables.leases

    world.daemon.meanwhile = lambda: None
    world.daemon.states = [REPLAYED]
    world.stream.records = {}  # nobody looks there
    world.tables.leases = []
    command, backend, *again = shlex.split(told)
    assert (command, backend) == ("bin/replay", "s3")
    code, lines = world.run(*again, "--yes")
    assert code == 0, lines
    assert len(set(world.tables.names)) == 1  # of the same name: the same range, shards and destination
    assert any("was begun before, and goes on where it was" in line for line in lines)
    assert (leases != [], world.tables.leases) == (True, [])
    assert sorted(audit["state"] for audit in world.audits()) == ["done", "stopped"]


def test_a_daemon_that_ends_by_itself_is_a_failure_that_keeps_what_was_done(world: World) -> None:
    world.daemon.states, world.daemon.code_at_end = ["running"], 1
    code, lines = world.run(*RANGE, "--yes")
    assert code == 1
    assert "the last line" in lines
    assert world.tables.deleted == 0
    assert world.audits()[0]["state"] == "failed"


def test_a_daemon_that_is_not_well_shows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose shard processes fail at their start runs on, and gets nowhere."""
    shown: list[str] = []
    monkeypatch.setattr(Progress, "add", lambda self, count=1: shown.append(self.text()))
    world.daemon.reasons = [["a: not read for 60 s"], []]
    world.daemon.states = ["running", "running", REPLAYED]
    assert world.run(*RANGE, "--yes")[0] == 0
    assert shown[0].endswith("; the daemon is not well: a: not read for 60 s (see its log)")
    assert "not well" not in shown[-1]


def test_one_that_has_ended_badly_is_not_taken_for_done(world: World) -> None:
    world.daemon.stop_code = 1
    assert world.run(*RANGE, "--yes")[0] == 1
    assert world.tables.deleted == 0


def test_an_unfinished_one_can_be_abandoned(world: World) -> None:
    code, lines = world.run(*RANGE, "--yes", "--abandon")
    assert (code, lines[-1][:40]) == (1, "replay: there is nothing to abandon: no ")
    world.tables.plan = '{"begins":{"a":1},"record_bytes":1.0}'
    assert world.run(*RANGE, "--yes", "--abandon")[0] == 0
    assert (world.tables.deleted, world.daemon.forgotten, world.daemon.started) == (1, 1, [])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--from", "1h", "--to", "2h"], "an empty range: --from"),
        (["--from", "1h", "--to", "2026-02-01T00:00Z"], "--to: 2026-02-01T00:00:00Z is in the future"),
        (["--from", "3h", "--to", "2h"], "an empty range: no record arrived from"),
        (["--from", "3d", "--to", "2d"], "is past the stream's retention of 24 h"),
        ([*RANGE, "--shards", "nowhere"], "no such shard: nowhere"),
        ([*RANGE, "--set=applicationName=app-replay-0"], "app-replay-0 is a replay itself"),
        ([*RANGE], "there is no terminal to ask on, so --yes is needed"),
    ],
)
def test_what_it_refuses_changes_nothing(world: World, arguments: list[str], says: str) -> None:
    before = dict(world.s3.objects)
    code, lines = world.run(*arguments, *([] if arguments == RANGE else ["--yes"]))
    assert code == 1
    assert says in lines[-1]
    assert world.s3.objects == before
    assert (world.tables.leases, world.daemon.started) == ([], [])


def test_it_refuses_a_name_that_no_worker_has_run_under(world: World) -> None:
    world.trouble = Unusable('lease table "app" does not exist')
    assert world.run(*RANGE, "--yes") == (1, ['replay: lease table "app" does not exist'])
    world.trouble, world.leases = None, []
    code, lines = world.run(*RANGE, "--yes")
    assert (code, len(lines)) == (1, 1)
    assert lines[0].startswith("replay: no worker of applicationName app has ever run")


def test_it_refuses_a_range_that_is_replayed_at_this_moment(world: World) -> None:
    world.daemon.states = ["running", "running", REPLAYED]
    second: list[tuple[int, list[str]]] = []

    def meanwhile() -> None:
        if not second:
            second.append((0, []))
            second[0] = world.run(*RANGE, "--yes")

    world.daemon.meanwhile = meanwhile
    assert world.run(*RANGE, "--yes")[0] == 0
    code, lines = second[0]
    assert code == 1
    assert "replay of " in lines[-1]
    assert "is at work" in lines[-1]


def test_it_refuses_a_bucket_whose_audit_it_may_not_write(world: World) -> None:
    def refuse(operation: str, key: str) -> None:
        if operation == "put":
            raise answer("AccessDenied", 403)

    world.s3.before = refuse
    code, lines = world.run(*RANGE, "--yes")
    assert code == 1
    assert "nothing was changed: the audit cannot be written" in lines[-1]
    assert world.tables.leases == []


# The end


def test_a_shard_that_waits_for_its_parent_has_nothing_of_the_range() -> None:
    leases = [lease("parent"), lease("child", parents=["parent"])]
    assert not is_complete(leases, {"parent", "child"}, set())
    assert is_complete(leases, {"parent", "child"}, {"parent"})
    after = [lease("parent", ended=True), lease("child", parents=["parent"])]
    assert not is_complete(after, {"parent", "child"}, {"parent"})
    assert is_complete(after, {"parent", "child"}, {"child"})


def test_shards_beside_the_plan_and_leases_that_are_gone_need_no_end() -> None:
    place_holder = lease("other", parents=["other"])
    assert is_complete([place_holder, lease("a")], {"a", "ended and taken away"}, {"a"})
    assert not is_complete([], {"a"}, {"a"})  # what was read is no lease table of a replay


@given(behind=st.none() | st.floats(0, 10_000), state=st.sampled_from(["running", REPLAYED]))
def test_what_is_done_is_between_nothing_and_all(behind: float | None, state: str) -> None:
    shards = [{"shard": "a", "state": state, "behind_latest_seconds": behind}]
    told = _told({"pid": 1, "updated_at": 0.0, "shards": shards})
    done = seconds_done(told, {"a": 1_000_000, "b": 1_000_000}, [], to_ms=2_000_000, now_ms=5_000_000)
    assert 0 <= done <= 2000
    assert (done == 1000) >= (state == REPLAYED)


# Its settings


def application(**changes: str) -> Settings:
    own = {"applicationName": "app", "streamName": "s", "s3.bucket": "bucket", "regionName": "eu-west-1"}
    return load("s3", overrides={**own, **changes})


def test_its_name_is_made_of_what_it_does() -> None:
    one = Range(from_ms=1, to_ms=2)
    names = {
        own_settings.replay_name("app", wanted, into, application(**changes))
        for wanted in (one, Range(from_ms=1, to_ms=3), Range(from_ms=1, to_ms=2, shards=frozenset({"a"})))
        for into, changes in (
            ({}, {}),
            ({"s3.prefix": "x/"}, {"s3.prefix": "x/"}),
            ({}, {"s3.bucket": "other"}),
        )
    }
    assert len(names) == 9
    assert all(own_settings.is_replay(name) for name in names)
    assert own_settings.replay_name("app", one, {}, application()) in names


@given(rate=st.floats(1, 1e6))
def test_the_rate_is_kept(rate: float) -> None:
    own = own_settings.overrides(application(), {}, name="app-replay-0", rate=rate)
    records, millis = int(own["maxRecords"]), int(own["idleTimeBetweenReadsInMillis"])
    assert 200 <= millis <= 1000
    assert 1 <= records <= 10_000
    assert records * 1000 / millis <= max(rate, 1) + 1e-6 or millis == 200
    assert records * 1000 / millis >= min(rate, 50_000) * 0.5


def test_what_the_application_calls_its_own_is_not_the_replays() -> None:
    given = {"tableName": "leases", "leaseTableDeletionProtectionEnabled": "true", "retrievalMode": "FANOUT"}
    own = own_settings.overrides(application(**given), {"s3.prefix": "x/"}, name="app-replay-0", rate=100)
    settings = load(
        "s3", overrides={"streamName": "s", "s3.bucket": "bucket", "regionName": "eu-west-1", **own}
    )
    assert settings.lease_tables[0] == "app-replay-0"
    assert settings["leaseTableDeletionProtectionEnabled"] is False
    assert settings.text("retrievalMode") == "POLLING"
    assert settings.text("s3.prefix") == "x/"


def test_rows_are_loaded_by_jobs_of_its_own() -> None:
    settings = load(
        "bigquery",
        overrides={
            "applicationName": "app",
            "streamName": "s",
            "regionName": "eu-west-1",
            "bigquery.project": "project",
            "bigquery.dataset": "logs",
            "deadletter.bucket": "bucket",
            "bigquery.method": "storage_write",
        },
    )
    own = own_settings.overrides(settings, {}, name="app-replay-12", rate=100)
    assert own["bigquery.method"] == "load"
    assert own["bigquery.load_job_prefix"] == "kinesis-replay-12"


def test_later_settings_count_more() -> None:
    arguments = start_arguments(
        "s3", local=True, properties=Path("a.properties"), settings=[("k", "1"), ("k", "2")]
    )
    assert arguments == [
        "s3",
        "--local",
        f"--properties={Path('a.properties').resolve()}",
        "--set=k=1",
        "--set=k=2",
    ]
