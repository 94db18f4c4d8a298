"""Statuses of daemons as the supervisor makes them, with figures in all of their parts."""

from consumer.daemon.metrics.metric import Snapshot
from consumer.daemon.report.health import Health, Phase, State, shard_state
from consumer.daemon.report.health import HealthPolicy as Policy
from consumer.daemon.report.shards import Shards
from consumer.daemon.report.status import Identity, ShardReport, Status
from consumer.daemon.report.tally import Tally
from consumer.domain.events import StatusEvent
from consumer.domain.latency import BOUNDS_SECONDS
from consumer.settings.table import Backend

NOW = 1_800_000_000.0
POLICY = Policy(undelivered_seconds=60, unread_seconds=40)
COUNTERS = {
    "records_read": 1_234_567,
    "bytes_read": 1_234_567_890,
    "records_delivered": 1_234_000,
    "bytes_delivered": 1_234_000_000,
    "chunks_delivered": 512,
    "dead_letters": 67,
    "dead_letters_not_json": 60,
    "dead_letters_too_large": 7,
    "records_left": 100,
    "requests": 4_096,
    "requests_refused": 2,
    "retries": 9,
    "retries_transient": 5,
    "retries_throttled": 3,
    "retries_setup": 1,
    "checkpoints": 400,
    "objects": 512,
    "object_bytes": 123_400_000,
    "insert_all_rows": 1_234_000,
    "insert_all_billed_bytes": 1_300_000_000,
}


def event(number: int = 0) -> StatusEvent:
    return StatusEvent(
        shard=f"shardId-{number:012d}",
        pid=1000 + number,
        state="running",
        started_ms=int((NOW - 3600) * 1000),
        counters=COUNTERS,
        in_flight_records=400,
        in_flight_chunks=3,
        in_flight_bytes=31_457_280,
        max_in_flight_chunks=8,
        max_in_flight_bytes=100_663_296,
        waited_ms=120_000,
        write_latency_counts=[7 * place for place in range(len(BOUNDS_SECONDS) + 1)],
        write_latency_sum_seconds=1234.5,
        oldest_undelivered_ms=int((NOW - 12.5 - number) * 1000),
        oldest_undelivered_read_ms=int((NOW - 12) * 1000),
        last_checkpoint_ms=int((NOW - 4.25) * 1000),
        last_callback_ms=int(NOW * 1000),
        millis_behind_latest=1500,
    )


def status_of(
    *events: StatusEvent,
    backend: Backend = "s3",
    application: str = "player-logs-s3",
    phase: Phase = Phase.RUNNING,
    health: Health | None = None,
) -> Status:
    shards, tally = Shards(trend_seconds=60), Tally()
    for one in events:
        shards.update(one, NOW)
        tally.update(one)
    return Status(
        identity=Identity(backend=backend, application=application, worker_id="s3-host", pid=1),
        health=health or Health(phase=phase, healthy=True, reasons=(), state=State.RUNNING),
        updated_at=NOW,
        started_at=NOW - 7200,
        jvm_pid=17,
        restarts=2,
        kcl_errors=5,
        totals=tally.totals(),
        shards=tuple(
            ShardReport.of(shard, now=NOW, catching_up=False, condition=shard_state(shard, POLICY, NOW))
            for shard in shards
        ),
    )


def snapshot(shards: int = 1, *, backend: Backend = "s3", application: str = "player-logs-s3") -> Snapshot:
    events = [event(number) for number in range(shards)]
    return Snapshot(
        status=status_of(*events, backend=backend, application=application),
        version="1.2.3",
        method="put_object",
        memory={"supervisor": 60_000_000, "jvm": 500_000_000, "shard": 900_000_000},
        failed_pushes=4,
    )
