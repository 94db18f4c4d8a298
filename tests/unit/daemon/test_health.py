import pytest

from consumer.daemon.report.health import SILENT_AFTER_SECONDS, Health, HealthPolicy, Phase, assess, hung_for
from consumer.daemon.report.shards import Shards
from consumer.domain.events import StatusEvent

NOW = 1000.0
POLICY = HealthPolicy(undelivered_seconds=60, unread_seconds=40)
SHARD = "shardId-000000000000"


def event(shard: str = SHARD, pid: int = 7, **values: object) -> StatusEvent:
    return StatusEvent(shard=shard, pid=pid, state="running", **values)  # type: ignore[arg-type]


def shards_with(*events: StatusEvent, at: float = NOW) -> Shards:
    shards = Shards()
    for one in events:
        shards.update(one, at)
    return shards


def health(*events: StatusEvent, at: float = NOW, phase: Phase = Phase.RUNNING) -> Health:
    return assess(phase=phase, shards=shards_with(*events, at=at), policy=POLICY, now=NOW)


def ms(seconds: float) -> int:
    return int(seconds * 1000)


def test_a_worker_without_shards_is_well() -> None:
    assert health().healthy


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


def test_an_ended_jvm_is_ill() -> None:
    assert health(phase=Phase.RESTARTING).reasons == ("the JVM has ended and is not running again yet",)


@pytest.mark.parametrize(("age", "healthy"), [(60, True), (61, False)])
def test_a_record_that_waits_too_long_since_it_was_read_makes_ill(age: float, healthy: bool) -> None:
    result = health(event(oldest_undelivered_ms=1, oldest_undelivered_read_ms=ms(NOW - age)))
    assert result.healthy == healthy


def test_catching_up_on_old_records_is_well() -> None:
    now_read = event(oldest_undelivered_ms=ms(NOW - 86400), oldest_undelivered_read_ms=ms(NOW - 1))
    assert health(now_read).healthy


def test_the_arrival_counts_where_the_reading_is_not_told() -> None:
    assert not health(event(oldest_undelivered_ms=ms(NOW - 61))).healthy


def test_retrying_alone_is_a_note_and_the_cause_once_it_lasts() -> None:
    fresh = health(event(retrying="503 SlowDown", oldest_undelivered_read_ms=ms(NOW - 5)))
    assert fresh.healthy
    assert fresh.notes == (f"{SHARD}: trying again: 503 SlowDown",)
    old = health(event(retrying="503 SlowDown", oldest_undelivered_read_ms=ms(NOW - 90)))
    assert old.reasons == (f"{SHARD}: a record has waited for 90 s; trying again: 503 SlowDown",)


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
    assert hung_for(Shards(), now=NOW) is None


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
        phase=Phase.PREPARING, shards=Shards(), policy=POLICY, now=NOW, faults=("no permission (table x)",)
    )
    assert found.reasons == ("no permission (table x)",)
    assert not found.healthy
