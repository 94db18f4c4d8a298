"""When a checkpoint is due, and what a refused one means."""

import pytest

from consumer.domain.checkpoints import CheckpointPolicy, CheckpointState, Refusal, refusal_of
from consumer.domain.records import Position

HERE, THERE = Position("5", 0), Position("5", 1)


def state(interval_seconds: float = 5) -> CheckpointState:
    return CheckpointState(CheckpointPolicy(interval_seconds))


def test_nothing_is_due_before_a_chunk_is_complete() -> None:
    assert not state().pending(None)
    assert not state().due(None, now=10**9)


def test_the_first_watermark_is_due_at_once() -> None:
    assert state().due(HERE, now=0)
    assert state().seconds_until_due(now=0) == 0


def test_the_next_one_waits_for_the_interval() -> None:
    checkpoints = state()
    checkpoints.succeeded(HERE, now=100)
    assert checkpoints.confirmed == HERE
    assert checkpoints.pending(THERE)
    assert not checkpoints.due(THERE, now=104.9)
    assert checkpoints.seconds_until_due(now=104) == pytest.approx(1)
    assert checkpoints.due(THERE, now=105)
    assert checkpoints.seconds_until_due(now=200) == 0


def test_a_watermark_that_is_confirmed_is_not_due_again() -> None:
    checkpoints = state()
    checkpoints.succeeded(HERE, now=0)
    assert not checkpoints.pending(Position("5", 0))
    assert not checkpoints.due(HERE, now=10**9)


def test_positions_that_differ_in_the_sub_sequence_number_only_are_different() -> None:
    checkpoints = state(interval_seconds=0)
    checkpoints.succeeded(HERE, now=0)
    assert checkpoints.due(THERE, now=0)


def test_a_failed_one_is_due_after_its_own_wait_and_confirms_nothing() -> None:
    checkpoints = state()
    checkpoints.failed(now=10, retry_after_seconds=1)
    assert checkpoints.confirmed is None
    assert not checkpoints.due(HERE, now=10.9)
    assert checkpoints.due(HERE, now=11)


def test_a_failure_keeps_what_was_confirmed_before() -> None:
    checkpoints = state()
    checkpoints.succeeded(HERE, now=0)
    checkpoints.failed(now=6, retry_after_seconds=1)
    assert checkpoints.confirmed == HERE


def test_a_negative_interval_is_refused() -> None:
    CheckpointPolicy(0)
    with pytest.raises(ValueError, match="negative"):
        CheckpointPolicy(-0.1)


@pytest.mark.parametrize(
    ("error_name", "refusal"),
    [
        ("ThrottlingException", Refusal.LATER),
        ("KinesisClientLibDependencyException", Refusal.LATER),
        ("ShutdownException", Refusal.LEASE_LOST),
        ("software.amazon.kinesis.exceptions.ShutdownException", Refusal.LEASE_LOST),
        ("software.amazon.kinesis.exceptions.ThrottlingException", Refusal.LATER),
        ("SomethingNewException", Refusal.REPEAT),
        ("java.lang.NullPointerException", Refusal.REPEAT),
        ("ThrottlingException.", Refusal.REPEAT),
        ("throttlingexception", Refusal.REPEAT),
        ("", Refusal.REPEAT),
    ],
)
def test_what_a_refused_checkpoint_asks_for(error_name: str, refusal: Refusal) -> None:
    assert refusal_of(error_name) is refusal
