"""What an operator sees of each event in the life of a shard: a log event by its name, metrics that move, and the state
in a word, from a real shard process to the table of metrics."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest

from consumer.daemon.metrics.table import METRICS, Buckets, Snapshot
from consumer.daemon.report.health import HealthPolicy, State, shard_state
from consumer.daemon.report.shards import Shards
from consumer.domain.event_names import EventName
from consumer.domain.events import StatusEvent
from tests.functional.conftest import StartShard
from tests.functional.harness.event_log import EventLog
from tests.functional.harness.kcl import Kcl, record, records, refuse_first
from tests.functional.harness.s3_stub import (
    ACCESS_DENIED,
    INTERNAL_ERROR,
    SLOW_DOWN,
    Rule,
    S3Stub,
    answer_lost,
    first,
)
from tests.functional.harness.shard_settings import ONE_RECORD_A_CHUNK, s3_settings
from tests.unit.daemon.statuses import status_of

AT_ONCE = HealthPolicy(undelivered_seconds=0, unread_seconds=60)
"""Whatever waits is late."""

type Found = Mapping[tuple[str, tuple[str, ...]], float]


@dataclass(frozen=True, kw_only=True)
class Case:
    """What happens, and what shows of it: `moved` are metrics with their labels' values."""

    act: Callable[[Kcl], None]
    shows: EventName
    moved: dict[tuple[str, tuple[str, ...]], int | None]
    """By how much; None where it depends on the moment."""
    state: State
    rule: Rule = lambda put: None
    settings: dict[str, str] = field(default_factory=lambda: dict(ONE_RECORD_A_CHUNK))


def take(kcl: Kcl) -> None:
    kcl.give(records([1]), behind_ms=0)


def take_bad(kcl: Kcl) -> None:
    kcl.give([record(1, b"bad"), record(2)], behind_ms=0)


def take_only_bad(kcl: Kcl) -> None:
    kcl.give([record(number, b"bad") for number in range(10)], behind_ms=0)


def take_throttled(kcl: Kcl) -> None:
    kcl.answer = refuse_first("ThrottlingException")
    kcl.process(records([1]), behind_ms=0)
    while not kcl.confirmed:
        kcl.process([], behind_ms=0)


def shut_down(kcl: Kcl) -> None:
    kcl.process(records([1, 2]), behind_ms=0)
    kcl.shut_down()


def lose(kcl: Kcl) -> None:
    kcl.process(records([1, 2]), behind_ms=0)
    kcl.lose_lease()


def end(kcl: Kcl) -> None:
    kcl.process(records([1, 2]), behind_ms=0)
    kcl.end_shard()


HAPPENINGS = {
    "the backend answers 5xx": Case(
        rule=lambda put: INTERNAL_ERROR,
        act=take,
        shows="delivery_retried",
        moved={("consumer_retries_total", ("transient",)): None, ("consumer_records_in_flight", ()): 1},
        state=State.LAGGING,
    ),
    "the backend throttles": Case(
        rule=lambda put: SLOW_DOWN,
        act=take,
        shows="delivery_retried",
        moved={("consumer_retries_total", ("throttled",)): None, ("consumer_records_in_flight", ()): 1},
        state=State.LAGGING,
    ),
    "a permission is denied": Case(
        rule=lambda put: ACCESS_DENIED,
        act=take,
        shows="delivery_retried",
        moved={("consumer_retries_total", ("setup",)): None, ("consumer_records_in_flight", ()): 1},
        state=State.SETUP_BLOCKED,
    ),
    "an answer is lost after the write was done": Case(
        rule=first(1, answer_lost),
        act=take,
        shows="delivery_recovered",
        moved={
            ("consumer_retries_total", ("transient",)): 1,
            ("consumer_records_delivered_total", ()): 1,
            ("consumer_objects_written_total", ()): 1,
        },
        state=State.RUNNING,
    ),
    "one record is bad": Case(
        settings={**ONE_RECORD_A_CHUNK, "deadletter.max_ratio": "1"},
        act=take_bad,
        shows="dead_letter",
        moved={
            ("consumer_dead_letters_total", ("not_json",)): 1,
            ("consumer_records_dead_lettered_total", ()): 1,
            ("consumer_records_delivered_total", ()): 1,
        },
        state=State.RUNNING,
    ),
    "most records are bad": Case(
        settings={"chunk.max_records": "10", "deadletter.ratio_window": "10"},
        act=take_only_bad,
        shows="shard_held",
        moved={("consumer_shards_held", ()): 1, ("consumer_records_in_flight", ()): 10},
        state=State.HELD,
    ),
    "a checkpoint is throttled": Case(
        act=take_throttled,
        shows="checkpoint_failed",
        moved={("consumer_checkpoints_refused_total", ()): 1, ("consumer_records_delivered_total", ()): 1},
        state=State.RUNNING,
    ),
    "the shard is given up in order": Case(
        settings={},
        act=shut_down,
        shows="shard_shut_down",
        moved={("consumer_records_left_total", ()): 2},
        state=State.DRAINING,
    ),
    "the lease is lost": Case(
        settings={},
        act=lose,
        shows="lease_lost",
        moved={("consumer_records_left_total", ()): 2},
        state=State.DRAINING,
    ),
    "the shard ends": Case(
        settings={},
        act=end,
        shows="shard_ended",
        moved={("consumer_records_delivered_total", ()): 2, ("consumer_checkpoints_total", ()): None},
        state=State.RUNNING,
    ),
}


@pytest.mark.parametrize("what", HAPPENINGS)
def test_it_shows_in_the_log_the_metrics_and_the_state(
    what: str, s3: S3Stub, start_shard: StartShard, events: EventLog
) -> None:
    case = HAPPENINGS[what]
    s3.rule = case.rule
    kcl = start_shard(s3_settings(s3, case.settings), events=events.path)
    kcl.initialize()
    case.act(kcl)
    assert events.named(case.shows).name == case.shows
    events.any_status(lambda event: has_moved(case, metrics_of(event)) and state_of(event) is case.state)


def has_moved(case: Case, found: Found) -> bool:
    return found["consumer_conservation_records", ()] == 0 and all(
        found.get(key, 0) == amount if amount is not None else found.get(key, 0) > 0
        for key, amount in case.moved.items()
    )


def metrics_of(event: StatusEvent) -> Found:
    snapshot = Snapshot(status=status_of(event), version="1", method="put_object")
    return {
        (metric.name, sample.labels): sample.value
        for metric in METRICS
        for sample in metric.read(snapshot)
        if not isinstance(sample.value, Buckets)
    }


def state_of(event: StatusEvent) -> State:
    shards = Shards(trend_seconds=60)
    shards.update(event, time.time())
    (shard,) = shards
    return shard_state(shard, AT_ONCE, time.time())
