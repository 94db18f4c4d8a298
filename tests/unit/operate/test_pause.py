"""`pause` and `resume`: what they say, wait for and leave, with a flag and a clock of their own."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import pytest

from consumer.daemon.prepare.pause_flag import NeverRun
from consumer.daemon.prepare.preparation import NotReady
from consumer.daemon.report.pause import Pause, Paused
from consumer.operate import pause as command
from consumer.operate.action import Action, Console, action_parser, run_action
from consumer.settings import Settings
from tests.unit.operate.fake_s3 import FakeS3, answer

NOW = 1_769_860_800.0
NOW_MS = 1_769_860_800_000
THEIRS = Pause(who="dev@host", why="theirs", at_ms=NOW_MS - 60_000)


SETTINGS = [
    "--set=streamName=logs",
    "--set=applicationName=app",
    "--set=s3.bucket=bucket",
    "--set=regionName=eu-west-1",
]


class FakeFlag:
    """A flag that every command of a test shares."""

    def __init__(self) -> None:
        self.paused: Paused | None = None
        self.trouble: Exception | None = None
        self.first_is: Pause | None = None

    def __call__(self, settings: Settings) -> FakeFlag:
        return self

    def read(self, *, consistent: bool = False) -> Paused | None:
        assert consistent
        if self.trouble is not None:
            raise self.trouble
        return self.paused

    def set(self, pause: Pause) -> bool:
        """Somebody else may come first."""
        self.paused = Paused(self.first_is or pause)
        return self.first_is is None

    def clear(self) -> Paused | None:
        paused, self.paused = self.paused, None
        return paused

    def stop(self, *workers: str) -> None:
        assert self.paused is not None
        self.paused = Paused(self.paused.pause, {**self.paused.stopped, **dict.fromkeys(workers, 1)})


class World:
    """Two workers, and what happens while a command waits: one thing each time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.flag = FakeFlag()
        self.workers = ["a", "b"]
        self.meanwhile: list[Callable[[], None]] = []
        self.seconds = 0.0
        self.s3 = FakeS3()
        monkeypatch.setattr(command, "PauseFlag", self.flag)
        monkeypatch.setattr(command, "_workers", lambda settings: self.workers)

    def run(self, act: Callable[[Action], int], *arguments: str) -> tuple[int, list[str]]:
        """The exit code and the lines, those of the audit aside."""
        out = io.StringIO()
        options = action_parser("pause", "", why=("--reason",)).parse_args(
            ["s3", "--properties=/dev/null", "--who=ops", *SETTINGS, *arguments]
        )
        code = run_action(
            "pause",
            options,
            None,
            act,
            console=Console(out, io.StringIO()),
            now=lambda: NOW,
            new_client=lambda settings: self.s3,
        )
        return code, [line for line in out.getvalue().splitlines() if not line.startswith("audit ")]

    def pause(self, *arguments: str) -> tuple[int, list[str]]:
        return self.run(
            lambda action: command.pause(action, monotonic=lambda: self.seconds, sleep=self._sleep),
            *arguments,
        )

    def resume(self, *arguments: str) -> tuple[int, list[str]]:
        return self.run(command.resume, *arguments)

    def audits(self) -> list[dict[str, object]]:
        return [json.loads(self.s3.body(key)) for key in sorted(self.s3.keys())]

    def _sleep(self, seconds: float) -> None:
        self.seconds += seconds
        if self.meanwhile:
            self.meanwhile.pop(0)()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_a_pause_waits_until_every_worker_with_a_lease_has_stopped(world: World) -> None:
    world.meanwhile = [lambda: world.flag.stop("a"), lambda: world.flag.stop("b", "another")]
    code, lines = world.pause("--yes", "--reason=a migration")
    assert code == 0
    assert lines == [
        "0 of 2 workers with leases have stopped taking records",
        "1 of 2 workers with leases have stopped taking records",
        "2 of 2 workers with leases have stopped taking records",
        "app is paused; bin/resume s3 lets it go on",
    ]
    assert world.flag.paused is not None
    assert world.flag.paused.pause == Pause(who="ops", why="a migration", at_ms=NOW_MS)
    [audit] = world.audits()
    assert (audit["state"], audit["who"], audit["reason"]) == ("done", "ops", "a migration")
    assert audit["counts"] == {"workers": 2, "stopped": 2}


def test_a_worker_that_takes_a_lease_meanwhile_is_waited_for_as_well(world: World) -> None:
    world.meanwhile = [
        lambda: world.flag.stop("a", "b"),
        lambda: world.flag.stop("c"),
    ]
    world.workers = ["a", "b", "c"]
    assert world.pause("--yes")[0] == 0


def test_a_worker_that_does_not_stop_is_named_and_the_pause_stays(world: World) -> None:
    world.meanwhile = [lambda: world.flag.stop("a")]
    code, lines = world.pause("--yes")
    assert code == 1
    assert "these workers have not said that they stopped: b." in lines[-1]
    assert world.flag.paused is not None
    assert world.audits()[0]["counts"] == {"workers": 2, "stopped": 1}


def test_nobody_has_to_run(world: World) -> None:
    world.workers = []
    assert world.pause("--yes")[0] == 0


def test_a_pause_that_is_there_is_told_and_waited_for_and_not_changed(world: World) -> None:
    world.flag.paused = Paused(THEIRS, {"a": 1, "b": 1})
    code, lines = world.pause("--yes", "--reason=mine")
    assert code == 0
    assert lines[0] == "app is paused already, by dev@host since 2026-01-31T11:59:00Z (theirs)"
    assert world.flag.paused.pause == THEIRS
    assert world.audits() == []


def test_of_two_that_pause_at_once_the_second_waits_for_the_firsts(world: World) -> None:
    world.flag.first_is = THEIRS
    world.meanwhile = [lambda: world.flag.stop("a", "b")]
    assert world.pause("--yes")[0] == 0
    assert world.flag.paused is not None
    assert world.flag.paused.pause == THEIRS


def test_a_resume_while_a_pause_waits_ends_it(world: World) -> None:
    world.meanwhile = [lambda: setattr(world.flag, "paused", None)]
    code, lines = world.pause("--yes")
    assert (code, lines[-1]) == (1, "pause: app was let go on meanwhile")


def test_a_resume_ends_a_pause_once(world: World) -> None:
    world.flag.paused = Paused(THEIRS, {"a": 1})
    assert world.resume("--yes") == (0, ["app goes on: its workers take records again within seconds"])
    assert world.flag.paused is None
    assert world.resume("--yes") == (0, ["app is not paused"])
    assert len(world.audits()) == 1


@pytest.mark.parametrize(
    ("arguments", "code"), [(("--dry-run",), 0), ((), 1)], ids=["dry run", "nobody to ask"]
)
def test_nothing_is_changed_without_a_yes(world: World, arguments: tuple[str, ...], code: int) -> None:
    assert world.pause(*arguments)[0] == code
    assert world.flag.paused is None
    world.flag.paused = Paused(THEIRS)
    assert world.resume(*arguments)[0] == code
    assert world.flag.paused == Paused(THEIRS)
    assert world.audits() == []


def test_without_the_right_to_write_the_audit_nothing_is_changed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**options: object) -> None:
        raise answer("AccessDenied", 403)

    monkeypatch.setattr(world.s3, "put_object", refuse)
    code, lines = world.pause("--yes")
    assert code == 1
    assert "nothing was changed: the audit cannot be written" in lines[-1]
    assert world.flag.paused is None


@pytest.mark.parametrize("trouble", [NeverRun("no worker has ever started"), NotReady("DynamoDB is away")])
def test_what_keeps_the_flag_from_being_read_is_one_line(world: World, trouble: Exception) -> None:
    world.flag.trouble = trouble
    assert world.pause("--yes") == (1, [f"pause: {trouble}"])
    assert world.resume("--yes")[0] == 1
