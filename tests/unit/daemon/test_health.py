import itertools
from typing import Any

import pytest

from consumer.daemon.report.health import (
    SILENT_AFTER_SECONDS,
    Health,
    HealthPolicy,
    Phase,
    State,
    assess,
    hung_for,
    shard_state,
)
from consumer.daemon.report.shards import Shards
from consumer.domain.events import ENDED, RUNNING, StatusEvent
from consumer.domain.unread_times import COUNTER

NOW = 1000.0
POLICY = HealthPolicy(undelivered_seconds=60, unread_seconds=40)
SHARD = "shardId-000000000000"


def event(shard: str = SHARD, pid: int = 7, state: str = RUNNING, **values: object) -> StatusEvent:
    return StatusEvent(shard=shard, pid=pid, state=state, **values)  # type: ignore[arg-type]


def shards_with(*events: StatusEvent, at: float = NOW) -> Shards:
    shards = Shards(trend_seconds=60)
    for one in events:
        shards.update(one, at)
    return shards


def health(*events: StatusEvent, at: float = NOW, phase: Phase = Phase.RUNNING) -> Health:
    return assess(phase=phase, shards=shards_with(*events, at=at), policy=POLICY, now=NOW)


def ms(seconds: float) -> int:
    return int(seconds * 1000)


@pytest.mark.parametrize(
    ("said", "state"),
    [
        (RUNNING, State.RUNNING),
        (ENDED, State.RUNNING),
        ("paused", State.PAUSED),
        ("draining", State.DRAINING),
    ],
)
def test_a_shard_that_was_read_to_its_end_is_not_given_up(said: str, state: State) -> None:
    (shard,) = shards_with(event(state=said, last_callback_ms=ms(NOW), millis_behind_latest=0))
    assert shard_state(shard, POLICY, NOW) is state


def test_a_worker_without_shards_is_well() -> None:
    assert health().healthy


def test_a_process_whose_lease_another_worker_has_and_renews_need_not_be_called() -> None:
    """Its end is near, and the shard is read: a minute of 503 would be for nothing."""
    shards = shards_with(event(last_callback_ms=ms(NOW - 100), millis_behind_latest=0), at=NOW - 600)
    shards.update(event(last_callback_ms=ms(NOW - 100), millis_behind_latest=0), NOW)

    def judged() -> Health:
        return assess(phase=Phase.RUNNING, shards=shards, policy=POLICY, now=NOW)

    assert (judged().healthy, judged().unread, judged().state) == (False, frozenset({SHARD}), State.STUCK)
    shards.set_read_elsewhere(frozenset({SHARD}))
    assert (judged().healthy, judged().unread, judged().state) == (True, frozenset(), State.RUNNING)
    shards.update(event(last_callback_ms=ms(NOW - 100), millis_behind_latest=0), NOW)
    assert judged().healthy
    shards.set_read_elsewhere(frozenset())
    assert not judged().healthy


@pytest.mark.parametrize("phase", [Phase.PREPARING, Phase.RUNNING, Phase.STOPPING])
def test_a_phase_that_is_meant_to_be_is_well(phase: Phase) -> None:
    assert health(phase=phase).healthy


@pytest.mark.parametrize(("silent", "healthy"), [(40, True), (41, False)])
def test_each_shard_has_to_be_called_whatever_the_others_are(silent: float, healthy: bool) -> None:
    shards = shards_with(event("a"), event("b"), at=NOW - 600)
    shards.update(event("a", last_callback_ms=ms(NOW)), NOW)
    shards.update(event("b", last_callback_ms=ms(NOW - silent)), NOW)
    result = assess(phase=Phase.RUNNING, shards=shards, policy=POLICY, now=NOW, kcl_error="Denied")
    assert result.healthy == healthy
    if not healthy:
        assert result.reasons == (
            f"b: not read for {silent} s: the KCL gives its process nothing",
            "the KCL's last error: Denied",
        )


@pytest.mark.parametrize(("read_before", "healthy"), [(NOW - 41, False), (NOW - 40, True), (None, True)])
def test_a_shard_stays_unread_when_its_process_begins_anew_until_that_is_given_something(
    read_before: float | None, healthy: bool
) -> None:
    def judged(given: StatusEvent) -> Health:
        shards.update(given, NOW, read_before=NOW)
        return assess(phase=Phase.RUNNING, shards=shards, policy=POLICY, now=NOW)

    shards = Shards(trend_seconds=60)
    shards.update(event(pid=8), NOW, read_before=read_before)
    assert judged(event(pid=8, last_callback_ms=ms(NOW))).healthy is healthy
    assert judged(event(pid=8, last_callback_ms=ms(NOW), millis_behind_latest=0)).healthy
    assert judged(event(pid=8, last_callback_ms=ms(NOW))).healthy


@pytest.mark.parametrize(
    ("phase", "healthy"),
    [(Phase.RUNNING, False), (Phase.STOPPING, True), (Phase.PREPARING, True)],
)
def test_reading_counts_while_the_jvm_runs(phase: Phase, healthy: bool) -> None:
    shards = shards_with(event(), at=NOW - 600)
    shards.update(event(last_callback_ms=ms(NOW - 300)), NOW)
    result = assess(phase=phase, shards=shards, policy=POLICY, now=NOW, unread=["b: not read"])
    assert result.healthy == healthy


def test_an_error_of_the_kcl_is_no_reason_while_all_is_read() -> None:
    assert assess(
        phase=Phase.RUNNING, shards=shards_with(event()), policy=POLICY, now=NOW, kcl_error="x"
    ).healthy


@pytest.mark.parametrize(
    ("phase", "seconds", "reasons"),
    [
        (Phase.PREPARING, 40, ()),
        (
            Phase.PREPARING,
            41,
            ("not prepared after 41 s, so no shard is read: the log says what is waited for",),
        ),
        (Phase.RUNNING, 600, ()),
        (Phase.STOPPING, 600, ()),
    ],
)
def test_a_preparation_without_an_end_is_ill(phase: Phase, seconds: float, reasons: tuple[str, ...]) -> None:
    def judged(*faults: str) -> Health:
        return assess(
            phase=phase, shards=shards_with(), policy=POLICY, now=NOW, began_at=NOW - seconds, faults=faults
        )

    assert judged().reasons == reasons
    assert judged("no bucket").reasons == ("no bucket",)


def test_an_ended_jvm_is_ill() -> None:
    assert health(phase=Phase.RESTARTING).reasons == ("the JVM has ended and is not running again yet",)


@pytest.mark.parametrize(("age", "healthy"), [(60, True), (61, False)])
def test_a_record_that_waits_too_long_since_it_was_read_makes_ill(age: float, healthy: bool) -> None:
    result = health(event(oldest_undelivered_ms=1, oldest_undelivered_read_ms=ms(NOW - age)))
    assert result.healthy == healthy


def called(now: float, **values: object) -> StatusEvent:
    return event(last_callback_ms=ms(now), **values)  # type: ignore[arg-type]


def following(ages: list[float], *, read_ago: float = 1) -> Health:
    """One event a second, each of which finds a record of such an age at the front."""
    shards = Shards(trend_seconds=60)
    for place, age in enumerate(ages):
        now = NOW - len(ages) + 1 + place
        read_ms = ms(now - read_ago)
        shards.update(
            called(now, oldest_undelivered_ms=ms(now - age), oldest_undelivered_read_ms=read_ms), now
        )
    return assess(phase=Phase.RUNNING, shards=shards, policy=POLICY, now=NOW)


def test_a_process_that_begins_with_old_records_is_catching_up() -> None:
    result = following([86_400.0])
    assert result.healthy
    assert result.notes == (f"{SHARD}: catching up: the oldest record not delivered is 86400 s old",)


@pytest.mark.parametrize(
    "stands_still", [{"held": "6 of 10 records are bad"}, {"oldest_undelivered_read_ms": ms(NOW - 61)}]
)
def test_a_process_that_is_stuck_on_old_records_is_not(stands_still: dict[str, Any]) -> None:
    old = {"oldest_undelivered_ms": ms(NOW - 86_400), "oldest_undelivered_read_ms": ms(NOW - 2)}
    result = health(event(**{"last_callback_ms": ms(NOW), **old, **stands_still}))
    assert not result.healthy
    assert not result.notes


def test_catching_up_on_old_records_is_well() -> None:
    ages = [5000 - 3 * second + 10 * (second % 7) for second in range(600)]
    result = following([float(age) for age in ages])
    assert result.healthy
    assert result.notes


@pytest.mark.parametrize("growth", [1.0, 0.2, 0.0, -0.01])
def test_a_backend_slower_than_the_stream_makes_ill_though_each_record_was_read_lately(growth: float) -> None:
    result = following([343 + growth * second + second % 7 for second in range(600)])
    assert not result.healthy
    assert "does not catch up: less is delivered than the stream brings" in result.reasons[0]


@pytest.mark.parametrize(("age", "throttled", "told"), [(61, SHARD, 1), (59, SHARD, 0), (61, "another", 0)])
def test_a_shard_that_is_behind_while_its_reads_are_throttled_says_so(
    age: float, throttled: str, told: int
) -> None:
    behind = event(millis_behind_latest=ms(age), last_callback_ms=ms(NOW))
    shards = shards_with(behind)
    result = assess(phase=Phase.RUNNING, shards=shards, policy=POLICY, now=NOW, throttled=[throttled])
    assert len([note for note in result.notes if "behind, and reads are throttled" in note]) == told


def test_health_does_not_turn_to_and_fro_while_a_shard_falls_behind() -> None:
    ages = [0.3 * second + 5 * (second % 20) / 20 for second in range(2000)]
    shards = Shards(trend_seconds=60)
    ill = []
    for second, age in enumerate(ages):
        shards.update(
            called(
                second,
                oldest_undelivered_ms=ms(second - age),
                oldest_undelivered_read_ms=ms(second - second % 50),
            ),
            float(second),
        )
        ill.append(not assess(phase=Phase.RUNNING, shards=shards, policy=POLICY, now=float(second)).healthy)
    turns = sum(before != after for before, after in itertools.pairwise(ill))
    assert ill[-1]
    assert turns <= 3  # the age passes the limit within one tooth of the saw


def test_a_shard_that_is_behind_with_nothing_in_hand_is_not_fresh() -> None:
    shards = shards_with(event(millis_behind_latest=90_000))
    (shard,) = shards
    assert shard.freshness_seconds(NOW) == 90


def test_the_arrival_counts_where_the_reading_is_not_told() -> None:
    assert not health(event(oldest_undelivered_ms=ms(NOW - 61))).healthy


def test_retrying_alone_is_a_note_and_the_cause_once_it_lasts() -> None:
    fresh = health(event(retrying="503 SlowDown", oldest_undelivered_read_ms=ms(NOW - 5)))
    assert fresh.healthy
    assert fresh.notes == (f"{SHARD}: trying again: 503 SlowDown",)
    old = health(event(retrying="503 SlowDown", oldest_undelivered_read_ms=ms(NOW - 90)))
    assert old.reasons == (f"{SHARD}: a record has waited for 90 s; trying again: 503 SlowDown",)


def test_times_that_hold_none_are_a_note() -> None:
    found = health(event(counters={COUNTER: 12}), event("shardId-000000000001", counters={COUNTER: 0}))
    assert found.healthy
    [note] = found.notes
    assert note.startswith(f"{SHARD}: 12 records hold no time that record.time_format reads")


def test_a_held_shard_makes_ill() -> None:
    assert health(event(held="too many bad records")).reasons == (f"{SHARD}: held: too many bad records",)


def test_a_silent_shard_process_makes_ill() -> None:
    assert health(event(), at=NOW - SILENT_AFTER_SECONDS).healthy
    assert not health(event(), at=NOW - SILENT_AFTER_SECONDS - 1).healthy


def test_every_ill_shard_gives_its_reason() -> None:
    reasons = health(event("b", held="x"), event("a", held="y"), event("c")).reasons
    assert reasons == ("a: held: y", "b: held: x")


def test_a_jvm_is_silent_since_its_last_call_of_any_shard() -> None:
    shards = shards_with(
        event("a", last_callback_ms=ms(NOW - 50)), event("b", last_callback_ms=ms(NOW - 20)), at=NOW - 100
    )
    assert hung_for(shards, now=NOW) == 20


def test_a_shard_process_not_called_yet_counts_from_its_first_word() -> None:
    shards = shards_with(event(), at=NOW - 30)
    shards.update(event(), NOW)
    assert hung_for(shards, now=NOW) == 30
    shards.update(event(last_callback_ms=0), NOW)
    assert hung_for(shards, now=NOW) == 30


def test_a_jvm_without_shard_processes_is_not_taken_for_hung() -> None:
    assert hung_for(Shards(trend_seconds=60), now=NOW) is None


def test_a_new_process_of_a_shard_replaces_the_old_one() -> None:
    shards = shards_with(event(pid=1), at=NOW - 30)
    shards.update(event(pid=2), NOW)
    (status,) = shards
    assert (status.event.pid, status.first_at) == (2, NOW)


def test_shards_whose_process_has_ended_are_forgotten() -> None:
    shards = shards_with(event("a", pid=1), event("b", pid=2))
    shards.keep(lambda pid: pid == 2)
    assert [status.event.shard for status in shards] == ["b"]


def test_what_keeps_the_backend_from_being_prepared_makes_ill() -> None:
    found = assess(
        phase=Phase.PREPARING,
        shards=Shards(trend_seconds=60),
        policy=POLICY,
        now=NOW,
        faults=("no permission (table x)",),
    )
    assert found.reasons == ("no permission (table x)",)
    assert not found.healthy


OLD = event(oldest_undelivered_ms=1, oldest_undelivered_read_ms=1)


def test_what_waits_on_the_stream_of_a_paused_application_is_no_fault_and_the_pause_is_told() -> None:
    result = assess(
        phase=Phase.RUNNING,
        shards=shards_with(OLD),
        policy=POLICY,
        now=NOW,
        paused="ops@host: a migration",
        resting=True,
    )
    assert result.healthy
    assert result.notes[0] == "paused by ops@host: a migration"


def test_a_backend_that_does_not_take_what_is_in_flight_is_ill_in_a_pause_as_well() -> None:
    in_flight = event(oldest_undelivered_ms=1, oldest_undelivered_read_ms=1, in_flight_chunks=1)
    result = assess(
        phase=Phase.RUNNING, shards=shards_with(in_flight), policy=POLICY, now=NOW, paused="x", resting=True
    )
    assert not result.healthy


def test_after_a_pause_the_age_counts_again() -> None:
    assert not assess(phase=Phase.RUNNING, shards=shards_with(OLD), policy=POLICY, now=NOW).healthy


def test_a_shard_that_is_held_or_silent_is_ill_in_a_pause_as_well() -> None:
    shards = shards_with(event("a", held="the schema"), at=NOW - SILENT_AFTER_SECONDS - 1)
    result = assess(phase=Phase.RUNNING, shards=shards, policy=POLICY, now=NOW, paused="x", resting=True)
    assert [reason.split(":")[1] for reason in result.reasons][:2] == [
        " no word from its process 7 for 31 s",
        " held",
    ]
