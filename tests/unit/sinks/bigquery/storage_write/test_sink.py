"""What the sink does with each outcome, with a BigQuery and a store that are scripted."""

from collections.abc import Callable

import msgspec
import pytest

from consumer.domain.chunks import Chunk
from consumer.domain.columns import Records
from consumer.domain.dead_letters import DETAIL_CHARACTERS, Rejection, ShareGuard, ShareLimit
from consumer.domain.errors import RequestRefused, SetupError, Superseded, Throttled, TransientError
from consumer.domain.records import Position, Record
from consumer.sinks.bigquery.arrow_rows.rules import Rules
from consumer.sinks.bigquery.storage_write.answers import CallFailed, StorageCode
from consumer.sinks.bigquery.storage_write.appends import Append
from consumer.sinks.bigquery.storage_write.sink import StorageWriteSink
from tests.unit.sinks.bigquery.storage_write.fakes import FakeBigQuery, FakeStore, NumberRows, rules

NO_LIMIT = ShareLimit(1.0, 10)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A shard's backend; `sink` makes processes on it."""

    def __init__(self) -> None:
        self.bigquery = FakeBigQuery()
        self.store = FakeStore()

    def sink(
        self,
        start: str | None = None,
        *,
        own: Rules | None = None,
        limit: ShareLimit = NO_LIMIT,
        now: Callable[[], float] = lambda: 0.0,
    ) -> StorageWriteSink:
        return StorageWriteSink(
            writer=self.bigquery,
            store=self.store,
            rules=own or rules(tables=1),
            maker_of=NumberRows,
            guard=ShareGuard(limit),
            start=None if start is None else Position(start, 0),
            max_request_bytes=1000,
            sample=lambda: Record(b"", "key", "1"),
            now=now,
        )

    def rows(self) -> list[int]:
        return self.bigquery.table("t0")


def chunk(*numbers: int) -> Chunk:
    return Chunk(Records.of(Record(b"", "key", str(number)) for number in numbers))


def prepared(sink: StorageWriteSink, *numbers: int) -> Append:
    (request,) = sink.prepare(chunk(*numbers)).requests
    return request


def deliver(sink: StorageWriteSink, *numbers: int) -> list[Rejection]:
    """As Delivery does, without its patience."""
    first = sink.prepare(chunk(*numbers))
    pending, rejections = list(first.requests)[::-1], list(first.rejections)
    while pending:
        try:
            outcome = sink.send(pending[-1])
        except RequestRefused as error:
            try:
                outcome = sink.split(pending[-1], str(error))
            except TransientError:
                continue
        pending.pop()
        pending += outcome.again
        rejections += outcome.rejections
    return rejections


def checkpoint(sink: StorageWriteSink, number: int) -> None:
    sink.before_checkpoint(Position(str(number), 0))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_appends_of_a_shard_go_to_one_stream_at_growing_offsets(bench: Bench) -> None:
    sink = bench.sink()
    deliver(sink, 1, 2)
    deliver(sink, 3)
    assert [(offset, count) for _, offset, count in bench.bigquery.appends] == [(0, 2), (2, 1)]
    assert len(bench.bigquery.streams) == 1


def test_written_rows_and_their_bytes_are_counted_once_though_the_answer_was_lost(bench: Bench) -> None:
    sink = bench.sink()
    request = prepared(sink, 1, 2)
    bench.bigquery.troubles = ["lost"]
    with pytest.raises(TransientError):
        sink.send(request)
    assert sink.send(request).counts == {"storage_write_rows": 2, "storage_write_bytes": len(b"[1,2]")}


def test_a_stream_is_kept_before_its_first_row(bench: Bench) -> None:
    sink = bench.sink()
    request = prepared(sink, 1)
    bench.store.failures = [TransientError("down")]
    with pytest.raises(TransientError):
        sink.send(request)
    assert bench.rows() == []
    sink.send(request)
    state = bench.store.kept()
    assert [stream.name for stream in state.present.streams.values()] == list(bench.bigquery.streams)


def test_a_lost_answer_is_a_success_when_the_rows_are_there(bench: Bench) -> None:
    sink = bench.sink()
    request = prepared(sink, 1, 2)
    bench.bigquery.troubles = ["lost"]
    with pytest.raises(TransientError):
        sink.send(request)
    assert sink.send(request).again == ()
    deliver(sink, 3)
    assert bench.rows() == [1, 2, 3]


def test_rows_that_nobody_here_has_written_end_the_process(bench: Bench) -> None:
    sink = bench.sink()
    deliver(sink, 1)
    next(iter(bench.bigquery.streams.values())).rows.append(99)
    with pytest.raises(Superseded):
        sink.send(prepared(sink, 2))


def test_a_finalized_stream_ends_the_process_and_opens_no_other(bench: Bench) -> None:
    zombie = bench.sink()
    deliver(zombie, 1)
    deliver(bench.sink(), 1, 2)
    with pytest.raises(Superseded):
        zombie.send(prepared(zombie, 2))
    with pytest.raises(Superseded):
        checkpoint(zombie, 1)
    assert bench.rows() == [1, 2]


def test_a_former_owner_cannot_open_a_stream(bench: Bench) -> None:
    zombie = bench.sink()
    request = prepared(zombie, 1)
    deliver(bench.sink(), 1)
    with pytest.raises(Superseded):
        zombie.send(request)
    assert bench.rows() == [1]


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (CallFailed(code="RESOURCE_EXHAUSTED", message="quota"), Throttled),
        (CallFailed(code="INTERNAL", message="try again"), TransientError),
        (CallFailed(code="OUT_OF_RANGE", message="beyond"), SetupError),
        (CallFailed(code="PERMISSION_DENIED", message="no"), SetupError),
        (CallFailed(code="NOT_FOUND", message="Not found: Table t"), SetupError),
    ],
)
def test_a_failure_is_told_and_the_same_rows_go_to_the_same_offset(
    bench: Bench, failure: CallFailed, error: type[Exception]
) -> None:
    sink = bench.sink()
    request = prepared(sink, 1)
    bench.bigquery.troubles = [failure, None]
    with pytest.raises(error):
        sink.send(request)
    sink.send(request)
    assert bench.rows() == [1]


def test_a_stream_that_is_gone_is_followed_by_another(bench: Bench) -> None:
    sink = bench.sink()
    deliver(sink, 1, 2)
    bench.bigquery.troubles = [
        CallFailed(code="NOT_FOUND", message="expired", storage_code=StorageCode.STREAM_NOT_FOUND)
    ]
    outcome = sink.send(prepared(sink, 3))
    assert outcome.backoff is not None
    sink.send(outcome.again[0])
    deliver(bench.sink(), 1, 2, 3, 4)
    assert bench.rows() == [1, 2, 3, 4]


def test_a_stream_that_is_gone_with_an_unanswered_request_holds_the_shard(bench: Bench) -> None:
    sink = bench.sink()
    request = prepared(sink, 1)
    bench.bigquery.troubles = [
        CallFailed(code="UNAVAILABLE", message="reset"),
        CallFailed(code="NOT_FOUND", message="expired", storage_code=StorageCode.STREAM_NOT_FOUND),
    ]
    with pytest.raises(TransientError):
        sink.send(request)
    with pytest.raises(SetupError, match=r"docs/storage-write\.md"):
        sink.send(request)


def test_refused_rows_are_kept_before_the_rest_is_sent(bench: Bench) -> None:
    bench.bigquery.refused = frozenset({2})
    sink = bench.sink()
    request = prepared(sink, 1, 2, 3)
    bench.store.failures = [None, TransientError("answer lost")]
    with pytest.raises(TransientError):
        sink.send(request)
    assert bench.rows() == []
    outcome = sink.send(request)
    assert outcome.rejections == [Rejection(1, "rejected", "refused")]
    sink.send(outcome.again[0])
    assert bench.rows() == [1, 3]


def test_of_what_is_said_about_a_row_as_much_is_kept_as_a_dead_letter_holds(bench: Bench) -> None:
    bench.bigquery.refused = frozenset({2})
    bench.bigquery.refusal = "x" * 8_000_000
    rejections = deliver(bench.sink(), 1, 2, 3)
    ((kept,),) = bench.store.rows.values()
    assert rejections == [Rejection(1, "rejected", kept.detail)]
    assert kept.detail == "x" * (DETAIL_CHARACTERS - 1) + "…"


def test_a_refused_row_is_refused_again_in_a_replay_though_the_server_would_take_it(bench: Bench) -> None:
    bench.bigquery.refused = frozenset({2})
    deliver(bench.sink(), 1, 2, 3)
    bench.bigquery.refused = frozenset()
    assert deliver(bench.sink(), 1, 2, 3, 4) == [Rejection(1, "rejected", "refused")]
    assert bench.rows() == [1, 3, 4]


def test_refused_rows_are_forgotten_once_a_checkpoint_has_passed_them(bench: Bench) -> None:
    bench.bigquery.refused = frozenset({2})
    sink = bench.sink()
    deliver(sink, 1, 2, 3)
    assert bench.store.rows
    checkpoint(sink, 3)
    assert not bench.store.rows


def test_a_schema_that_refuses_everything_holds_the_lane(bench: Bench) -> None:
    bench.bigquery.refused = frozenset(range(100))
    sink = bench.sink(limit=ShareLimit(0.5, 10))
    request = prepared(sink, *range(1, 21))
    for _ in range(3):
        with pytest.raises(TransientError, match="sent once more"):
            sink.send(request)
    with pytest.raises(SetupError, match="refuses 20 of 20 rows"):
        sink.send(request)
    bench.bigquery.refused = frozenset()
    sink.send(request)
    assert bench.rows() == list(range(1, 21))


@pytest.mark.parametrize("whole", [False, True])
def test_a_table_that_takes_no_row_of_its_own_columns_buries_none(bench: Bench, whole: bool) -> None:
    sink = bench.sink()
    request = prepared(sink, 1)
    bench.bigquery.takes_nothing = "no such field: log."
    bench.bigquery.refused = frozenset({1})
    for _ in range(3):
        if whole:
            bench.bigquery.troubles = [CallFailed(code="INVALID_ARGUMENT", message="no")]
            with pytest.raises(RequestRefused):
                sink.send(request)
            with pytest.raises(SetupError, match=r"t0 refuses even a row .* no such field: log"):
                sink.split(request, "no")
        else:
            with pytest.raises(SetupError, match=r"t0 refuses even a row .* no such field: log"):
                sink.send(request)
    bench.bigquery.takes_nothing, bench.bigquery.refused = "", frozenset()
    sink.send(request)
    assert bench.rows() == [1]
    assert bench.bigquery.checks == ["t0"]


def test_a_request_that_is_refused_as_a_whole_is_halved_down_to_the_row(bench: Bench) -> None:
    sink = bench.sink()
    too_large = CallFailed(code="INVALID_ARGUMENT", message="too large")
    bench.bigquery.troubles = [too_large] * 5
    assert deliver(sink, 1, 2) == [Rejection(0, "rejected", "t0: INVALID_ARGUMENT: too large")]
    assert bench.rows() == [2]
    assert deliver(bench.sink(), 1, 2)[0].index == 0
    assert bench.rows() == [2]


def test_a_replay_from_an_older_checkpoint_passes_over_what_is_durable(bench: Bench) -> None:
    sink = bench.sink()
    for number in range(1, 7):
        deliver(sink, number)
    checkpoint(sink, 4)
    again = bench.sink("2")
    assert not any(deliver(again, number) for number in range(3, 9))
    assert bench.rows() == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("start", [None, "4", "6"])
def test_reading_on_elsewhere_holds_the_shard_while_rows_past_the_mark_are_open(
    bench: Bench, start: str | None
) -> None:
    sink = bench.sink()
    deliver(sink, 1, 2)
    checkpoint(sink, 2)
    deliver(sink, 3, 4)
    with pytest.raises(SetupError, match=r"2 rows were written past 2, and reading goes on at 7"):
        bench.sink(start).prepare(chunk(7, 8))
    bench.store.state = None  # what the documentation says
    deliver(bench.sink(start), 7, 8)
    assert bench.rows() == [1, 2, 3, 4, 7, 8]


def test_a_gap_without_open_rows_begins_anew_and_survives_a_crash(bench: Bench) -> None:
    sink = bench.sink()
    deliver(sink, 1, 2)
    checkpoint(sink, 2)
    deliver(bench.sink("5"), 6, 7)
    deliver(bench.sink("5"), 6, 7, 8)
    assert bench.rows() == [1, 2, 6, 7, 8]


def test_a_first_start_that_crashed_before_any_checkpoint_goes_on(bench: Bench) -> None:
    deliver(bench.sink(), 1, 2)
    deliver(bench.sink(), 1, 2, 3)
    assert bench.rows() == [1, 2, 3]


def test_a_first_start_whose_records_have_expired_since_holds_the_shard(bench: Bench) -> None:
    deliver(bench.sink(), 1, 2)
    with pytest.raises(SetupError, match="2 rows were written from 1 on"):
        bench.sink().prepare(chunk(2, 3))


def test_a_former_owners_stream_that_is_gone_holds_the_shard(bench: Bench) -> None:
    deliver(bench.sink(), 1)
    bench.bigquery.finalize_failures = [
        CallFailed(code="NOT_FOUND", message="expired", storage_code=StorageCode.STREAM_NOT_FOUND)
    ]
    with pytest.raises(SetupError, match="the number of its rows"):
        bench.sink().prepare(chunk(1))


def test_a_start_while_bigquery_is_down_is_repeated(bench: Bench) -> None:
    deliver(bench.sink(), 1)
    bench.bigquery.finalize_failures = [CallFailed(code="UNAVAILABLE", message="down")]
    sink = bench.sink()
    with pytest.raises(TransientError):
        sink.prepare(chunk(1, 2))
    deliver(sink, 1, 2)
    assert bench.rows() == [1, 2]


@pytest.mark.parametrize("state", [b"{", b'{"version":3}', b'{"version":2}', b"[]"])
def test_a_state_of_another_version_holds_the_shard(bench: Bench, state: bytes) -> None:
    bench.store.state = state
    with pytest.raises(SetupError, match="cannot be read"):
        bench.sink().prepare(chunk(1))


def test_a_state_of_the_first_version_is_taken_over(bench: Bench) -> None:
    sink = bench.sink()
    deliver(sink, 1, 2)
    checkpoint(sink, 2)
    deliver(sink, 3)
    together = msgspec.json.decode(bench.store.state or b"") | {
        "version": 1,
        "eras": msgspec.json.decode(bench.store.streams or b""),
    }
    bench.store.state, bench.store.streams = msgspec.json.encode(together), None
    deliver(bench.sink("2"), 3, 4)
    assert bench.rows() == [1, 2, 3, 4]
    assert msgspec.json.decode(bench.store.state)["version"] == 2


def test_a_checkpoint_writes_less_than_a_kilobyte_for_sixteen_tables(bench: Bench) -> None:
    sink = bench.sink(own=rules(tables=16))
    numbers = [10_000_000 + number for number in range(64)]
    deliver(sink, *numbers)
    checkpoint(sink, numbers[-1])
    assert len(bench.store.kept().present.streams) == 16
    assert (
        len(bench.store.state or b"") < 700
    )  # the item's keys and generation are some hundred bytes beside it


def test_a_checkpoint_is_kept_before_it_is_asked_for(bench: Bench) -> None:
    sink = bench.sink()
    deliver(sink, 1, 2)
    bench.store.failures = [TransientError("down")]
    with pytest.raises(TransientError):
        checkpoint(sink, 2)
    checkpoint(sink, 2)
    state = bench.store.kept()
    assert (state.mark, state.counts) == (Position("2", 0), {1: {"t0": 2}})


def test_rows_written_under_former_rules_are_told_by_those(bench: Bench) -> None:
    deliver(bench.sink(own=rules(tables=1)), 1, 2, 3)
    deliver(bench.sink(own=rules(tables=1, bad=2)), 1, 2, 3, 4, 5)
    assert bench.rows() == [1, 2, 3, 5]
    sink = bench.sink(own=rules(tables=1))
    assert deliver(sink, 1, 2, 3, 4, 5) == []
    assert bench.rows() == [1, 2, 3, 5, 4]
    checkpoint(sink, 5)
    assert len(bench.store.kept().eras) == 1


def test_a_count_that_begins_anew_remembers_no_refused_rows(bench: Bench) -> None:
    bench.bigquery.refused = frozenset({2})
    deliver(bench.sink(), 1, 2)
    bench.bigquery.refused = frozenset()
    bench.store.state = None
    deliver(bench.sink("1"), 2, 3)
    assert bench.rows() == [1, 2, 3]


def test_a_record_that_an_older_version_may_have_written_holds_the_shard(bench: Bench) -> None:
    """Whether version 1 made a row of a deep record hung on the stack: to count either way would pass a neighbour over
    or write it twice."""
    older, newer = rules(tables=1, deep=2, version=1), rules(tables=1, deep=2)
    deliver(bench.sink(own=older), 1, 2, 3)
    sink = bench.sink(own=newer)
    for _ in range(2):
        with pytest.raises(SetupError, match=r"record 2 \(too_deep\) was judged by an older version"):
            sink.prepare(chunk(1, 2, 3))
    assert bench.rows() == [1, 3]


def test_rows_on_their_way_arrive_though_the_next_chunk_is_held(bench: Bench) -> None:
    older = bench.sink(own=rules(tables=2, deep=4, version=1))
    requests = {each.table: each for each in older.prepare(chunk(1, 2, 3, 4, 5)).requests}
    older.send(requests["t1"])
    sink = bench.sink(own=rules(tables=2, deep=4))
    missing = prepared(sink, 1, 2)
    with pytest.raises(SetupError, match="record 4"):
        sink.prepare(chunk(3, 4, 5))
    sink.send(missing)
    assert bench.rows() == [2]
    checkpoint(sink, 2)
    for _ in range(2):
        with pytest.raises(SetupError):
            sink.prepare(chunk(3, 4, 5))
    assert bench.bigquery.table("t1") == [1, 3, 5]


def test_a_reason_that_an_older_version_knew_holds_nothing(bench: Bench) -> None:
    deliver(bench.sink(own=rules(tables=1, deep=2, version=2)), 1, 2, 3)
    assert [each.reason for each in deliver(bench.sink(own=rules(tables=1, deep=2)), 1, 2, 3, 4)] == [
        "too_deep"
    ] * 2
    assert bench.rows() == [1, 3]


def test_after_an_older_version_has_stopped_in_order_nothing_is_held(bench: Bench) -> None:
    older = bench.sink(own=rules(tables=1, deep=2, version=1))
    deliver(older, 1, 2, 3)
    checkpoint(older, 3)
    sink = bench.sink("3", own=rules(tables=1, deep=2))
    assert [each.reason for each in deliver(sink, 4, 5)] == ["too_deep"]
    assert bench.rows() == [1, 3, 5]


def test_what_an_older_version_judged_alike_is_told_by_its_rows(bench: Bench) -> None:
    deliver(bench.sink(own=rules(tables=1, deep=4, version=1)), 1, 2, 3)
    assert [each.reason for each in deliver(bench.sink(own=rules(tables=1, deep=4)), 1, 2, 3)] == []
    assert bench.rows() == [1, 2, 3]


def test_an_orderly_end_leaves_no_stream_open(bench: Bench) -> None:
    sink = bench.sink()
    deliver(sink, 1, 2)
    checkpoint(sink, 2)
    sink.release(everything=True)
    assert all(stream.finalized for stream in bench.bigquery.streams.values())
    assert bench.store.kept().open_streams() == []
    bench.bigquery.take_idle_streams_away()  # a week later
    again = bench.sink("2")
    deliver(again, 3)
    assert bench.rows() == [1, 2, 3]


def test_a_crash_after_everything_was_checkpointed_holds_nobody_a_week_later(bench: Bench) -> None:
    sink = bench.sink()
    deliver(sink, 1, 2)
    checkpoint(sink, 2)
    bench.bigquery.take_idle_streams_away()
    deliver(bench.sink("2"), 3)
    assert bench.rows() == [1, 2, 3]


def test_rows_past_the_mark_in_a_stream_that_is_gone_hold_the_shard(bench: Bench) -> None:
    sink = bench.sink()
    deliver(sink, 1, 2)
    checkpoint(sink, 2)
    deliver(sink, 3)
    bench.bigquery.take_idle_streams_away()
    with pytest.raises(SetupError, match="a stream of the former owner is gone"):
        bench.sink("2").prepare(chunk(3, 4))


def test_a_table_that_was_quiet_for_long_gets_a_new_stream(bench: Bench) -> None:
    clock = Clock()
    sink = bench.sink(now=clock)
    deliver(sink, 1)
    checkpoint(sink, 1)
    clock.now += 5 * 3600
    sink.release(everything=False)
    assert [stream.finalized for stream in bench.bigquery.streams.values()] == [False]
    clock.now += 2 * 3600
    sink.release(everything=False)
    assert [stream.finalized for stream in bench.bigquery.streams.values()] == [True]
    bench.bigquery.take_idle_streams_away()
    deliver(sink, 2)
    checkpoint(sink, 2)
    assert bench.rows() == [1, 2]
    deliver(bench.sink("2"), 3)
    assert bench.rows() == [1, 2, 3]


def test_a_busy_shard_looks_after_its_quiet_tables(bench: Bench) -> None:
    clock = Clock()
    sink = bench.sink(own=rules(tables=2), now=clock)
    deliver(sink, 1, 2)
    checkpoint(sink, 2)
    clock.now += 7 * 3600
    deliver(sink, 3)
    checkpoint(sink, 3)
    quiet, busy = sorted(bench.bigquery.streams.values(), key=lambda stream: stream.table)
    assert (quiet.finalized, busy.finalized) == (True, False)


def test_a_settled_shard_keeps_that_before_it_writes_again(bench: Bench) -> None:
    sink = bench.sink()
    deliver(sink, 1)
    checkpoint(sink, 1)
    assert bench.store.kept().settled
    request = prepared(sink, 2)
    bench.store.failures = [TransientError("down")]
    with pytest.raises(TransientError):
        sink.send(request)
    bench.store.failures = [TransientError("down")]
    with pytest.raises(TransientError):
        sink.send(request)
    assert bench.rows() == [1]
    sink.send(request)
    assert bench.rows() == [1, 2]
    assert not bench.store.kept().settled


def test_a_table_is_asked_on_one_stream_however_often(bench: Bench) -> None:
    sink = bench.sink()
    bench.bigquery.refused = frozenset(range(100))
    for number in range(1, 6):
        deliver_bad(sink, number)
    assert bench.bigquery.checks == ["t0"]
    assert bench.bigquery.samples == {"t0": 20}  # four turns for each row


def deliver_bad(sink: StorageWriteSink, number: int) -> None:
    request = prepared(sink, number)
    for _ in range(3):
        with pytest.raises(TransientError, match="sent once more"):
            sink.send(request)
    assert len(sink.send(request).rejections) == 1


def test_rows_are_judged_though_no_record_makes_a_sample(bench: Bench) -> None:
    sink = bench.sink(own=rules(tables=1, bad=1))
    assert len(sink.prepare(chunk(1)).rejections) == 1
    sink._table_check.before_rejecting_some("t0")
    assert bench.bigquery.checks == []
