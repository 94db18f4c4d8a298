"""The flag of a pause, in an embedded DynamoDB."""

from typing import Any

import pytest

from consumer.daemon.prepare.pause_flag import NeverRun, PauseFlag
from consumer.daemon.report.pause import Pause, Paused
from consumer.settings import Settings

FIRST = Pause(who="ops@host", why="a migration", at_ms=1_000)
SECOND = Pause(who="dev@host", why="", at_ms=2_000)


@pytest.fixture
def flag(application: Settings, dynamodb: Any) -> PauseFlag:
    return PauseFlag(application)


def test_an_application_goes_on_until_it_is_paused_and_again_after_that(flag: PauseFlag) -> None:
    assert flag.read() is None
    assert flag.set(FIRST)
    assert flag.read(consistent=True) == Paused(FIRST)
    assert flag.clear() == Paused(FIRST)
    assert flag.read() is None
    assert flag.clear() is None


def test_a_second_pause_changes_nothing(flag: PauseFlag) -> None:
    flag.set(FIRST)
    assert not flag.set(SECOND)
    assert flag.read() == Paused(FIRST)


def test_workers_that_have_stopped_are_told_apart_whatever_their_names(flag: PauseFlag) -> None:
    flag.set(FIRST)
    flag.stopped(FIRST, "s3-host.example", 1_100)
    flag.stopped(FIRST, "s3-other#1", 1_200)
    flag.stopped(FIRST, "s3-other#1", 1_300)
    assert flag.read() == Paused(FIRST, {"s3-host.example": 1_100, "s3-other#1": 1_300})


@pytest.mark.parametrize("now", [None, SECOND])
def test_a_worker_that_is_late_marks_no_pause_but_its_own(flag: PauseFlag, now: Pause | None) -> None:
    flag.set(FIRST)
    flag.clear()
    if now is not None:
        flag.set(now)
    flag.stopped(FIRST, "worker", 1_100)
    assert flag.read() == (None if now is None else Paused(now))


def test_an_application_that_has_never_run_is_told_as_that(application: Settings) -> None:
    with pytest.raises(NeverRun, match="no worker of this application has ever started"):
        PauseFlag(application).read()


def test_the_kcls_own_items_stay_as_they_are(flag: PauseFlag, dynamodb: Any) -> None:
    leader = {"key": {"S": "Leader"}, "ownerName": {"S": "worker"}}
    dynamodb.put_item(TableName="app-CoordinatorState", Item=leader)
    flag.set(FIRST)
    flag.clear()
    assert dynamodb.scan(TableName="app-CoordinatorState")["Items"] == [leader]
