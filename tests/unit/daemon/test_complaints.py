"""The KCL's complaints in the log and for the health."""

import pytest

from consumer.daemon.report.complaints import Complaints, kind_of
from consumer.daemon.report.health import Health, Phase
from consumer.daemon.report.health_log import HealthLog
from consumer.daemon.report.log import Log


def test_a_repeated_complaint_is_told_ever_more_rarely_with_its_number() -> None:
    complaints = Complaints()
    told = [
        complaints.heard("ERROR", f"KCL Task: request {number:08x} failed", now=float(number))
        for number in range(100)
    ]
    lines = [line for line in told if line is not None]
    assert lines[0] == "KCL Task: request 00000000 failed"
    assert lines[1].endswith("(2 times within 1 s; more are counted, not logged)")
    assert len(lines) == 7  # 1, 2, 4, 8, 16, 32, 64


def test_each_kind_of_complaint_is_counted_by_itself() -> None:
    complaints = Complaints()
    assert complaints.heard("WARNING", "a 1", now=0.0) == "a 1"
    assert complaints.heard("WARNING", "b 1", now=0.0) == "b 1"


IDENTIFIERS = (
    "1MaZQgwa2T5xtiCK4r7UjT7vbzhDK5CD",
    "8f14e45f-ceea-467f-a8d5-6f5b2c3d4e5f",
    "shardId-000000000003",
    "17",
)


@pytest.mark.parametrize("changing", IDENTIFIERS)
def test_identifiers_and_numbers_make_no_other_kind(changing: str) -> None:
    assert kind_of(f"denied (Request ID: {changing}) (Attempt Count: 1)") == kind_of(
        "denied (Request ID: SZnNv0q1lBuBlb7oDkGJwkQH9R3s3kEB) (Attempt Count: 22)"
    )


FETCHING = (
    "PrefetchRecordsPublisher: player-logs:shardId-000000000003 : ProvisionedThroughputExceededException thrown while"
    " fetching records from Kinesis"
)


@pytest.mark.parametrize(
    ("message", "shards"),
    [
        (FETCHING, {"shardId-000000000003"}),
        ("Shard 'shardId-000000000003' has been throttled 7 consecutively", {"shardId-000000000003"}),
        ("ProvisionedThroughputExceededException: of the table player-log-s3", set()),
        ("player-logs:shardId-000000000003 : Exception thrown while fetching records from Kinesis", set()),
    ],
)
def test_shards_whose_reads_are_throttled_are_known_for_a_minute(message: str, shards: set[str]) -> None:
    complaints = Complaints()
    complaints.heard("ERROR", message, now=0.0)
    assert complaints.throttled(now=60.0) == shards
    assert complaints.throttled(now=61.0) == set()


def test_the_error_beside_a_reason_has_no_frames_of_a_stack_trace() -> None:
    complaints = Complaints()
    message = "KCL Task: Caught a.b.Denied: no at a.b.C$D.e(F.java:1) at a.g(Unknown Source) Caused by: h: i"
    complaints.heard("ERROR", message, now=0.0)
    assert complaints.last_error is not None
    assert complaints.last_error.message == "KCL Task: Caught a.b.Denied: no Caused by: h: i"


def test_a_complaint_that_was_not_heard_for_long_is_told_anew() -> None:
    complaints = Complaints()
    for moment in range(3):
        complaints.heard("ERROR", "a", now=float(moment))
    assert complaints.heard("ERROR", "a", now=1000.0) == "a"


def test_errors_without_end_of_kinds_are_bounded() -> None:
    complaints = Complaints()
    for number in range(10_000):
        kind = "".join(chr(ord("g") + int(digit)) for digit in str(number))
        complaints.heard("ERROR", kind, now=0.0)
    assert len(complaints._kinds) <= 200
    assert complaints.errors == 10_000


def test_several_errors_within_a_minute_go_on_until_a_minute_after() -> None:
    complaints = Complaints()
    for moment in (0.0, 10.0):
        complaints.heard("ERROR", "denied", now=moment)
    assert complaints.last(now=10.0) is None
    complaints.heard("WARNING", "a warning is no error", now=15.0)
    assert complaints.last(now=15.0) is None
    complaints.heard("ERROR", "denied again", now=20.0)
    assert complaints.last(now=20.0) == "denied again"
    assert complaints.last(now=61.0) is None


def test_each_reason_of_ill_health_is_told_once_and_then_its_end() -> None:
    lines: list[str] = []
    log = HealthLog(Log(backend="s3", level="INFO", clock=lambda: 0.0, write=lines.append))

    def tell(now: float, *reasons: str) -> None:
        log.tell(Health(phase=Phase.RUNNING, healthy=not reasons, reasons=reasons), now=now)

    tell(0.0)
    tell(1.0, "a: not read for 41 s: x")
    tell(2.0, "a: not read for 42 s: x")
    tell(3.0, "a: not read for 43 s: x", "b: not read for 41 s: x")
    tell(4.0, "b: not read for 42 s: x", "the KCL's last error: denied")
    tell(5.0, "b: not read for 42 s: x", "the KCL's last error: reset")
    tell(9.0)
    tell(10.0)
    tell(11.0, "b: held: y")
    assert [line.partition("s3: ")[2] for line in lines] == [
        "unhealthy: a: not read for 41 s: x",
        "unhealthy: b: not read for 41 s: x",
        "healthy again after 8 s",
        "unhealthy: b: held: y",
    ]
