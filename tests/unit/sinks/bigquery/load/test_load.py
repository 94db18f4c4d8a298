"""Load jobs: each row once, whatever is lost, repeated, refused or run by two owners."""

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.budgets import DAY_SECONDS, DailyBudget
from consumer.domain.chunks import Chunk
from consumer.domain.dead_letters import Rejection
from consumer.domain.errors import DeliveryError, RequestRefused, SetupError, Throttled, TransientError
from consumer.domain.records import Record
from consumer.domain.routing import time_parser
from consumer.sinks.base import Outcome
from consumer.sinks.bigquery.api.errors import QuotaExceeded
from consumer.sinks.bigquery.insert_all.dry_run import DryRun
from consumer.sinks.bigquery.load.jobs import LoadJobs
from consumer.sinks.bigquery.load.requests import Destination, LoadRequest
from consumer.sinks.bigquery.load.sink import LoadSink
from consumer.sinks.bigquery.rows.encoder import RowEncoder
from consumer.sinks.bigquery.rows.shapes import INSERT_ALL, LINES, LogRow, Wrapping
from consumer.sinks.bigquery.rows.times import PartitionTimes
from consumer.sinks.http.connection import Answer
from tests.unit.builders import ARRIVAL_MS, chunk_of
from tests.unit.sinks.bigquery.builders import SHARD, encoder
from tests.unit.sinks.bigquery.load.fake_google import FakeGoogle, error

DESTINATION = Destination(
    project="project", dataset="logs", location="EU", stream="stream", shard=SHARD, prefix="kinesis"
)


def log_encoder(wrapping: Wrapping) -> RowEncoder:
    times = PartitionTimes(time_parser("iso8601"), iso8601=True)
    shape = LogRow(key_column="k", time_column="t", times=times, wrapping=wrapping)
    return encoder(shape, wrapping=wrapping)


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def load_sink(google: FakeGoogle, *, jobs_per_day: int = 1500, clock: Clock | None = None) -> LoadSink:
    return LoadSink(
        jobs=LoadJobs(google, DESTINATION, sleep=lambda seconds: None),
        dry_run=DryRun(
            google,
            tables_path="/bigquery/v2/projects/project/datasets/logs/tables",
            encoder=log_encoder(INSERT_ALL),
            time_column="t",
            ignore_unknown=False,
            sample=lambda: Record(b'{"k":"a"}', "", "0", 0, ARRIVAL_MS),
        ),
        encoder=log_encoder(LINES),
        jobs_per_day=jobs_per_day,
        now=clock or Clock(),
    )


def records(count: int, bad: Sequence[int] = ()) -> Chunk:
    return chunk_of(
        [json.dumps({"k": "a", "n": number, "bad": number in bad}).encode() for number in range(count)]
    )


def attempt(sink: LoadSink, request: LoadRequest) -> Outcome[LoadRequest]:
    try:
        return sink.send(request)
    except RequestRefused as refusal:
        return sink.split(request, str(refusal))


def deliver(sink: LoadSink, chunk: Chunk, *, troubles: list[str] | None = None) -> list[Rejection]:
    """As the delivery does: until nothing is left."""
    prepared = sink.prepare(chunk)
    rejections, pending = [*prepared.rejections], [*prepared.requests]
    for _ in range(1000):
        if not pending:
            return rejections
        try:
            outcome = attempt(sink, pending[-1])
        except DeliveryError as trouble:
            if troubles is not None:
                troubles.append(type(trouble).__name__)
            continue
        if outcome.backoff is not None and troubles is not None:
            troubles.append(type(outcome.backoff).__name__)
        pending.pop()
        pending += outcome.again
        rejections += outcome.rejections
    raise AssertionError("it never ends")


def loaded(google: FakeGoogle) -> list[int]:
    return sorted(record["n"] for record in google.loaded)


def test_the_rows_of_a_table_are_one_job_followed_to_its_end() -> None:
    google = FakeGoogle(polls=3)
    assert deliver(load_sink(google), records(5)) == []
    assert loaded(google) == [0, 1, 2, 3, 4]
    assert len(google.jobs) == 1
    assert len(google.requests) == 4


def test_a_job_says_where_its_rows_go_and_takes_no_bad_one() -> None:
    google = FakeGoogle()
    deliver(load_sink(google), records(1))
    [(job_id, seen)] = google.jobs.items()
    assert job_id.startswith("kinesis-logs_a-3-")
    assert seen["job"]["jobReference"] == {"projectId": "project", "jobId": job_id, "location": "EU"}
    assert seen["job"]["configuration"]["load"] == {
        "destinationTable": {"projectId": "project", "datasetId": "logs", "tableId": "logs_a"},
        "sourceFormat": "NEWLINE_DELIMITED_JSON",
        "createDisposition": "CREATE_NEVER",
        "writeDisposition": "WRITE_APPEND",
        "maxBadRecords": 0,
        "ignoreUnknownValues": False,
    }


def test_a_record_with_raw_line_ends_is_one_line() -> None:
    google = FakeGoogle()
    deliver(load_sink(google), chunk_of([b'{"k":"a",\r\n"n":1}']))
    assert google.loaded == [{"k": "a", "n": 1}]


def test_I3_a_replay_finds_the_jobs_that_are_there() -> None:
    google = FakeGoogle()
    chunk = records(3)
    deliver(load_sink(google), chunk)
    deliver(load_sink(google), chunk)
    assert loaded(google) == [0, 1, 2]
    assert len(google.jobs) == 1


@given(st.data())
def test_I3_jobs_of_other_rows_have_other_ids(data: st.DataObject) -> None:
    count = data.draw(st.integers(2, 20))
    [request] = load_sink(FakeGoogle()).prepare(records(count)).requests
    subsets = data.draw(st.lists(st.sets(st.integers(0, count - 1), min_size=1), min_size=2, max_size=5))
    ids = {frozenset(places): DESTINATION.job_id(request.keep(sorted(places))) for places in subsets}
    assert len(set(ids.values())) == len(ids)
    assert DESTINATION.job_id(request.next_attempt()) not in ids.values()
    assert all(len(one) < 1024 and one.replace("-", "").replace("_", "").isalnum() for one in ids.values())


def test_an_answer_that_is_lost_after_the_job_began_costs_nothing() -> None:
    google = FakeGoogle()
    chunk = records(3)

    def lose() -> Answer:
        raise TransientError("reset")

    original = google._begin

    def begin_and_lose(job: dict[str, Any], content: bytes) -> Answer:
        google._begin = original  # type: ignore[method-assign]
        original(job, content)
        return lose()

    google._begin = begin_and_lose  # type: ignore[method-assign]
    troubles: list[str] = []
    deliver(load_sink(google), chunk, troubles=troubles)
    assert troubles == ["TransientError"]
    assert loaded(google) == [0, 1, 2]


@pytest.mark.parametrize(
    ("reason", "trouble"),
    [
        ("backendError", "TransientError"),
        ("internalError", "TransientError"),
        ("jobBackendError", "TransientError"),
        ("stopped", "TransientError"),
        ("timeout", "TransientError"),
        ("resourcesExceeded", "TransientError"),
        ("rateLimitExceeded", "Throttled"),
        ("accessDenied", "SetupError"),
        ("notFound", "SetupError"),
    ],
)
def test_a_job_that_fails_for_no_fault_of_its_rows_is_followed_by_another(reason: str, trouble: str) -> None:
    google = FakeGoogle(ends=[reason, reason])
    troubles: list[str] = []
    assert deliver(load_sink(google), records(3), troubles=troubles) == []
    assert troubles == [trouble] * 2
    assert loaded(google) == [0, 1, 2]
    assert [job_id[-2:] for job_id in google.jobs] == ["-0", "-1", "-2"]
    # whoever reads the chunk again walks along the same jobs
    deliver(load_sink(google), records(3))
    assert loaded(google) == [0, 1, 2]


def deliver_for(
    google: FakeGoogle, sink: LoadSink, clock: Clock, request: LoadRequest, hours: int
) -> list[float]:
    """When Google was asked, by a delivery that tries again every ten seconds; it ends once the rows are loaded."""
    asked: list[float] = []
    pending = [request]
    begin = int(clock.now)
    for clock.now in range(begin, begin + hours * 3600, 10):
        before = len(google.requests)
        try:
            outcome = sink.send(pending.pop())
        except Throttled:
            pending.append(request)
        else:
            request = next(iter(outcome.again), request)
            pending += outcome.again
        if len(google.requests) > before:
            asked.append(clock.now)
        if not pending:
            break
    return asked


@pytest.mark.parametrize("at_start", [True, False])
def test_a_quota_that_is_used_up_is_waited_for_and_not_used_up_by_the_waiting(at_start: bool) -> None:
    """A job that fails counts as well."""
    google, clock = FakeGoogle(), Clock()
    if at_start:
        google.script = [lambda: error(403, "quotaExceeded")] * 1000
    else:
        google.ends = ["quotaExceeded"] * 1000
    sink = load_sink(google, clock=clock)
    [request] = sink.prepare(records(3)).requests
    asked = deliver_for(google, sink, clock, request, 24)
    assert asked[:5] == [0, 600, 1800, 3600, 5400]
    assert len(asked) < 50
    assert len(google.jobs) == (0 if at_start else len(asked))


def test_a_quota_that_has_room_again_is_used_at_once() -> None:
    google, clock = FakeGoogle(ends=["quotaExceeded", None, "quotaExceeded"]), Clock()
    sink = load_sink(google, clock=clock)
    [request] = sink.prepare(records(3)).requests
    assert deliver_for(google, sink, clock, request, 1) == [0, 600]
    assert loaded(google) == [0, 1, 2]
    [request] = sink.prepare(records(4)).requests
    assert deliver_for(google, sink, clock, request, 1) == [600, 1200]  # not the longer pause


def test_other_tables_do_not_wait_for_one_whose_quota_is_used_up() -> None:
    google = FakeGoogle(ends=["quotaExceeded"])
    sink = load_sink(google)
    chunk = chunk_of([b'{"k":"a","n":1}', b'{"k":"b","n":2}'])
    [first, second] = sink.prepare(chunk).requests
    assert isinstance(sink.send(first).backoff, Throttled)
    sink.send(second)
    assert loaded(google) == [2]


def test_who_finds_a_job_that_the_quota_has_ended_begins_another() -> None:
    google, clock = FakeGoogle(ends=["quotaExceeded"]), Clock()
    [request] = load_sink(google, clock=clock).prepare(records(3)).requests
    load_sink(google, clock=clock).send(request)
    troubles: list[str] = []
    deliver(load_sink(google, clock=clock), records(3), troubles=troubles)
    assert troubles == ["QuotaExceeded"]
    assert loaded(google) == [0, 1, 2]


def test_a_missing_table_costs_one_job_and_no_more() -> None:
    google = FakeGoogle(ends=["notFound"], tables_missing=True)
    sink = load_sink(google)
    [request] = sink.prepare(records(2)).requests
    [again] = sink.send(request).again
    for _ in range(5):
        with pytest.raises(SetupError, match=r"bigquery\.dataset"):
            sink.send(again)
    assert len(google.jobs) == 1
    google.tables_missing = False
    assert not sink.send(again).again
    assert loaded(google) == [0, 1]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (error(503, "backendError"), TransientError),
        (error(403, "quotaExceeded"), QuotaExceeded),
        (error(403, "accessDenied"), SetupError),
        (error(404, "notFound"), SetupError),
        # nobody has looked at the rows
        (error(400, "invalid"), SetupError),
        (error(413, "uploadTooLarge"), RequestRefused),
        (Answer(200, b"<html>"), TransientError),
        (Answer(200, b"{}"), TransientError),
        (Answer(200, b'{"jobReference":{"jobId":"other"},"status":{"state":"DONE"}}'), TransientError),
    ],
)
def test_a_job_that_is_not_begun(answer: Answer, expected: type[DeliveryError]) -> None:
    google = FakeGoogle(script=[lambda: answer])
    sink = load_sink(google)
    [request] = sink.prepare(records(2)).requests
    with pytest.raises(DeliveryError) as caught:
        sink.send(request)
    assert type(caught.value) is expected
    assert google.loaded == []


def test_a_job_that_may_not_be_begun_names_the_permission() -> None:
    google = FakeGoogle(script=[lambda: error(403, "accessDenied")])
    sink = load_sink(google)
    [request] = sink.prepare(records(2)).requests
    with pytest.raises(SetupError, match=r"the account needs bigquery\.jobs\.create"):
        sink.send(request)


def test_a_job_that_cannot_be_looked_at_is_looked_at_again() -> None:
    google = FakeGoogle(polls=1, script=[None, lambda: error(403, "accessDenied")])
    troubles: list[str] = []
    deliver(load_sink(google), records(2), troubles=troubles)
    assert troubles == ["TransientError"]
    assert loaded(google) == [0, 1]
    assert len(google.jobs) == 1


def test_a_large_file_is_sent_by_the_resumable_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumer.sinks.bigquery.load.jobs._MULTIPART_BYTES", 10)
    google = FakeGoogle()
    deliver(load_sink(google), records(3))
    deliver(load_sink(google), records(3))
    assert loaded(google) == [0, 1, 2]
    assert [request.split(" ")[0] for request in google.requests] == ["POST", "PUT", "POST", "PUT", "GET"]


@given(st.integers(1, 30), st.sets(st.integers(0, 29)))
def test_I5_exactly_the_bad_rows_are_rejected_at_the_cost_of_two_jobs(count: int, bad: set[int]) -> None:
    google = FakeGoogle()
    bad = {number for number in bad if number < count}
    rejections = deliver(load_sink(google), records(count, sorted(bad)))
    assert {rejection.index for rejection in rejections} == bad
    assert {(one.reason, one.detail) for one in rejections} <= {("rejected", "invalid: bad")}
    assert loaded(google) == [number for number in range(count) if number not in bad]
    assert len(google.jobs) <= 2
    # and a replay neither loads nor loses any
    assert {one.index for one in deliver(load_sink(google), records(count, sorted(bad)))} == bad
    assert len(google.loaded) == count - len(bad)


def test_rows_that_only_a_job_refuses_are_found_by_halves() -> None:
    google = FakeGoogle(sees=lambda row: False)
    rejections = deliver(load_sink(google), records(8, [2, 5]))
    assert sorted(one.index for one in rejections) == [2, 5]
    assert loaded(google) == [0, 1, 3, 4, 6, 7]


def test_rejected_rows_pass_once_the_table_is_mended() -> None:
    google = FakeGoogle()
    sink, chunk = load_sink(google), records(3, [0, 1, 2])
    rejections = deliver(sink, chunk)
    assert len(rejections) == 3
    google.refuses = lambda row: False
    [request] = sink.reconsider(chunk, rejections).requests
    [again] = sink.send(request).again  # the job of these rows has failed, but nothing speaks against them
    assert sink.send(again).again == ()
    assert loaded(google) == [0, 1, 2]


@given(st.lists(st.sampled_from(["lost before", "lost after", "503", "fails"]), max_size=6), st.booleans())
def test_no_row_is_lost_or_doubled_whatever_goes_wrong_and_whoever_repeats(
    faults: list[str], two_owners: bool
) -> None:
    google = FakeGoogle()
    begin = google._begin

    def faulty(job: dict[str, Any], content: bytes) -> Answer:
        fault = faults.pop() if faults else ""
        if fault == "503":
            return error(503, "backendError")
        if fault == "lost before":
            raise TransientError("reset")
        if fault == "fails":
            google.ends.insert(0, "backendError")
        answer = begin(job, content)
        google.ends.clear()
        if fault == "lost after":
            raise TransientError("reset")
        return answer

    google._begin = faulty  # type: ignore[method-assign]
    chunk = records(6, [4])
    for _ in range(2 if two_owners else 1):
        assert [one.index for one in deliver(load_sink(google), chunk)] == [4]
    assert loaded(google) == [0, 1, 2, 3, 5]


def test_the_daily_quota_of_a_table_is_kept_and_jobs_of_others_are_found_meanwhile() -> None:
    google, clock = FakeGoogle(), Clock()
    sink = load_sink(google, jobs_per_day=2, clock=clock)
    chunks = [chunk_of([b'{"k":"a","n":%d}' % number]) for number in (1, 2, 3)]
    first, second, third = (
        LoadRequest(one.table, one.chunk, one.indices, one.lines, attempt)
        for attempt, chunk in enumerate(chunks)
        for one in sink.prepare(chunk).requests
    )
    sink.send(first)
    clock.now = 100
    sink.send(second)
    with pytest.raises(Throttled, match="2 load jobs within 24 hours") as refused:
        sink.send(third)
    assert "the next one in 86300 s" in str(refused.value)
    load_sink(google).send(third)  # by another process
    assert sink.send(third).counts["load_jobs"] == 0
    assert loaded(google) == [1, 2, 3]
    clock.now = DAY_SECONDS
    assert sink.send(third).counts == {"load_rows": 1, "load_bytes": len(third.lines[0]), "load_jobs": 0}


def test_a_budget_is_that_of_any_24_hours() -> None:
    budget = DailyBudget(2)
    for now in (0.0, 10.0):
        assert budget.wait_seconds(now) == 0
        budget.begin(now)
    assert budget.wait_seconds(20.0) == DAY_SECONDS - 20
    assert budget.wait_seconds(DAY_SECONDS) == 0
    budget.begin(DAY_SECONDS)
    assert budget.wait_seconds(DAY_SECONDS) == 10


def test_polls_grow_further_apart() -> None:
    google, pauses = FakeGoogle(polls=7), list[float]()
    jobs = LoadJobs(google, DESTINATION, sleep=pauses.append)
    [request] = load_sink(google).prepare(records(1)).requests
    jobs.run(request)
    assert pauses == [0.25, 0.5, 1, 2, 4, 5, 5]
    assert all(later >= earlier for earlier, later in itertools.pairwise(pauses))
