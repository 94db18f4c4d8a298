"""The command of each JVM: its AOT cache, and when it is left out. tests/functional/test_supervisor.py has its heap."""

import asyncio
import signal
from pathlib import Path
from unittest.mock import create_autospec

import pytest

from consumer.daemon.report.log import Log
from consumer.daemon.supervise.aot_cache import Unusable
from consumer.daemon.supervise.java import JavaCommand
from consumer.daemon.supervise.jvm_command import Commands
from consumer.daemon.supervise.leader_lock import LeaderLock
from consumer.settings import load

COMMAND = JavaCommand(arguments=("java", "-Xown", "Main"), environment={})
CACHE = "-XX:AOTCache=/lib/it.aot"


def damaged() -> Path:
    raise Unusable("it is damaged")


def commands(cache: object, log: Log) -> Commands:
    return Commands(
        COMMAND,
        load("s3", overrides={"s3.bucket": "bucket", "jvm.heap": "100MiB"}),
        open_shards=1,
        count=lambda: 1,
        cache=cache,  # type: ignore[arg-type]
        lock=create_autospec(LeaderLock, instance=True),
        log=log,
    )


@pytest.fixture
def log() -> Log:
    return create_autospec(Log, instance=True)  # type: ignore[no-any-return]


def test_a_jvm_starts_with_the_cache() -> None:
    made = commands(lambda: Path("/lib/it.aot"), create_autospec(Log, instance=True))
    assert asyncio.run(made.first()).arguments == ("java", CACHE, "-Xmx100m", "-Xown", "Main")
    assert CACHE in asyncio.run(made.next(last_code=-signal.SIGKILL)).arguments
    assert CACHE in asyncio.run(made.next(last_code=1)).arguments


def test_one_that_cannot_be_believed_is_left_out_and_told(log: Log) -> None:
    assert asyncio.run(commands(damaged, log).first()).arguments == ("java", "-Xmx100m", "-Xown", "Main")
    [told] = log.warning.call_args_list  # type: ignore[attr-defined]
    assert "starts without an AOT cache" in told.args[0]
    assert "it is damaged" in told.args[0]


def test_another_java_has_none_and_nothing_is_said_of_it(log: Log) -> None:
    assert asyncio.run(commands(None, log).first()).arguments == ("java", "-Xmx100m", "-Xown", "Main")
    log.warning.assert_not_called()  # type: ignore[attr-defined]


@pytest.mark.parametrize("code", [-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS])
def test_after_a_crash_of_the_jvm_it_is_left_out_for_good(log: Log, code: int) -> None:
    made = commands(lambda: Path("/lib/it.aot"), log)
    asyncio.run(made.first())
    assert CACHE not in asyncio.run(made.next(last_code=code)).arguments
    assert CACHE not in asyncio.run(made.next(last_code=1)).arguments
    log.warning.assert_called_once()  # type: ignore[attr-defined]
