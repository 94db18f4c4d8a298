"""The embedded Storage Write API: appends of a stream take turns, and go in as a whole or not at all."""

import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.cloud.bigquery_storage_v1 import types
from local_bigquery.grpc.read import StorageError

from consumer.local.bigquery import storage_write
from consumer.local.bigquery.storage_write import Faults
from consumer.local.faults.rules import Action, Answer, Delay, LoseAnswer, RefuseRows, Reset, Rule, Rules

CREATE = "CreateWriteStream"
TABLE = "projects/p/datasets/d/tables/player_log_0"


def faults_of(action: Action, **scope: Any) -> Faults:
    rules = Rules()
    rules.put("one", Rule(action=action, **scope), 0.0)
    return Faults(rules)


@pytest.mark.parametrize(
    ("action", "code"),
    [
        (Answer(503, "backendError"), grpc.StatusCode.UNAVAILABLE),
        (Answer(500, "internalError"), grpc.StatusCode.INTERNAL),
        (Answer(429, "rateLimitExceeded"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (Answer(403, "quotaExceeded"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (Answer(403, "accessDenied"), grpc.StatusCode.PERMISSION_DENIED),
        (Answer(401, "authError"), grpc.StatusCode.UNAUTHENTICATED),
        (Answer(404, "notFound"), grpc.StatusCode.NOT_FOUND),
        (Reset(), grpc.StatusCode.UNAVAILABLE),
        (RefuseRows(), grpc.StatusCode.UNAVAILABLE),
    ],
)
def test_a_fault_is_told_in_grpcs_codes_before_anything_is_done(
    action: Action, code: grpc.StatusCode
) -> None:
    done: list[object] = []
    call = faults_of(action).unary(CREATE, done.append, lambda request: TABLE)
    with pytest.raises(StorageError) as error:
        call("request")
    assert error.value.code is code
    assert done == []


def test_a_lost_answer_comes_after_the_work() -> None:
    done: list[object] = []
    call = faults_of(LoseAnswer()).unary(CREATE, done.append, lambda request: TABLE)
    with pytest.raises(StorageError):
        call("request")
    assert done == ["request"]


@pytest.mark.parametrize(
    "scope", [{"operation": "AppendRows"}, {"path": "/tables/player_log_[1-f]/"}, {"service": "s3"}]
)
def test_a_rule_about_something_else_lets_a_call_through(scope: dict[str, str]) -> None:
    call = faults_of(Reset(), **scope).unary(CREATE, lambda request: "answer", lambda request: TABLE)
    assert call("request") == "answer"


def test_a_delay_comes_before_the_work() -> None:
    call = faults_of(Delay(0.0), path="/tables/player_log_0/").unary(
        CREATE, lambda request: "answer", lambda request: TABLE
    )
    assert call("request") == "answer"


def test_the_work_on_one_name_takes_turns() -> None:
    inside, together = 0, 0
    both = threading.Event()

    def work(name: str) -> None:
        nonlocal inside, together
        inside += 1
        together = max(together, inside)
        both.wait(0.05)
        inside -= 1

    one_at_a_time: Callable[..., None] = storage_write._one_at_a_time(work, lambda name: str(name))
    threads = [threading.Thread(target=one_at_a_time, args=("stream",)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == 1


def test_errors_of_offsets_and_finalized_streams_carry_bigquerys_own_code() -> None:
    for code, message, storage_code in (
        (grpc.StatusCode.ALREADY_EXISTS, "exists", 8),
        (grpc.StatusCode.OUT_OF_RANGE, "beyond", 9),
        (grpc.StatusCode.INVALID_ARGUMENT, "Stream is finalized", 6),
    ):
        status = storage_write._status(code, message)
        assert status.code == code.value[0]
        (detail,) = status.details
        error = types.StorageError.deserialize(detail.value)
        assert int(error.code) == storage_code
    assert not storage_write._status(grpc.StatusCode.INTERNAL, "other").details
