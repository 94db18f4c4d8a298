"""The BigQuery sink: from a chunk to requests, and from refused requests to single rows."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.dead_letters import Rejection
from consumer.domain.errors import RequestRefused, SetupError, TransientError
from consumer.sinks.bigquery.insert_all.dry_run import DryRun
from consumer.sinks.bigquery.insert_all.requests import InsertRequest, RequestLimits
from consumer.sinks.bigquery.insert_all.sink import BigQuerySink
from tests.unit.builders import chunk_of
from tests.unit.sinks.bigquery.builders import encoder, numbers_in, request_of


@dataclass
class FakeConnection:
    answers: list[tuple[int, bytes]] = field(default_factory=list)
    posts: list[tuple[str, bytes]] = field(default_factory=list)

    def post(self, path: str, body: bytes | bytearray) -> tuple[int, bytes]:
        self.posts.append((path, bytes(body)))
        return self.answers.pop(0) if self.answers else (200, b"{}")


@dataclass
class FakeDryRun:
    check_table: Callable[[str], None]
    judge: Callable[[Sequence[int]], dict[int, str]]

    def bad_rows(self, records: Any, indices: Sequence[int]) -> dict[int, str]:
        return self.judge(indices)


def sink(
    connection: FakeConnection | None = None,
    *,
    max_rows: int = 500,
    max_bytes: int = 10**6,
    check: Callable[[str], None] = lambda table: None,
    judge: Callable[[Sequence[int]], dict[int, str]] = lambda indices: dict.fromkeys(indices, "bad"),
) -> BigQuerySink:
    return BigQuerySink(
        connection=connection or FakeConnection(),
        tables_path="/bigquery/v2/projects/project/datasets/dataset/tables",
        encoder=encoder(),
        limits=RequestLimits(max_rows=max_rows, max_bytes=max_bytes),
        dry_run=cast(DryRun, FakeDryRun(check, judge)),
    )


def test_a_chunk_becomes_requests_by_table_in_shard_order() -> None:
    chunk = chunk_of([b'{"k":"b"}', b'{"k":"a"}', b'{"k":"b"}', b'{"k":"a"}', b'{"k":"b"}'])
    prepared = sink(max_rows=2).prepare(chunk)
    assert [(request.table, request.indices) for request in prepared.requests] == [
        ("logs_a", [1, 3]),
        ("logs_b", [0, 2]),
        ("logs_b", [4]),
    ]


def test_I1_every_record_is_in_one_request_or_rejected_with_its_reason() -> None:
    chunk = chunk_of([b'{"k":"b"}', b"nope", b'{"k":"' + b"a" * 500 + b'"}', b"{}", b'{"k":"a"}'])
    prepared = sink(max_bytes=400).prepare(chunk)
    sent = [index for request in prepared.requests for index in request.indices]
    assert sorted(sent) == [0, 4]
    assert {(each.index, each.reason) for each in prepared.rejections} == {
        (1, "not_json"),
        (2, "too_large"),
        (3, "no_key"),
    }


def test_a_request_is_posted_to_its_table() -> None:
    connection = FakeConnection()
    delivery = sink(connection)
    (request,) = delivery.prepare(chunk_of([b'{"k":"a"}'])).requests
    outcome = delivery.send(request)
    ((path, body),) = connection.posts
    assert path == "/bigquery/v2/projects/project/datasets/dataset/tables/logs_a/insertAll"
    assert json.loads(body)["rows"][0]["json"]["k"] == "a"
    assert not outcome.again
    assert not outcome.rejections


def test_I3_a_request_that_is_sent_again_is_the_same_request() -> None:
    connection = FakeConnection(answers=[(503, b"")])
    delivery = sink(connection)
    (request,) = delivery.prepare(chunk_of([b'{"k":"a"}'])).requests
    with pytest.raises(TransientError):
        delivery.send(request)
    delivery.send(request)
    assert connection.posts[0] == connection.posts[1]


def test_I3_preparing_a_chunk_twice_gives_the_same_requests() -> None:
    chunk = chunk_of([b'{"k":"b"}', b"nope", b'{"k":"a"}'])
    assert sink().prepare(chunk) == sink().prepare(chunk)


def test_a_refused_request_raises_for_its_split() -> None:
    delivery = sink(FakeConnection(answers=[(413, b"<html>")]))
    with pytest.raises(RequestRefused, match="413"):
        delivery.send(request_of(2))


@given(st.integers(1, 40), st.sets(st.integers(0, 39)))
def test_I5_bisection_finds_exactly_the_rows_that_no_request_may_hold(count: int, bad: set[int]) -> None:
    delivery = sink()
    pending: list[InsertRequest] = [request_of(count)]
    durable: list[int] = []
    rejections: list[Rejection] = []
    sends = 0
    while pending:
        request = pending.pop()
        sends += 1
        if bad & {index - 100 for index in request.indices}:
            try:
                outcome = delivery.split(request, "400 invalid")
            except TransientError:  # the table is in order: once more
                pending.append(request)
                continue
            assert all(len(part.indices) < len(request.indices) for part in outcome.again)
            assert outcome.backoff is None
            pending += outcome.again
            rejections += outcome.rejections
        else:
            durable += request.indices
    expected = {100 + number for number in bad if number < count}
    assert {rejection.index for rejection in rejections} == expected
    assert {(rejection.reason, rejection.detail) for rejection in rejections} <= {("rejected", "400 invalid")}
    assert sorted([*durable, *expected]) == list(range(100, 100 + count))
    assert sends <= 2 * count + 3 * len(expected)


def test_a_table_that_refuses_the_only_row_left_is_waited_for() -> None:
    refuses = SetupError("logs_a refuses even a row made of its own columns", setting="bigquery.row")

    def check(table: str) -> None:
        assert table == "logs_a"
        raise refuses

    delivery = sink(check=check)
    assert len(delivery.split(request_of(2), "400 invalid").again) == 2
    with pytest.raises(SetupError, match="even a row made of its own columns"):
        delivery.split(request_of(1), "400 invalid")


def test_rows_that_a_table_refuses_for_its_own_sake_are_sent_again_without_those_that_are_in() -> None:
    errors = [
        {"index": place, "errors": [{"reason": "invalid", "message": "no such field: x."}]}
        for place in (0, 2)
    ]
    connection = FakeConnection([(200, json.dumps({"insertErrors": errors}).encode())])

    def check(table: str) -> None:
        raise SetupError(f"{table} refuses", setting="bigquery.row")

    outcome = sink(connection, check=check).send(request_of(4))
    assert outcome.rejections == ()
    assert isinstance(outcome.backoff, SetupError)
    assert outcome.counts["insert_all_rows"] == 2
    (again,) = outcome.again
    assert numbers_in(again) == [0, 2]


def test_of_rows_all_refused_those_that_are_taken_beside_a_sample_are_sent_again() -> None:
    errors = [{"index": place, "errors": [{"reason": "invalid", "message": "no"}]} for place in range(3)]
    connection = FakeConnection([(200, json.dumps({"insertErrors": errors}).encode())])
    outcome = sink(connection, judge=lambda indices: {indices[1]: "no"}).send(request_of(3))
    assert [rejection.index for rejection in outcome.rejections] == [101]
    (again,) = outcome.again
    assert (numbers_in(again), outcome.backoff) == ([0, 2], None)


def test_rows_that_only_the_real_request_refuses_are_to_blame_after_some_turns() -> None:
    errors = [{"index": place, "errors": [{"reason": "invalid", "message": "no"}]} for place in range(3)]
    connection = FakeConnection([(200, json.dumps({"insertErrors": errors}).encode())] * 4)
    delivery = sink(connection, judge=lambda indices: {})
    for _ in range(3):
        outcome = delivery.send(request_of(3))
        assert (outcome.rejections, isinstance(outcome.backoff, TransientError)) == ((), True)
    assert len(delivery.send(request_of(3)).rejections) == 3


def test_rows_whose_dry_run_is_refused_as_a_whole_are_to_blame_after_some_turns() -> None:
    errors = [{"index": 0, "errors": [{"reason": "invalid", "message": "no"}]}]
    connection = FakeConnection([(200, json.dumps({"insertErrors": errors}).encode())] * 4)

    def judge(indices: Sequence[int]) -> dict[int, str]:
        raise RequestRefused("HTTP 400")

    delivery = sink(connection, judge=judge)
    for _ in range(3):
        assert delivery.send(request_of(1)).rejections == ()
    assert len(delivery.send(request_of(1)).rejections) == 1


def test_rows_all_refused_by_a_table_that_refuses_the_sample_are_kept() -> None:
    errors = [{"index": place, "errors": [{"reason": "invalid", "message": "no"}]} for place in range(3)]
    connection = FakeConnection([(200, json.dumps({"insertErrors": errors}).encode())])

    def judge(indices: Sequence[int]) -> dict[int, str]:
        raise SetupError("logs_a refuses", setting="bigquery.row")

    outcome = sink(connection, judge=judge).send(request_of(3))
    assert (outcome.rejections, len(outcome.again)) == ((), 1)
    assert isinstance(outcome.backoff, SetupError)


def test_halves_keep_the_order_of_the_rows() -> None:
    first, second = sink().split(request_of(5), "413").again
    assert (first.indices, second.indices) == ([100, 101], [102, 103, 104])
    assert (numbers_in(first), numbers_in(second)) == ([0, 1], [2, 3, 4])


def test_only_rejected_records_are_reconsidered() -> None:
    chunk = chunk_of([b'{"k":"a"}', b"nope", b'{"k":"a"}', b'{"k":"b"}'])
    rejections = [
        Rejection(3, "rejected", "no such field"),
        Rejection(1, "not_json", ""),
        Rejection(0, "rejected", ""),
    ]
    prepared = sink().reconsider(chunk, rejections)
    assert [(request.table, request.indices) for request in prepared.requests] == [
        ("logs_a", [0]),
        ("logs_b", [3]),
    ]
    assert [(each.index, each.reason) for each in prepared.rejections] == [(1, "not_json")]


def test_I3_a_reconsidered_row_is_the_row_it_was() -> None:
    chunk = chunk_of([b'{"k":"a"}', b'{"k":"a","x":1}'])
    (first,) = sink().prepare(chunk).requests
    (again,) = sink().reconsider(chunk, [Rejection(1, "rejected", "")]).requests
    assert json.loads(again.body)["rows"] == json.loads(first.body)["rows"][1:]
