"""What checks and scrapers are answered, by the state that the daemon is in."""

from dataclasses import replace
from http import HTTPStatus

import msgspec
import pytest

from consumer.daemon.report.health import (
    SILENT_AFTER_SECONDS,
    STUCK_AFTER_SECONDS,
    Health,
    Phase,
    State,
    assess,
)
from consumer.daemon.report.http import Answer
from consumer.daemon.report.probes import probes
from consumer.daemon.report.shards import Shards
from consumer.daemon.report.status import Status
from consumer.domain.events import StatusEvent
from tests.unit.daemon.statuses import NOW, POLICY, event, status_of


def known(one: StatusEvent, *, silent: float = 0) -> Shards:
    shards = Shards(trend_seconds=60)
    shards.update(one, NOW - silent)
    return shards


def health(
    one: StatusEvent | None, phase: Phase = Phase.RUNNING, *, silent: float = 0, **more: object
) -> Health:
    shards = () if one is None else known(one, silent=silent)
    return assess(phase=phase, shards=shards, policy=POLICY, now=NOW, **more)  # type: ignore[arg-type]


def well(**values: object) -> StatusEvent:
    return msgspec.structs.replace(event(), **values)


OLD_MS = int((NOW - 100) * 1000)
OUTAGE = well(
    oldest_undelivered_ms=OLD_MS,
    oldest_undelivered_read_ms=OLD_MS,
    retrying="503",
    retrying_class="transient",
)
STATES: list[tuple[State, Health]] = [
    (State.PREPARING, health(None, Phase.PREPARING)),
    (State.SETUP_BLOCKED, health(None, Phase.PREPARING, faults=["no bucket"])),
    (State.RUNNING, health(None)),
    (State.RUNNING, health(well())),
    (State.RUNNING, health(well(state="draining"))),
    (State.LAGGING, health(OUTAGE)),
    (State.LAGGING, health(well(oldest_undelivered_ms=OLD_MS))),
    (State.LAGGING, health(well(oldest_undelivered_ms=None, millis_behind_latest=70_000))),
    (State.HELD, health(well(held="too many", oldest_undelivered_read_ms=OLD_MS))),
    (State.SETUP_BLOCKED, health(well(retrying="denied", retrying_class="setup"))),
    (State.PAUSED, health(well(state="paused"), paused="me")),
    (State.PAUSED, health(None, paused="me")),
    (State.STUCK, health(well(last_callback_ms=0), silent=41)),
    (State.STUCK, health(well(), silent=SILENT_AFTER_SECONDS + 1)),
    (State.STUCK, health(well(), unread=["b: not read"], unread_shards=["b"])),
    (State.RESTARTING, health(well(), Phase.RESTARTING)),
    (State.DRAINING, health(well(held="too many"), Phase.STOPPING)),
]


@pytest.mark.parametrize(("state", "found"), STATES)
def test_a_state_is_one_word(state: State, found: Health) -> None:
    assert found.state is state


def test_every_state_is_reached() -> None:
    assert {state for state, _ in STATES} == set(State)


def test_shards_that_nobody_reads_are_named_while_somebody_is_to_read() -> None:
    reasons = ["b: not read"]
    assert health(well(), unread=reasons, unread_shards=["b"]).unread == {"b"}
    assert not health(well(), Phase.STOPPING, unread=reasons, unread_shards=["b"]).unread
    silent = well(last_callback_ms=0)
    assert health(silent, silent=41).unread == {silent.shard}


def answers(found: Health, *, jvm: bool = True) -> dict[str, Answer]:
    status: Status = replace(status_of(event(), health=found), jvm_pid=17 if jvm else None)
    return {path: probe(None) for path, probe in probes(lambda: status, lambda: b"some 1\n").items()}


def codes(found: Health, *, jvm: bool = True) -> dict[str, int]:
    return {path: answer.code.value for path, answer in answers(found, jvm=jvm).items()}


def test_a_backend_that_is_down_is_told_and_is_no_reason_to_replace_or_leave_out_the_daemon() -> None:
    assert codes(health(OUTAGE)) == {"/healthz": 503, "/readyz": 200, "/livez": 200, "/metrics": 200}


@pytest.mark.parametrize(
    ("phase", "jvm", "ready"),
    [
        (Phase.PREPARING, False, False),
        (Phase.RUNNING, True, True),
        (Phase.RUNNING, False, False),
        (Phase.RESTARTING, False, False),
        (Phase.STOPPING, True, False),
    ],
)
def test_ready_is_what_can_take_leases(phase: Phase, jvm: bool, ready: bool) -> None:
    found = answers(health(None, phase), jvm=jvm)
    assert (found["/readyz"].code is HTTPStatus.OK) is ready
    assert msgspec.json.decode(found["/readyz"].body)["ready"] is ready
    assert found["/livez"].code is HTTPStatus.OK


def test_a_process_that_is_silent_for_long_is_stuck_until_something_restarts_the_daemon() -> None:
    silent = health(well(), silent=STUCK_AFTER_SECONDS + 1)
    assert codes(silent)["/livez"] == 503
    assert msgspec.json.decode(answers(silent)["/livez"].body)["stuck"] == [event().shard]
    assert codes(health(well(), silent=STUCK_AFTER_SECONDS))["/livez"] == 200


def test_shards_that_others_should_read_are_no_reason_to_restart_this_worker() -> None:
    assert codes(health(well(), unread=["b: not read"], unread_shards=["b"]))["/livez"] == 200


def test_the_state_stands_beside_the_phase_in_each_answer() -> None:
    for path, answer in answers(health(OUTAGE)).items():
        if path != "/metrics":
            told = msgspec.json.decode(answer.body)
            assert (told["state"], told["phase"]) == ("lagging", "running")


def test_metrics_are_text() -> None:
    answer = answers(health(well()))["/metrics"]
    assert (answer.body, answer.content_type) == (b"some 1\n", "text/plain; version=0.0.4; charset=utf-8")
