"""What can happen to a daemon, and what an operator sees of it: the rows of "What happens when" in docs/operate.md."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from consumer.daemon.report.health import State
from consumer.daemon.report.leases import Lease
from consumer.domain.event_names import EventName
from consumer.settings import PROJECT_ROOT, Backend
from tests.functional.harness import s3_stub
from tests.functional.harness.bigquery_stub import Insert, error, row_errors
from tests.functional.harness.daemon import FUNCTIONAL
from tests.functional.harness.http_stub import LOST, Reply
from tests.functional.harness.kcl import refuse_first
from tests.functional.harness.s3_stub import S3Stub
from tests.functional.harness.shard_settings import ONE_RECORD_A_CHUNK
from tests.functional.harness.stage import SHARD, Stage, fresh


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way in which something happens. `act` does it to a daemon that is well, with one shard process if it `opens`;
    `cure` lets it go on. `files` are the variables of supervise.py that name a file, `made` those of them whose file is
    there at first. `moved` are metrics that move beside those of the row."""

    act: Callable[[Stage], None] = lambda stage: None
    cure: Callable[[Stage], None] | None = None
    backend: Backend = "s3"
    rule: s3_stub.Rule = lambda put: None
    answer: Callable[[Insert], Reply | None] = lambda insert: None
    settings: Mapping[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    made: tuple[str, ...] = ()
    starts: bool = True
    opens: bool = True
    moved: Mapping[str, int | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Row:
    """`state` and `code` are those of the daemon and of /healthz, None where nothing answers, and `then` the state
    behind the cure. `moved` are metrics by how much they move, None where that depends on the moment. `alarms` are all
    that go off within so many `minutes`, in which it `lasts`, or has been over since."""

    ways: Mapping[str, Way]
    state: State | None
    code: int | None
    then: State | None = None
    moved: Mapping[str, int | None] = field(default_factory=dict)
    events: tuple[EventName, ...] = ()
    alarms: tuple[str, ...] = ()
    lasts: bool = False
    minutes: int = 40


LATE_SOON = {**ONE_RECORD_A_CHUNK, "chunk.window": "100ms", "chunk.grace": "0s", "hold.unhealthy_after": "1s"}
UNREAD_SOON = {
    "health.unread_after": "1s",
    "failoverTimeMillis": "250",
    "idleTimeBetweenReadsInMillis": "200",
}
RESTARTS = {"supervisor.restart_base": "10ms", "supervisor.restart_max": "10ms"}
HALF_A_DAY = 13 * 60


# ---- what is done ----


def take(stage: Stage) -> None:
    stage.shard.process([fresh(1, PLAYER)], behind_ms=0)


PLAYER = b'{"player_id":"a1"}'
TAKEN: Mapping[str, int | None] = {"consumer_records_read_total": 1, "consumer_records_in_flight": 1}


def silent(stub: S3Stub, put: s3_stub.Put) -> Reply:
    """For longer than s3.read_timeout."""
    time.sleep(0.5)
    return LOST


def take_bad_rows(stage: Stage) -> None:
    deep = b'{"player_id":"a1","x":' + b"[" * 600 + b"]" * 600 + b"}"
    payloads = {
        "not_json": b"bad",
        "too_deep": deep,
        "long_name": b'{"player_id":"a1","%b":1}' % (b"n" * 70_000),
        "not_unicode": b'{"player_id":"a1","x":"\\ud800"}',
        "bad_number": b'{"player_id":"a1","x":1e999}',
        "not_an_object": b"[1]",
        "repeated_field": b'{"player_id":"a1","player_id":"b1"}',
        "no_key": b"{}",
        "bad_key": b'{"player_id":"x"}',
        "time_out_of_range": b'{"player_id":"a1","time":"1901-01-01T00:00:00Z"}',
        "too_large": b'{"player_id":"a1","x":"%b"}' % (b"x" * 11_000_000),
        "rejected": b'{"player_id":"a1","x":"refused"}',
    }
    assert list(payloads) == BAD_ROWS
    records = [fresh(number, data) for number, data in enumerate(payloads.values(), 1)]
    stage.shard.process([*records, fresh(len(records) + 1, PLAYER)], behind_ms=0)


def take_too_many_fields(stage: Stage) -> None:
    fields = b"".join(b',"f%d":1' % number for number in range(10_000))
    stage.shard.process([fresh(1, b'{"player_id":"a1"%b}' % fields), fresh(2, PLAYER)], behind_ms=0)


def refuses(insert: Insert) -> Reply | None:
    """A row that looks as if its column could not hold it."""
    places = [place for place, row in enumerate(insert.rows) if "refused" in str(row)]
    return row_errors(*((place, "invalid") for place in places)) if places else None


BAD_ROWS = [
    *("not_json", "too_deep", "long_name", "not_unicode", "bad_number", "not_an_object", "repeated_field"),
    *("no_key", "bad_key", "time_out_of_range", "too_large", "rejected"),
]
SCHEMA_FILE = str(PROJECT_ROOT / "properties" / "player_log.schema.json")
NEVER_HELD = {**ONE_RECORD_A_CHUNK, "deadletter.max_ratio": "1"}


def take_only_bad(stage: Stage) -> None:
    stage.shard.process([fresh(number, b"bad") for number in range(10)], behind_ms=0)


def take_throttled(stage: Stage) -> None:
    stage.shard.answer = refuse_first("ThrottlingException")
    take(stage)
    while not stage.shard.confirmed:
        stage.shard.process([], behind_ms=0)


def read_two(stage: Stage) -> None:
    stage.shard.process([fresh(1), fresh(2)], behind_ms=0)


def lose_lease(stage: Stage) -> None:
    read_two(stage)
    stage.shard.lose_lease()
    stage.shard.close_input()


def hand_over(stage: Stage) -> None:
    read_two(stage)
    stage.shard.shut_down()
    stage.shard.close_input()


def split(stage: Stage) -> None:
    end_shard(stage)
    stage.open("shardId-000000000002")
    stage.open("shardId-000000000003")


def merge(stage: Stage) -> None:
    other = stage.open("shardId-000000000002")
    end_shard(stage)
    other.end_shard()
    other.close_input()
    stage.until(lambda look: look.value("consumer_shards") == 0)
    stage.open("shardId-000000000003")


def end_shard(stage: Stage) -> None:
    read_two(stage)
    stage.shard.end_shard()
    assert stage.shard.confirmed[-1] == (None, None)
    stage.shard.close_input()
    stage.until(lambda look: f'consumer_shard_state{{shard="{SHARD}"' not in str(look.metrics))


def busy(stage: Stage) -> None:
    """Nothing restarts before `restart`."""
    stage.file("LOCK_BUSY").touch()


def restart(stage: Stage) -> None:
    stage.file("LOCK_BUSY").unlink()
    stage.start()
    stage.open()


LAST_WORDS = (
    "ERROR",
    "MultiLangShardRecordProcessor",
    "Encountered an error while trying to process records",
)


def kill_shard(stage: Stage) -> None:
    """The supervisor does not wait for the JVM, which has no other."""
    busy(stage)
    stage.shard.kill()
    stage.jvm.say(*LAST_WORDS)


def fail_shard(stage: Stage) -> None:
    busy(stage)
    stage.shard.write(b"no message\n")
    stage.wait_for_event("shard_crashed")
    stage.jvm.say(*LAST_WORDS)


def kill_jvm(stage: Stage) -> None:
    busy(stage)
    stage.jvm.kill()


def let_jvm_hang(stage: Stage) -> None:
    """As it does when nothing is read of its processes: it calls none."""
    busy(stage)
    stage.open()


def kill_jvm_again_and_again(stage: Stage) -> None:
    for _ in range(4):
        stage.jvm.exit(1)
        stage.start()
    stage.until(lambda look: look.value("consumer_shards") == 0)  # those of the last JVM are forgotten
    stage.open()


def kill_jvm_too_often(stage: Stage) -> None:
    stage.jvm.exit(1)
    stage.start()
    stage.jvm.exit(1)
    assert stage.daemon.end() == 1


def write_leases(stage: Stage, *leases: Lease) -> None:
    fresh_file = stage.file("LEASES.fresh")
    fresh_file.write_bytes(msgspec.json.encode(leases))
    fresh_file.replace(stage.file("LEASES"))


def lease(owner: str | None) -> Lease:
    return Lease(shard="shardId-000000000009", owner=owner, counter=1, checkpoint="123")


def let_kcl_fail(stage: Stage) -> None:
    """It may not read, and opens no shard."""
    for _ in range(3):
        stage.jvm.say("ERROR", "ShardSyncTask", "Caught exception while sync'ing Kinesis shards and leases")


def stop(stage: Stage) -> None:
    """Its JVM ends when `end` lets it."""
    read_two(stage)
    stage.daemon.signal(signal.SIGTERM)
    stage.jvm.wait_for_term()


def end(stage: Stage) -> None:
    stage.shard.shut_down()
    stage.shard.close_input()
    stage.jvm.exit(143)
    assert stage.daemon.end() == 0


def kill_daemon(stage: Stage) -> None:
    """As it ends with its host: at once, and with all that it has started."""
    stage.daemon.signal(signal.SIGKILL)
    assert stage.daemon.end() == -signal.SIGKILL


def start_with_wrong_settings(stage: Stage) -> None:
    """In place of one that ends in order."""
    stop(stage)
    end(stage)
    wrong = ["--set=s3.buckett=x", "--set=chunk.window=soon"]
    command = [sys.executable, "-m", "consumer", "start", "s3", *wrong]
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "s3.buckett" in done.stderr
    assert "s3.bucket" in done.stderr
    assert "chunk.window" in done.stderr


def fall_behind(stage: Stage) -> None:
    """By more and more, since Kinesis refuses reads."""
    said = f"{SHARD} : ProvisionedThroughputExceededException thrown while fetching"
    stage.jvm.say("WARN", "PrefetchRecordsPublisher", said)
    for behind_ms in (400_000, 401_000, 402_000):
        stage.shard.process([], behind_ms=behind_ms)


def pause(stage: Stage) -> None:
    """A record arrives meanwhile."""
    stage.file("PAUSED_WHILE").touch()
    stage.until(lambda look: look.value(f'consumer_shard_state{{shard="{SHARD}",state="paused"}}') == 1)
    stage.shard.give([fresh(1)], behind_ms=0)


# ---- what shows ----

WAITS: Mapping[str, int | None] = {
    "consumer_freshness_seconds": None,
    "consumer_shard_freshness_seconds": None,
    **TAKEN,
}
RESTARTED: Mapping[str, int | None] = {"consumer_jvm_restarts_total": 1, "consumer_ready": -1}

HAPPENINGS: dict[str, Row] = {
    "The backend answers 5xx, resets connections or does not answer in time": Row(
        ways={
            "S3 answers 500": Way(rule=lambda put: s3_stub.INTERNAL_ERROR, act=take, settings=LATE_SOON),
            "S3 resets": Way(rule=lambda put: s3_stub.reset, act=take, settings=LATE_SOON),
            "S3 is silent": Way(
                rule=lambda put: silent, act=take, settings={**LATE_SOON, "s3.read_timeout": "100ms"}
            ),
            "BigQuery answers 503": Way(
                backend="bigquery",
                answer=lambda insert: error(503, "backendError"),
                act=take,
                settings=LATE_SOON,
            ),
        },
        state=State.LAGGING,
        code=503,
        moved={'consumer_retries_total{class="transient"}': None, **WAITS},
        events=("delivery_retried", "health_ill"),
        alarms=("ConsumerLate", "ConsumerNearRetention"),
        lasts=True,
        minutes=HALF_A_DAY,
    ),
    "The backend asks for less (429, SlowDown, an exceeded quota)": Row(
        ways={
            "S3": Way(rule=lambda put: s3_stub.SLOW_DOWN, act=take, settings=LATE_SOON),
            "BigQuery": Way(
                backend="bigquery",
                answer=lambda insert: error(403, "quotaExceeded"),
                act=take,
                settings=LATE_SOON,
            ),
        },
        state=State.LAGGING,
        code=503,
        moved={'consumer_retries_total{class="throttled"}': None, **WAITS},
        events=("delivery_retried", "health_ill"),
        alarms=("ConsumerLate", "ConsumerNearRetention"),
        lasts=True,
        minutes=HALF_A_DAY,
    ),
    "A permission, the bucket or a table goes missing": Row(
        ways={
            "S3 denies": Way(rule=lambda put: s3_stub.ACCESS_DENIED, act=take, settings=LATE_SOON),
            "the bucket is gone": Way(
                rule=lambda put: s3_stub.error(404, "NoSuchBucket"), act=take, settings=LATE_SOON
            ),
            "BigQuery denies": Way(
                backend="bigquery",
                answer=lambda insert: error(403, "accessDenied"),
                act=take,
                settings=LATE_SOON,
            ),
            "a table is gone": Way(
                backend="bigquery",
                answer=lambda insert: error(404, "notFound"),
                act=take,
                settings=LATE_SOON,
            ),
        },
        state=State.SETUP_BLOCKED,
        code=503,
        moved={'consumer_retries_total{class="setup"}': None, **WAITS},
        events=("delivery_retried", "health_ill"),
        alarms=("ConsumerBlocked", "ConsumerLate"),
        lasts=True,
    ),
    "It is missing when the daemon starts": Row(
        ways={"the bucket": Way(files=("NO_BUCKET",), made=("NO_BUCKET",), starts=False)},
        state=State.SETUP_BLOCKED,
        code=503,
        moved={'consumer_state{state="setup-blocked"}': 1},
        events=("setup_blocked",),
        alarms=("ConsumerBlocked",),
        lasts=True,
    ),
    "What the daemon needs does not answer when it starts": Row(
        ways={
            "the bucket": Way(
                settings=UNREAD_SOON, files=("SILENT_BUCKET",), made=("SILENT_BUCKET",), starts=False
            )
        },
        state=State.PREPARING,
        code=503,
        moved={'consumer_state{state="preparing"}': 1},
        events=("preparation_waits",),
        alarms=("ConsumerUnprepared",),
        lasts=True,
    ),
    "The answer to a write is lost after it was done": Row(
        ways={"S3": Way(rule=s3_stub.first(1, s3_stub.answer_lost), act=take, settings=ONE_RECORD_A_CHUNK)},
        state=State.RUNNING,
        code=200,
        moved={
            'consumer_retries_total{class="transient"}': 1,
            "consumer_records_delivered_total": 1,
            "consumer_objects_written_total": 1,
        },
        events=("delivery_retried", "delivery_recovered"),
    ),
    "A record is bad: not JSON, without a key, too large, refused by BigQuery and so on": Row(
        ways={
            "one of each kind": Way(
                backend="bigquery",
                answer=refuses,
                act=take_bad_rows,
                settings=NEVER_HELD,
                moved={f'consumer_dead_letters_total{{reason="{reason}"}}': 1 for reason in BAD_ROWS},
            ),
            "too many fields": Way(
                backend="bigquery",
                act=take_too_many_fields,
                settings={**NEVER_HELD, "bigquery.row": "fields", "bigquery.schema_file": SCHEMA_FILE},
                moved={'consumer_dead_letters_total{reason="too_many_values"}': 1},
            ),
            "a transform fails": Way(
                act=lambda stage: stage.shard.process([fresh(7), fresh(1)], behind_ms=0),
                settings={
                    **NEVER_HELD,
                    "transform": "transforming:change",
                    "transform.folder": str(FUNCTIONAL),
                },
                moved={'consumer_dead_letters_total{reason="transform_failed"}': 1},
            ),
            "a line end where nothing is validated": Way(
                act=lambda stage: stage.shard.process([fresh(1, b"a\nb"), fresh(2)], behind_ms=0),
                settings={**NEVER_HELD, "s3.validate_json": "false"},
                moved={'consumer_dead_letters_total{reason="raw_newline"}': 1},
            ),
        },
        state=State.RUNNING,
        code=200,
        moved={
            "consumer_dead_letters_total": None,
            "consumer_records_dead_lettered_total": None,
            "consumer_records_delivered_total": 1,
        },
        events=("dead_letter",),
        alarms=("ConsumerDeadLetters",),
    ),
    "Too many records are bad": Row(
        ways={
            "all": Way(
                act=take_only_bad, settings={"chunk.max_records": "10", "deadletter.ratio_window": "10"}
            )
        },
        state=State.HELD,
        code=503,
        moved={"consumer_shards_held": 1, "consumer_records_in_flight": 10},
        events=("shard_held", "health_ill"),
        alarms=("ConsumerBlocked", "ConsumerLate"),
        lasts=True,
    ),
    "DynamoDB throttles a checkpoint": Row(
        ways={"once": Way(act=take_throttled, settings=ONE_RECORD_A_CHUNK)},
        state=State.RUNNING,
        code=200,
        moved={
            "consumer_checkpoints_refused_total": 1,
            "consumer_checkpoints_total": 1,
            "consumer_records_delivered_total": 1,
        },
        events=("checkpoint_failed", "checkpoint"),
    ),
    "A lease is lost to another worker": Row(
        ways={"at once": Way(act=lose_lease)},
        state=State.RUNNING,
        code=200,
        moved={"consumer_records_left_total": 2, "consumer_shards": -1},
        events=("lease_lost",),
    ),
    "A lease is handed over to another worker": Row(
        ways={"in order": Way(act=hand_over)},
        state=State.RUNNING,
        code=200,
        moved={"consumer_records_left_total": 2, "consumer_shards": -1},
        events=("shard_shut_down",),
    ),
    "A shard is split or merged": Row(
        ways={
            "split": Way(act=split, moved={"consumer_shards": 1}),
            "merged": Way(act=merge, moved={"consumer_shards": 0}),
        },
        state=State.RUNNING,
        code=200,
        moved={"consumer_records_delivered_total": 2, "consumer_checkpoints_total": None},
        events=("shard_ended", "shard_started"),
    ),
    "A shard process is killed": Row(
        ways={"by the kernel": Way(act=kill_shard, cure=restart, settings=RESTARTS, files=("LOCK_BUSY",))},
        state=State.RESTARTING,
        then=State.RUNNING,
        code=503,
        moved={"consumer_kcl_errors_total": 1, **RESTARTED},
        events=("kcl_error", "jvm_ended", "jvm_restarting", "jvm_started"),
    ),
    "A shard process fails by itself": Row(
        ways={"over a message": Way(act=fail_shard, cure=restart, settings=RESTARTS, files=("LOCK_BUSY",))},
        state=State.RESTARTING,
        then=State.RUNNING,
        code=503,
        moved={"consumer_kcl_errors_total": 1, **RESTARTED},
        events=("shard_crashed", "kcl_error", "jvm_ended", "jvm_restarting", "jvm_started"),
    ),
    "The JVM dies": Row(
        ways={"killed": Way(act=kill_jvm, cure=restart, settings=RESTARTS, files=("LOCK_BUSY",))},
        state=State.RESTARTING,
        then=State.RUNNING,
        code=503,
        moved=RESTARTED,
        events=("jvm_ended", "jvm_restarting", "jvm_started"),
    ),
    "The JVM hangs": Row(
        ways={
            "calls nobody": Way(
                act=let_jvm_hang,
                cure=restart,
                settings={**RESTARTS, "supervisor.hang_timeout": "1s"},
                files=("LOCK_BUSY",),
                opens=False,
            )
        },
        state=State.RESTARTING,
        then=State.RUNNING,
        code=503,
        moved=RESTARTED,
        events=("jvm_killed", "jvm_ended", "jvm_restarting", "jvm_started"),
    ),
    "The JVM dies again and again": Row(
        ways={"four times": Way(act=kill_jvm_again_and_again, settings=RESTARTS)},
        state=State.RUNNING,
        code=200,
        moved={"consumer_jvm_restarts_total": 4},
        events=("jvm_ended", "jvm_restarting", "jvm_started"),
        alarms=("ConsumerRestarts",),
    ),
    "The JVM dies too often soon after its start": Row(
        ways={
            "for the limit": Way(
                act=kill_jvm_too_often, settings={**RESTARTS, "supervisor.restart_limit": "1"}
            )
        },
        state=None,
        code=None,
        events=("jvm_ended", "jvm_restarting", "daemon_gave_up"),
        alarms=("ConsumerSilent",),
    ),
    "Nobody reads a shard: its worker's host has died, or the KCL gives its process nothing": Row(
        ways={
            "a host has died": Way(
                act=lambda stage: write_leases(stage, lease("other")),
                settings=UNREAD_SOON,
                files=("LEASES",),
                opens=False,
            ),
            "no lease was taken": Way(
                act=lambda stage: write_leases(stage, lease(None)),
                settings=UNREAD_SOON,
                files=("LEASES",),
                opens=False,
            ),
            "a process gets nothing": Way(
                act=lambda stage: void(stage.open()), settings=UNREAD_SOON, opens=False
            ),
        },
        state=State.STUCK,
        code=503,
        moved={"consumer_shards_without_reader": 1},
        events=("health_ill",),
        alarms=("ConsumerUnread",),
        lasts=True,
    ),
    "A worker takes the shards of a host that has died": Row(
        ways={"one": Way(act=lambda stage: void(stage.open("shardId-000000000002")))},
        state=State.RUNNING,
        code=200,
        moved={"consumer_shards": 1},
        events=("shard_started",),
    ),
    "The KCL may not read the stream or the lease table": Row(
        ways={"no shard is opened": Way(act=let_kcl_fail, settings=UNREAD_SOON, opens=False)},
        state=State.STUCK,
        code=503,
        moved={"consumer_kcl_errors_total": 3},
        events=("kcl_error", "health_ill"),
        alarms=("ConsumerUnread",),
        lasts=True,
    ),
    "The only host dies": Row(
        ways={"at once": Way(act=kill_daemon)},
        state=None,
        code=None,
        alarms=("ConsumerSilent",),
    ),
    "SIGTERM: a release, `docker stop`, ECS": Row(
        ways={"and nothing follows": Way(act=stop, cure=end)},
        state=State.DRAINING,
        code=200,
        moved={'consumer_state{state="draining"}': 1, "consumer_ready": -1},
        events=("daemon_stopping", "shard_shut_down", "daemon_ended"),
        alarms=("ConsumerSilent",),
    ),
    "Settings are wrong": Row(
        ways={"in a release": Way(act=start_with_wrong_settings)},
        state=None,
        code=None,
        alarms=("ConsumerSilent",),
    ),
    "Kinesis throttles reads, and the shard falls behind": Row(
        ways={"of another application": Way(act=fall_behind, settings=LATE_SOON)},
        state=State.LAGGING,
        code=503,
        moved={"consumer_behind_latest_seconds": 402, "consumer_freshness_seconds": 402},
        events=("kcl_warning", "health_ill"),
        alarms=("ConsumerLate",),
        lasts=True,
    ),
    "Somebody pauses the application": Row(
        ways={"bin/pause": Way(act=pause, files=("PAUSED_WHILE",))},
        state=State.PAUSED,
        code=200,
        moved={"consumer_paused": 1, **WAITS},
        events=("paused",),
        alarms=("ConsumerPaused", "ConsumerLate", "ConsumerNearRetention"),
        lasts=True,
        minutes=HALF_A_DAY,
    ),
    "Metrics cannot be pushed": Row(
        ways={
            "nothing listens": Way(
                settings={"metrics.otlp_endpoint": "http://127.0.0.1:1", "metrics.interval": "1s"}
            )
        },
        state=State.RUNNING,
        code=200,
        moved={"consumer_metrics_failed_pushes_total": None},
        events=("metrics_push_failed",),
        alarms=("ConsumerPushFails",),
        lasts=True,
    ),
}


def void(_: object) -> None:
    """For what is done only because it does something."""
