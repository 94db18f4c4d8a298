"""What the daemon hears of its shard processes is what it knows of the reading."""

from collections.abc import Callable

from consumer.daemon.report.health import HealthPolicy, Phase
from consumer.daemon.report.leases import Lease, Leases
from consumer.daemon.report.log import Log
from consumer.daemon.report.observed import Observed
from consumer.daemon.report.status import Identity
from consumer.domain.events import ENDED, StatusEvent

SHARD = "shardId-000000000000"


def observing(leases: Leases, clock: Callable[[], float] = lambda: 1000.0) -> Observed:
    return Observed(
        health=HealthPolicy(undelivered_seconds=60, unread_seconds=40),
        identity=Identity(backend="s3", application="app", worker_id="me", pid=1),
        leases=leases,
        log=Log(backend="s3", level="ERROR", clock=clock, write=lambda line: None),
        now=clock,
    )


def event(pid: int, called: float, behind: int | None, *, state: str = "running") -> StatusEvent:
    return StatusEvent(
        shard=SHARD,
        pid=pid,
        state=state,
        last_callback_ms=int(called * 1000),
        millis_behind_latest=behind,
    )


def test_what_a_process_was_given_is_a_read_and_its_beginning_is_none() -> None:
    leases = Leases(table="table", worker_id="me", began_at=0.0)
    heard = observing(leases)
    heard.receive(event(7, 1000.0, None))
    assert leases.read_at(SHARD) is None
    heard.receive(event(7, 1005.0, 0))
    assert leases.read_at(SHARD) == 1005.0
    heard.receive(event(8, 1009.0, None))
    assert leases.read_at(SHARD) == 1005.0


def test_a_shard_whose_end_is_checkpointed_is_read_though_no_look_has_shown_it() -> None:
    moments = [900.0]
    heard = observing(Leases(table="table", worker_id="me", began_at=0.0), lambda: moments[-1])
    heard.phase = Phase.RUNNING
    heard.jvm_started(7)
    unread = {}
    for state in ("running", ENDED):
        heard.saw_leases([Lease(shard=SHARD, owner="me", counter=1)])
        heard.receive(event(8, moments[-1], 0, state=state))
        heard.keep(lambda pid: pid != 8)  # its process ends
        heard.missed_leases("no answer", asked_at=moments[-1])
        moments.append(moments[-1] + 100)
        unread[state] = any("not read" in reason for reason in heard.status().health.reasons)
    assert unread == {"running": True, ENDED: False}


def test_a_lease_that_another_worker_renews_is_read_there() -> None:
    leases = Leases(table="table", worker_id="me", began_at=0.0)
    moments = [900.0]
    heard = observing(leases, lambda: moments[-1])
    heard.receive(event(7, 900.0, 0))
    moments.append(1000.0)
    heard.receive(event(7, 900.0, 0))

    def healthy_with(owner: str, counter: int) -> bool:
        heard.saw_leases([Lease(shard=SHARD, owner=owner, counter=counter)])
        return heard.status().health.healthy

    heard.phase = Phase.RUNNING  # as if a JVM ran
    assert not healthy_with("me", 1)
    assert healthy_with("other", 2)
    assert healthy_with("other", 3)
    assert not healthy_with("other", 3), "it has the lease, and does not renew it"
