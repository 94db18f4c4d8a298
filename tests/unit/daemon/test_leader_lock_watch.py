"""When the supervisor releases the lock of the KCL's leader."""

import asyncio
from collections.abc import Callable, Iterator

import pytest

from consumer.daemon.report.log import Log
from consumer.daemon.supervise.leader_lock import LeaderLock
from consumer.daemon.supervise.logback import CONSOLE_MARK

GIVEN_UP = (
    f"{CONSOLE_MARK}ERROR|DynamoDBLockBasedLeaderDecider|Failed to complete releaseLeadershipIfHeld call."
    " software.amazon.awssdk.core.exception.SdkClientException: Unable to execute HTTP request"
)
OTHERS = (
    f"{CONSOLE_MARK}ERROR|LeaseAssignmentManager|Failed to perform assignment 3 times in a row, releasing leadership",
    f"{CONSOLE_MARK}INFO|DynamoDBLockBasedLeaderDecider|Worker : me is new leader",
)


class Dynamo:
    """Answers as it is told, one after the other."""

    def __init__(self, *answers: bool | Exception) -> None:
        self.asked = 0
        self._answers: Iterator[bool | Exception] = iter(answers)

    def release(self) -> bool:
        self.asked += 1
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


def watched(dynamo: Dynamo, run: Callable[[LeaderLock], None], until: int) -> list[str]:
    lines: list[str] = []

    async def life() -> None:
        log = Log(backend="s3", level="DEBUG", clock=lambda: 0.0, write=lines.append)
        lock = LeaderLock(dynamo.release, log=log, again_seconds=0)
        run(lock)
        async with asyncio.timeout(10):
            while dynamo.asked < until:
                await asyncio.sleep(0)
            await asyncio.sleep(0.01)
        await lock.close()

    asyncio.run(life())
    return lines


def test_a_lock_given_up_without_an_answer_is_released_once_dynamodb_answers() -> None:
    dynamo = Dynamo(OSError("refused"), OSError("refused"), True)
    lines = watched(dynamo, lambda lock: lock.heard(GIVEN_UP), until=3)
    assert dynamo.asked == 3
    assert ["gave up without DynamoDB's answer" in line for line in lines] == [True]


def test_several_lines_about_it_are_one() -> None:
    dynamo = Dynamo(True)

    def several(lock: LeaderLock) -> None:
        lock.heard(GIVEN_UP)
        lock.heard(GIVEN_UP)

    assert len(watched(dynamo, several, until=1)) == 1
    assert dynamo.asked == 1


def test_a_lock_that_is_gone_or_another_workers_says_nothing() -> None:
    assert watched(Dynamo(False), lambda lock: lock.heard(GIVEN_UP), until=1) == []


@pytest.mark.parametrize("line", OTHERS)
def test_other_lines_release_nothing(line: str) -> None:
    dynamo = Dynamo()
    assert watched(dynamo, lambda lock: lock.heard(line), until=0) == []
    assert dynamo.asked == 0


def test_the_next_jvm_ends_the_wait_for_an_answer() -> None:
    """What its start asks for itself decides from then on: its lock must not be taken from it later."""
    dynamo = Dynamo(OSError("refused"), True, True)
    lines: list[str] = []

    async def life() -> None:
        log = Log(backend="s3", level="DEBUG", clock=lambda: 0.0, write=lines.append)
        lock = LeaderLock(dynamo.release, log=log, again_seconds=60)
        lock.heard(GIVEN_UP)
        async with asyncio.timeout(10):
            while dynamo.asked < 1:
                await asyncio.sleep(0)
            await lock.before_a_jvm()
        await lock.close()

    asyncio.run(life())
    assert dynamo.asked == 2
    assert ["last JVM has left behind" in line for line in lines] == [True]
