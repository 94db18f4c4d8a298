"""`status`: what it tells of an application from its lease table, its stream and the daemons of this host."""

import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from consumer.daemon.commands import status
from consumer.daemon.commands.application import Application, assemble
from consumer.daemon.commands.status import Looker, status_main
from consumer.daemon.commands.status_screen import print_plain
from consumer.daemon.page.told import Shard, Told
from consumer.daemon.page.verdict import Tone
from consumer.daemon.prepare.distances import Distance, distance
from consumer.daemon.prepare.preparation import NotReady
from consumer.daemon.report.leases import SHARD_END, Lease
from consumer.settings import Settings, load

NOW = 1_700_000_000.0
LATE_SECONDS = 60.0


def lease(shard: str, owner: str | None = "other", counter: int = 1, **fields: Any) -> Lease:
    return Lease(shard=shard, owner=owner, counter=counter, **{"checkpoint": "17", **fields})


def daemon(*shards: Shard, at: float = NOW, worker: str = "here", **fields: Any) -> Told:
    own: dict[str, Any] = {"backend": "s3", "application": "app", "worker_id": worker, "healthy": True}
    own |= {"phase": "running", "updated_at": at, "started_at": NOW - 60, "shards": shards}
    return Told(**(own | fields))


def application(leases: Sequence[Lease] = (), *told: Told, **fields: Any) -> Application:
    own: dict[str, Any] = {"rates": {}, "renewed": {}, "distances": {}, "trouble": None}
    return assemble(
        backend="s3",
        name="app",
        at=NOW,
        told=told,
        leases=leases,
        late_seconds=LATE_SECONDS,
        **(own | fields),
    )


def said(found: Application) -> tuple[str, Tone, bool]:
    return found.verdict.state, found.verdict.tone, found.healthy


def test_a_stopped_application_is_down_and_its_checkpoints_are_told_with_their_age() -> None:
    distances = {"a": Distance(next_arrived_at=NOW - 90, behind_latest_seconds=80.0), "b": Distance()}
    found = application([lease("b", None), lease("a", "gone")], distances=distances)
    assert said(found) == ("down", Tone.ILL, False)
    assert [(row.shard, row.owner, row.checkpoint, row.freshness_seconds) for row in found.rows] == [
        ("a", "gone", "17", 90.0),
        ("b", None, "17", 0.0),
    ]
    assert found.freshness_seconds == 90
    assert [row.state for row in found.rows] == ["unread", "unread"]


def test_shards_of_several_workers_are_told_together() -> None:
    here = daemon(Shard("a", freshness_seconds=2.5))
    distances = {"a": Distance(next_arrived_at=NOW - 7), "b": Distance(next_arrived_at=NOW - 5)}
    found = application(
        [lease("a", "here"), lease("b", "other")],
        here,
        renewed={"b": True},
        distances=distances,
        rates={"a": 12.5},
    )
    assert said(found) == ("running", Tone.WELL, True)
    assert "2 shards are read by 2 workers" in found.verdict.says
    assert [(row.owner, row.freshness_seconds, row.rate) for row in found.rows] == [
        ("here", 2.5, 12.5),
        ("other", 5.0, None),
    ]


def test_a_shard_whose_owner_does_not_renew_its_lease_is_unread() -> None:
    leases = [lease("a", "other"), lease("b", "dead")]
    alone = application(leases, renewed={"a": True})
    assert said(alone) == ("stuck", Tone.ILL, False)
    assert [row.is_read for row in alone.rows] == [True, False]
    beside = application(leases, daemon(), renewed={"a": True})
    assert said(beside) == ("running", Tone.WATCH, True)
    assert "1 of 2 shards have no reader at the moment" in beside.verdict.says


def test_what_the_daemon_here_says_counts_more_than_what_the_table_shows() -> None:
    ill = daemon(Shard("a", held="too many"), reasons=("a: held: too many",), healthy=False)
    found = application([lease("a", "here")], ill)
    assert said(found) == ("held", Tone.ILL, False)
    assert (found.rows[0].state, found.rows[0].trouble) == ("held", "too many")
    assert list(found.reasons()) == ["a: held: too many"]


def test_a_daemon_that_has_said_nothing_for_a_while_does_not_run() -> None:
    found = application([lease("a", "here")], daemon(Shard("a"), at=NOW - 60))
    assert said(found) == ("down", Tone.ILL, False)
    assert found.here == ()
    assert application([lease("a", "here")], daemon(Shard("a"), phase="stopping")).here == ()


def test_shards_at_their_end_and_those_before_their_parents_end_need_no_reader() -> None:
    parents = [lease("a", "other"), lease("b", None, checkpoint=SHARD_END)]
    children = [
        lease("c", None, parents=frozenset({"a"})),
        lease("d", None, parents=frozenset({"b", "gone"})),
    ]
    found = application([*parents, *children], renewed={"a": True, "d": True})
    assert {row.shard: (row.is_read, row.state) for row in found.rows} == {
        "a": (True, "running"),
        "b": (None, "ended"),
        "c": (None, "waits for its parents"),
        "d": (True, "running"),
    }
    assert found.healthy


def test_a_lag_of_other_hosts_is_told_and_not_judged() -> None:
    distances = {"a": Distance(next_arrived_at=NOW - LATE_SECONDS - 1)}
    found = application([lease("a")], renewed={"a": True}, distances=distances)
    assert said(found) == ("lagging", Tone.WATCH, True)
    assert "1 min 1 s old" in found.verdict.says


def test_a_distance_that_is_not_known_is_no_freshness() -> None:
    distances = {"a": Distance(fault="GetRecords: no")}
    found = application([lease("a")], renewed={"a": True}, distances=distances)
    assert (found.rows[0].freshness_seconds, found.rows[0].trouble) == (None, "GetRecords: no")
    assert found.freshness_seconds is None


def test_a_lease_table_that_cannot_be_read_is_what_is_told() -> None:
    found = application([], trouble='lease table "app" does not exist')
    assert said(found) == ("down", Tone.ILL, False)
    assert found.verdict.todo == 'lease table "app" does not exist'
    beside = application([], daemon(Shard("a")), trouble="not allowed")
    assert said(beside)[2]
    assert [row.shard for row in beside.rows] == ["a"]
    assert list(beside.reasons()) == ["not allowed"]


def settings(folder: Path) -> Settings:
    own = {"s3.bucket": "bucket", "applicationName": "app", "worker.state_dir": str(folder)}
    return load("s3", overrides={**own, "failoverTimeMillis": "4000"})


class World:
    """Leases as a list of looks at them, and a clock that a pause moves."""

    def __init__(self, *looks: Sequence[Lease]) -> None:
        self.now = NOW
        self.looks = list(looks)
        self.asked: list[float] = []
        self.distances_asked = 0

    def leases(self) -> Sequence[Lease]:
        self.asked.append(self.now)
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]

    def distances(self, leases: Sequence[Lease]) -> dict[str, Distance]:
        self.distances_asked += 1
        return {one.shard: Distance() for one in leases}

    def pause(self, seconds: float) -> None:
        self.now += seconds

    def looker(self, folder: Path) -> Looker:
        return Looker(
            settings(folder),
            read_leases=self.leases,
            read_distances=self.distances,
            now=lambda: self.now,
            pause=self.pause,
        )


def put(folder: Path, told: dict[str, Any], name: str = "app") -> None:
    (folder / name).mkdir(exist_ok=True)
    (folder / name / "status.json").write_text(json.dumps(told))


def written(at: float, **fields: Any) -> dict[str, Any]:
    own = {"backend": "s3", "application": "app", "worker_id": "here", "healthy": True, "phase": "running"}
    return {**own, "updated_at": at, "started_at": NOW, **fields}


def test_a_look_waits_until_every_owner_has_renewed_his_lease_and_no_longer(tmp_path: Path) -> None:
    first = [lease("a", "one", 1), lease("b", "two", 5)]
    world = World(first, [lease("a", "one", 2), first[1]], [lease("a", "one", 2), lease("b", "two", 6)])
    found = world.looker(tmp_path).look()
    assert [row.is_read for row in found.rows] == [True, True]
    assert world.now - NOW == 0.5


def test_a_lease_that_stands_still_is_waited_for_as_long_as_the_kcl_does(tmp_path: Path) -> None:
    world = World([lease("a", "dead", 1), lease("b", None, 1)])
    found = world.looker(tmp_path).look()
    assert [row.is_read for row in found.rows] == [False, False]
    assert 4 <= world.now - NOW <= 6


def test_shards_that_a_daemon_here_tells_of_are_not_waited_for(tmp_path: Path) -> None:
    put(tmp_path, written(NOW, shards=[{"shard": "a"}]))
    world = World([lease("a", "here", 1)])
    assert world.looker(tmp_path).look().healthy
    assert world.now == NOW


def test_the_next_looks_wait_for_nothing_and_ask_for_distances_seldom(tmp_path: Path) -> None:
    world = World([lease("a", "one", 1)], [lease("a", "one", 2)])
    looker = world.looker(tmp_path)
    assert looker.look().healthy
    for _ in range(3):
        asked = len(world.asked)
        looker.look()
        assert len(world.asked) == asked + 1
    assert world.distances_asked == 1
    world.now += 12
    assert not looker.look().healthy
    assert world.distances_asked == 2


def test_rates_show_from_one_status_to_the_next(tmp_path: Path) -> None:
    world = World([lease("a", "here", 1)])
    looker = world.looker(tmp_path)
    rates = []
    for second, (pid, delivered) in enumerate([(1, 100), (1, 150), (2, 10), (2, 40)]):
        shard = {"shard": "a", "pid": pid, "counters": {"records_delivered": delivered}}
        world.now = NOW + second
        put(tmp_path, written(world.now, shards=[shard]))
        rates.append(looker.look().rows[0].rate)
    assert rates == [None, 50, 50, 30]


def test_only_daemons_of_the_application_are_told(tmp_path: Path) -> None:
    put(tmp_path, written(NOW, shards=[{"shard": "x"}], application="other"), "other")
    put(tmp_path, written(NOW, shards=[{"shard": "a"}], worker_id="one"), "app@one")
    put(tmp_path, written(NOW, shards=[{"shard": "b"}], worker_id="two"), "app@two")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "status.json").write_text("{")
    found = World([lease("a", "one"), lease("b", "two")]).looker(tmp_path).look()
    assert [told.worker_id for told in found.here] == ["one", "two"]
    assert [row.shard for row in found.rows] == ["a", "b"]


def test_trouble_with_the_lease_table_is_told(tmp_path: Path) -> None:
    world = World([])

    def fails() -> Sequence[Lease]:
        raise NotReady("DynamoDB does not answer in time")

    looker = Looker(
        settings(tmp_path),
        read_leases=fails,
        read_distances=world.distances,
        now=lambda: NOW,
        pause=world.pause,
    )
    assert looker.look().trouble == "DynamoDB does not answer in time"


class Kinesis:
    """Answers in turn, and remembers what was asked."""

    def __init__(self, *answers: tuple[float | None, int]) -> None:
        """Of each answer: when its record arrived, if there is one, and MillisBehindLatest."""
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    def get_shard_iterator(self, **request: Any) -> dict[str, Any]:
        self.asked.append(request)
        return {"ShardIterator": "first"}

    def get_records(self, **request: Any) -> dict[str, Any]:
        self.asked.append(request)
        arrived, behind = self.answers.pop(0)
        records = []
        if arrived is not None:
            records.append({"ApproximateArrivalTimestamp": datetime.fromtimestamp(arrived, UTC)})
        following = {"NextShardIterator": "next"} if self.answers else {}
        return {"Records": records, "MillisBehindLatest": behind, **following}


STREAM = {"StreamName": "stream"}


def test_the_distance_is_that_of_the_first_record_past_the_checkpoint() -> None:
    kinesis = Kinesis((None, 3000), (NOW, 2500))
    found = distance(kinesis, lease("a"), STREAM, {"StreamARN": "arn"})
    assert found == Distance(next_arrived_at=NOW, behind_latest_seconds=2.5)
    assert kinesis.asked[0] == {
        "ShardId": "a",
        "StreamName": "stream",
        "ShardIteratorType": "AFTER_SEQUENCE_NUMBER",
        "StartingSequenceNumber": "17",
    }
    assert kinesis.asked[1:] == [
        {"ShardIterator": "first", "Limit": 1, "StreamARN": "arn"},
        {"ShardIterator": "next", "Limit": 1, "StreamARN": "arn"},
    ]


@pytest.mark.parametrize(
    ("answers", "found"),
    [
        ([(None, 0)], Distance(behind_latest_seconds=0.0)),
        ([(None, 0), (NOW, 0)], Distance(behind_latest_seconds=0.0)),
        ([(None, 9000)], None),
        ([(None, 9000)] * 9, None),
    ],
)
def test_where_there_is_no_record_the_tip_decides(
    answers: list[tuple[float | None, int]], found: Distance | None
) -> None:
    kinesis = Kinesis(*answers)
    known = distance(kinesis, lease("a"), STREAM, {})
    if found is None:
        assert known.fault is not None
        assert known.behind_latest_seconds == 9.0
        assert len(kinesis.asked) <= 5
    else:
        assert known == found


def test_a_shard_without_a_checkpoint_is_asked_from_its_beginning() -> None:
    for checkpoint in (None, "TRIM_HORIZON"):
        kinesis = Kinesis((NOW, 0))
        distance(kinesis, lease("a", checkpoint=checkpoint), STREAM, {})
        assert kinesis.asked[0]["ShardIteratorType"] == "TRIM_HORIZON"
    assert distance(Kinesis(), lease("a", checkpoint="LATEST"), STREAM, {}).fault == "begins at LATEST"


HOSTILE = "[bold red]x[/]\x1b[31m\u202e"


def test_nothing_that_is_told_colours_or_moves_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    told = daemon(
        Shard(HOSTILE, held=HOSTILE, state=HOSTILE), worker=HOSTILE, reasons=(HOSTILE,), notes=(HOSTILE,)
    )
    found = application([lease(HOSTILE, HOSTILE, checkpoint=HOSTILE)], told)
    print_plain([found])
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "[bold red]x[/]\\x1b[31m" in out


def test_where_there_is_no_terminal_a_line_is_as_long_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    number = "4" * 56
    told = daemon(Shard("a"), notes=("word " * 80,))
    print_plain([application([lease("a", "here", checkpoint=number)], told)])
    out = capsys.readouterr().out
    assert f"- {'word ' * 79}word" in out
    assert number in out
    assert "✓ running  app  freshness 0.0 s  at 22:13:20 UTC" in out


def test_what_is_quoted_of_a_record_is_masked(capsys: pytest.CaptureFixture[str]) -> None:
    told = daemon(Shard("a"), reasons=('a: held: 1 of 2 …; the first: no_key: near "s3cret"',))
    print_plain([application([lease("a", "here")], told)])
    assert "s3cret" not in capsys.readouterr().out


type Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command on a world of leases: its exit code and what it printed."""

    def run(*arguments: str, leases: Sequence[Lease] = ()) -> tuple[int, str]:
        monkeypatch.setattr(status, "lease_reader", lambda _: lambda: leases)
        monkeypatch.setattr(status, "distance_reader", lambda _: lambda _: {})
        chosen = ["--set", f"worker.state_dir={tmp_path}", "--set", "failoverTimeMillis=1"]
        code = status_main([*arguments, *chosen])
        out, err = capsys.readouterr()
        return code, out + err

    return run


def test_the_exit_code_tells_whether_all_is_well(run: Run, tmp_path: Path) -> None:
    named = ("s3", "--set", "s3.bucket=bucket", "--set", "applicationName=app")
    code, out = run(*named, leases=[lease("a", None)])
    assert code == 1
    assert "down" in out
    put(tmp_path, written(time.time(), shards=[{"shard": "a"}]))
    code, out = run(*named, "--json", leases=[lease("a", "here")])
    assert code == 0
    (told,) = json.loads(out)
    assert told["healthy"] is True
    assert told["shards"][0]["checkpoint"] == "17"


def test_wrong_usage_and_wrong_settings_end_with_2(run: Run) -> None:
    code, out = run("s3", "--set", "no.such.key=1")
    assert code == 2
    assert "no.such.key" in out
    for wrong in (["nowhere"], ["--properties", "x"]):
        with pytest.raises(SystemExit) as ended:
            run(*wrong)
        assert ended.value.code == 2


def test_without_a_backend_those_are_shown_whose_settings_can_be_used(run: Run) -> None:
    code, out = run("--set", "s3.bucket=bucket", "--json", leases=[lease("a", None)])
    assert code == 1
    assert "player-log-s3" in out
