"""What a worker does about the flag of a pause."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumer.daemon.prepare.pause_flag import NeverRun
from consumer.daemon.prepare.preparation import NotReady
from consumer.daemon.report.log import Log
from consumer.daemon.report.pause import Pause, Paused
from consumer.daemon.supervise.pause_watch import PauseFile, PauseWatch
from consumer.daemon.supervise.state import StateDirectory, locked
from consumer.domain.names import PAUSED_FILE

PAUSE = Pause(who="ops@host", why="a migration", at_ms=1_000)
LATER = Pause(who="dev@host", why="", at_ms=2_000)


class FakeFlag:
    def __init__(self) -> None:
        self.paused: Paused | None = None
        self.trouble: Exception | None = None
        self.told: list[Pause] = []

    def read(self) -> Paused | None:
        if self.trouble is not None:
            raise self.trouble
        return self.paused

    def stopped(self, pause: Pause, worker: str, at_ms: int) -> None:
        assert (worker, at_ms) == ("worker", 7)
        self.told.append(pause)


class FakeSupervisor:
    def __init__(self) -> None:
        self.paused: Pause | None = None
        self.still_takes = False

    def pause(self, pause: Pause | None) -> None:
        self.paused = pause

    def has_stopped(self) -> bool:
        return not self.still_takes


class Worker:
    """One life of a worker. `paused` is what its supervisor and its shard processes go by."""

    def __init__(self, state: StateDirectory, flag: FakeFlag) -> None:
        self.lines: list[str] = []
        self.supervisor = FakeSupervisor()
        self._state = state
        log = Log(backend="s3", level="INFO", clock=lambda: 0.0, write=self.lines.append)
        self.watch = PauseWatch(
            flag, PauseFile(state), self.supervisor, worker_id="worker", now_ms=lambda: 7, log=log
        )

    def look(self) -> None:
        asyncio.run(self.watch.look())

    @property
    def paused(self) -> tuple[Pause | None, bool]:
        return self.supervisor.paused, (self._state.path / PAUSED_FILE).exists()


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateDirectory]:
    with locked(tmp_path / "state", warn=lambda _: None) as held:
        yield held


@pytest.fixture
def flag() -> FakeFlag:
    return FakeFlag()


def test_supervisor_and_shard_processes_follow_the_flag_and_each_turn_is_logged_once(
    state: StateDirectory, flag: FakeFlag
) -> None:
    worker = Worker(state, flag)
    for said in (None, PAUSE, None):
        flag.paused = None if said is None else Paused(said)
        for _ in range(3):
            worker.look()
            assert worker.paused == (said, said is not None)
    assert [line.partition(": ")[2] for line in worker.lines] == [
        "paused by ops@host: a migration: no record is taken, what was taken is delivered",
        "no longer paused: records are taken again",
    ]


def test_a_worker_that_starts_during_a_pause_is_paused_before_it_has_looked(
    state: StateDirectory, flag: FakeFlag
) -> None:
    flag.paused = Paused(PAUSE)
    Worker(state, flag).look()
    flag.trouble = NotReady("DynamoDB does not answer")
    again = Worker(state, flag)
    assert again.paused == (PAUSE, True)
    again.look()
    assert again.paused == (PAUSE, True)


def test_a_file_that_cannot_be_read_is_a_pause_until_the_flag_says_otherwise(
    state: StateDirectory, flag: FakeFlag
) -> None:
    (state.path / PAUSED_FILE).write_bytes(b"{")
    worker = Worker(state, flag)
    assert worker.supervisor.paused is not None
    worker.look()
    assert worker.paused == (None, False)


def test_an_application_whose_tables_are_not_there_yet_goes_on(state: StateDirectory, flag: FakeFlag) -> None:
    flag.trouble = NeverRun("no table")
    worker = Worker(state, flag)
    worker.look()
    assert worker.paused == (None, False)
    assert worker.lines == []


@pytest.mark.parametrize(
    "trouble", [NotReady("DynamoDB does not answer"), OSError("disk"), RuntimeError("?")]
)
def test_what_keeps_the_flag_from_being_read_changes_nothing_and_is_logged_once(
    state: StateDirectory, flag: FakeFlag, trouble: Exception
) -> None:
    worker = Worker(state, flag)
    flag.paused = Paused(PAUSE)
    worker.look()
    flag.trouble = trouble
    for _ in range(3):
        worker.look()
    assert worker.paused == (PAUSE, True)
    assert len(worker.lines) == 2
    assert "so it stays paused" in worker.lines[1]


def test_a_worker_says_once_that_it_has_stopped_and_only_when_it_has(
    state: StateDirectory, flag: FakeFlag
) -> None:
    worker = Worker(state, flag)
    flag.paused = Paused(PAUSE)
    worker.supervisor.still_takes = True
    worker.look()
    assert flag.told == []
    worker.supervisor.still_takes = False
    worker.look()
    worker.look()
    assert flag.told == [PAUSE]


def test_one_pause_after_another_is_another(state: StateDirectory, flag: FakeFlag) -> None:
    worker = Worker(state, flag)
    for pause in (PAUSE, LATER):
        flag.paused = Paused(pause)
        worker.look()
    assert flag.told == [PAUSE, LATER]
    assert worker.paused == (LATER, True)
