import threading
from collections.abc import Callable

import pytest

from consumer.daemon.errors import StartFailed
from consumer.daemon.prepare.preparation import (
    UNREACHABLE_SECONDS,
    Mendable,
    NotReady,
    Patience,
    Stopped,
    Unreachable,
    Unusable,
    prepare,
)
from consumer.daemon.report.log import Log


class Clock:
    """Time that passes only while someone pauses."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def pause(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        self.now += seconds
        return False


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def log(lines: list[str]) -> Log:
    return Log(backend="s3", level="DEBUG", clock=lambda: 0.0, write=lines.append)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def patience(clock: Clock) -> Patience:
    return Patience(timeout_seconds=100, monotonic=lambda: clock.now, pause=clock.pause)


def failing(times: int, error: Exception) -> Callable[[], str]:
    left = [error] * times

    def step() -> str:
        if left:
            raise left.pop()
        return "done"

    return step


def test_a_step_that_is_not_ready_is_asked_again_with_growing_pauses(
    clock: Clock, patience: Patience, log: Log, lines: list[str]
) -> None:
    prepare([failing(8, NotReady("503"))], patience=patience, log=log)
    assert clock.pauses == [0.25, 0.5, 1, 2, 4, 8, 10, 10]
    assert sum("503; asking again in" in line for line in lines) == 8
    assert lines[-1].endswith("INFO    s3: done")


def test_a_step_that_never_gets_ready_fails_after_the_timeout(
    clock: Clock, patience: Patience, log: Log
) -> None:
    with pytest.raises(StartFailed) as failure:
        prepare([failing(10_000, NotReady("table x does not take rows yet"))], patience=patience, log=log)
    assert failure.value.messages == ("table x does not take rows yet",)
    assert 100 <= clock.now < 111


def test_an_address_where_nothing_answers_fails_within_seconds_and_says_so_once(
    clock: Clock, patience: Patience, log: Log, lines: list[str]
) -> None:
    with pytest.raises(StartFailed, match="nothing answers"):
        prepare([failing(10_000, Unreachable("nothing answers"))], patience=patience, log=log)
    assert UNREACHABLE_SECONDS <= clock.now < 2 * UNREACHABLE_SECONDS
    assert lines == []


def test_all_faults_are_told_together_and_each_once(patience: Patience, log: Log) -> None:
    steps = [failing(1, Unusable(text)) for text in ("a", "b", "a")]
    with pytest.raises(StartFailed) as failure:
        prepare([*steps, failing(0, Unusable(""))], patience=patience, log=log)
    assert failure.value.messages == ("a", "b")


def test_faults_alike_are_one_line_with_their_subjects(patience: Patience, log: Log) -> None:
    steps = [failing(1, Unusable("a", subject=f"table {number}")) for number in range(4)]
    with pytest.raises(StartFailed) as failure:
        prepare([*steps, failing(1, Unusable("b", subject="table 1"))], patience=patience, log=log)
    assert failure.value.messages == ("a (table 0, table 1 and 2 more)", "b (table 1)")


def test_what_someone_has_to_mend_is_asked_for_ever_and_told_until_it_is(
    clock: Clock, log: Log, lines: list[str]
) -> None:
    told: list[tuple[str, ...]] = []
    patience = Patience(timeout_seconds=100, monotonic=lambda: clock.now, pause=clock.pause, tell=told.append)
    steps = [failing(500, Mendable("no permission", subject=f"table {number}")) for number in range(3)]
    prepare(steps, patience=patience, log=log)
    assert clock.now > 40 * patience.timeout_seconds
    fault = "no permission (table 0, table 1 and 1 more)"
    assert told == [(fault,)] * 500 + [()]
    errors = [line for line in lines if "ERROR" in line]
    assert len(errors) == 9  # the attempts 1, 2, 4 … 256
    assert errors[0].endswith(f"{fault}; nothing is delivered until that is mended, then it starts by itself")


def test_another_fault_is_told_at_once(patience: Patience, log: Log, lines: list[str]) -> None:
    faults: list[Exception] = [Mendable("b"), *[Mendable("a")] * 6]

    def step() -> str:
        if faults:
            raise faults.pop()
        return "done"

    prepare([step], patience=patience, log=log)
    assert [line.split(": ")[1].split(";")[0] for line in lines if "ERROR" in line] == ["a", "a", "a", "b"]


def test_what_was_mended_late_still_gets_its_time_to_become_ready(
    clock: Clock, patience: Patience, log: Log
) -> None:
    faults: list[Exception] = [*[NotReady("not yet")] * 8, *[Mendable("denied")] * 50]

    def step() -> str:
        if faults:
            raise faults.pop()
        return "done"

    prepare([step], patience=patience, log=log)
    assert clock.now > 5 * patience.timeout_seconds


def test_an_outage_after_an_answer_is_waited_for_longer_than_a_wrong_address(
    clock: Clock, patience: Patience, log: Log
) -> None:
    faults: list[Exception] = [*[Unreachable("nothing answers")] * 20, NotReady("503")]

    def step() -> str:
        if faults:
            raise faults.pop()
        return "done"

    prepare([step], patience=patience, log=log)
    assert clock.now > 5 * UNREACHABLE_SECONDS


def test_a_step_that_waits_keeps_no_place_from_another(patience: Patience, log: Log) -> None:
    """256 tables that get ready after a minute each are ready after a minute."""
    asked: list[int] = []

    def step(number: int) -> Callable[[], str]:
        ready = failing(1, NotReady("not yet"))

        def ask() -> str:
            asked.append(number)
            return ready()

        return ask

    prepare([step(number) for number in range(256)], patience=patience, log=log)
    assert sorted(asked[:256]) == list(range(256))
    assert len(asked) == 512


def test_a_fault_in_our_own_code_is_raised_as_it_is(patience: Patience, log: Log) -> None:
    with pytest.raises(ZeroDivisionError):
        prepare([failing(1, ZeroDivisionError()), failing(1, Unusable("a"))], patience=patience, log=log)


def test_being_told_to_stop_ends_the_pause(log: Log) -> None:
    stop = threading.Event()
    stop.set()
    patience = Patience(timeout_seconds=100, monotonic=lambda: 0.0, pause=stop.wait)
    with pytest.raises(Stopped):
        prepare([failing(1, NotReady("x"))], patience=patience, log=log)


def test_steps_run_at_once(patience: Patience, log: Log) -> None:
    barrier = threading.Barrier(4, timeout=20)

    def step() -> str:
        barrier.wait()
        return "met"

    prepare([step] * 4, patience=patience, log=log)


def test_what_a_service_says_without_end_is_cut() -> None:
    trouble = NotReady("x" * 8_000_000, subject="table t")
    assert len(trouble.message) == 4000
    assert str(trouble).endswith("x… (table t)")
