"""What the supervisor hears of a shard while it is in trouble (I8)."""

import threading
from pathlib import Path

from consumer.domain.columns import Records
from consumer.domain.records import Record
from tests.functional.conftest import StartShard
from tests.functional.harness.bigquery_stub import BigQueryStub, error
from tests.functional.harness.event_log import EventLog
from tests.functional.harness.kcl import record, records
from tests.functional.harness.s3_stub import ACCESS_DENIED, SLOW_DOWN, S3Stub, held_until
from tests.functional.harness.shard_settings import ONE_RECORD_A_CHUNK, bigquery_settings, s3_settings


def test_an_outage_shows_what_is_retried_what_is_in_flight_and_that_the_kcl_is_not_to_blame(
    s3: S3Stub, start_shard: StartShard, events: EventLog
) -> None:
    down = threading.Event()
    s3.rule = lambda put: None if down.is_set() else SLOW_DOWN
    settings = s3_settings(s3, {**ONE_RECORD_A_CHUNK, "delivery.max_in_flight_chunks": "2"})
    kcl = start_shard(settings, events=events.path)
    kcl.initialize()
    kcl.give([record(1, arrival_ms=1000), record(2, arrival_ms=2000), record(3, arrival_ms=3000)])
    status = events.status(lambda event: event.in_flight_chunks == 2)
    assert status.retrying is not None
    assert "SlowDown" in status.retrying
    held = Records.of(Record(b"{}", f"key-{number}", str(number)) for number in (1, 2)).held_bytes
    assert status.in_flight_bytes == held
    assert status.oldest_undelivered_ms == 1000
    assert status.oldest_undelivered_read_ms is not None
    assert status.oldest_undelivered_read_ms > 1_600_000_000_000
    assert status.counters["retries"] > 0
    assert status.counters["retries_throttled"] == status.counters["retries"]
    assert status.retrying_class == "throttled"
    assert (status.in_flight_records, status.max_in_flight_chunks) == (3, 2)
    assert (status.pid, status.state) == (kcl.child.pid, "running")
    later = events.status()
    assert status.last_callback_ms is not None
    assert later.last_callback_ms is not None
    assert later.last_callback_ms > status.last_callback_ms
    assert later.waited_ms > status.waited_ms
    assert sum(later.write_latency_counts) > 0
    assert kcl.is_silent

    down.set()
    kcl.status_of("processRecords")
    kcl.tick_until_confirmed(3)
    well = events.status(lambda event: event.in_flight_chunks == 0)
    assert (well.retrying, well.oldest_undelivered_ms, well.oldest_undelivered_read_ms) == (None, None, None)
    assert well.counters["records_delivered"] == 3
    assert well.last_checkpoint_ms is not None
    assert events.logged("works again").level == "INFO"


def test_a_missing_permission_is_an_error_that_names_the_setting(
    s3: S3Stub, start_shard: StartShard, events: EventLog
) -> None:
    s3.rule = lambda put: ACCESS_DENIED
    kcl = start_shard(s3_settings(s3, ONE_RECORD_A_CHUNK), events=events.path)
    kcl.initialize()
    kcl.process(records([1]))
    line = events.logged("delivery failed")
    assert line.level == "ERROR"
    assert "s3.bucket" in line.message


def test_a_shard_that_is_held_says_so_and_why(s3: S3Stub, start_shard: StartShard, events: EventLog) -> None:
    settings = s3_settings(s3, {"chunk.max_records": "10", "deadletter.ratio_window": "10"})
    kcl = start_shard(settings, events=events.path)
    kcl.initialize()
    kcl.process([record(number, b"bad") for number in range(10)])
    status = events.status(lambda event: event.held is not None)
    assert status.held is not None
    assert "deadletter.max_ratio" in status.held
    assert "not_json" in status.held
    assert events.logged("shard held").level == "ERROR"
    assert s3.requests == 0


def test_a_draining_shard_and_a_lost_lease_are_seen(
    s3: S3Stub, start_shard: StartShard, events: EventLog
) -> None:
    kcl = start_shard(s3_settings(s3), events=events.path)
    kcl.initialize()
    kcl.terminate()
    assert events.status(lambda event: event.state != "running").state == "draining"
    kcl.lose_lease()
    assert events.status(lambda event: event.state != "draining").state == "lease_lost"


def test_a_lease_that_is_given_up_at_the_end_is_not_told_as_one_that_was_taken(
    s3: S3Stub, start_shard: StartShard, events: EventLog
) -> None:
    given_up = start_shard(s3_settings(s3), events=events.path)
    given_up.initialize()
    given_up.shut_down()
    given_up.lose_lease()
    taken = start_shard(s3_settings(s3), events=events.path)
    taken.initialize()
    taken.lose_lease()
    lines = [events.logged("lease lost", pid=kcl.child.pid) for kcl in (given_up, taken)]
    assert [line.level for line in lines] == ["DEBUG", "INFO"]


def test_the_last_status_comes_at_the_end_of_the_process(
    s3: S3Stub, start_shard: StartShard, events: EventLog
) -> None:
    kcl = start_shard(s3_settings(s3, ONE_RECORD_A_CHUNK), events=events.path)
    kcl.initialize()
    kcl.process(records([1]))
    kcl.shut_down()
    assert kcl.finish() == 0
    last = events.any_status(lambda event: event.counters.get("checkpoints") == 1)
    assert last.counters["records_delivered"] == 1


def test_the_last_status_accounts_for_what_the_next_owner_reads_again(
    s3: S3Stub, start_shard: StartShard, events: EventLog
) -> None:
    ended = start_shard(s3_settings(s3), events=events.path)
    ended.initialize()
    ended.process(records([1, 2, 3]))
    assert ended.finish() == 0
    last = events.any_status(lambda event: event.in_flight_records == 3)
    assert last.counters["records_read"] == 3

    drained = start_shard(s3_settings(s3), events=events.path)
    drained.initialize()
    drained.process(records([1, 2]))
    drained.shut_down()
    assert drained.finish() == 0
    last = events.any_status(lambda event: event.counters.get("records_left") == 2)
    assert (last.counters["records_read"], last.in_flight_records) == (2, 0)


def test_the_path_of_the_socket_may_be_longer_than_a_socket_address(
    s3: S3Stub, start_shard: StartShard, tmp_path: Path
) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    events = EventLog(folder / "events")
    try:
        kcl = start_shard(s3_settings(s3), events=events.path)
        kcl.initialize()
        assert events.logged("shard process started").pid == kcl.child.pid
    finally:
        events.close()


def test_a_supervisor_that_is_gone_stops_no_delivery(
    s3: S3Stub, start_shard: StartShard, events: EventLog
) -> None:
    gate = threading.Event()
    s3.rule = lambda put: held_until(gate)
    kcl = start_shard(s3_settings(s3, ONE_RECORD_A_CHUNK), events=events.path)
    kcl.initialize()
    events.path.unlink()
    gate.set()
    kcl.process(records([1]))
    kcl.shut_down()
    assert kcl.confirmed == [("1", None)]


def test_a_table_that_vanishes_holds_its_records_loudly_and_is_healed_when_it_is_back(
    s3: S3Stub, bigquery: BigQueryStub, start_shard: StartShard, events: EventLog
) -> None:
    gone = True
    bigquery.answer = lambda insert: (
        error(404, "notFound") if gone and insert.table == "player_log_a" else None
    )
    kcl = start_shard(bigquery_settings(bigquery, s3, ONE_RECORD_A_CHUNK), events=events.path)
    kcl.initialize()
    players = enumerate((b"b", b"a", b"c"), 1)
    kcl.process([record(number, b'{"player_id":"%b"}' % player) for number, player in players])
    line = events.logged("delivery failed")
    assert line.level == "ERROR"
    assert "player_log_a: HTTP 404 notFound" in line.message
    assert "bigquery.dataset" in line.message
    status = events.status(lambda event: event.counters.get("chunks_delivered") == 2)
    assert status.retrying is not None
    assert "player_log_a" in status.retrying
    kcl.tick_until_confirmed(1)
    assert kcl.confirmed == [("1", None)]
    assert s3.dead_letters == []

    gone = False
    kcl.tick_until_confirmed(3)
    assert sorted(bigquery.tables) == ["player_log_a", "player_log_b", "player_log_c"]
    assert events.logged("works again").level == "INFO"


def test_times_that_hold_none_are_counted_and_told(
    s3: S3Stub, start_shard: StartShard, events: EventLog
) -> None:
    settings = s3_settings(s3, {**ONE_RECORD_A_CHUNK, "s3.partition_time": "record"})
    kcl = start_shard(settings, events=events.path)
    kcl.initialize()
    times = [b'"20261120101112Z"', b'"soon"', b"1795169472", b"null", b'"2026-11-20 10:11:12 UTC"']
    kcl.process([record(number, b'{"time":%b}' % time) for number, time in enumerate(times, 1)])
    kcl.tick_until_confirmed(5)
    status = events.status(lambda event: event.counters.get("records_delivered") == 5)
    assert status.counters["times_unread"] == 3
    line = events.logged("record.time_format")
    assert line.level == "WARNING"
    assert "'20261120101112Z', which is no time" in line.message
