"""Requests: within both limits, every row once, in order."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.records import Record
from consumer.sinks.bigquery.requests import (
    ENVELOPE_BYTES,
    InsertRequest,
    RequestLimits,
    cut,
    row_sizes,
)
from consumer.sinks.bigquery.rows import RowEncoder, TablePlans
from consumer.sinks.bigquery.shapes import RowShape
from tests.unit.builders import chunk_of, record
from tests.unit.sinks.bigquery.builders import SpelledRows, encoder, fields_row, log_row, request_of
from tests.unit.sinks.json_bytes import scalars, spelled, texts


def requests_of(
    records: list[Record], limits: RequestLimits, own: RowEncoder | None = None
) -> tuple[list[InsertRequest], list[int]]:
    """Of records of one table: the requests, and the indices of those too large."""
    own = own or encoder()
    tables, _ = own.plan(records, range(len(records)))
    ((name, plans),) = tables.items()
    requests, rejections = cut(name, plans, records, own, limits)
    assert {rejection.reason for rejection in rejections} <= {"too_large"}
    return requests, [rejection.index for rejection in rejections]


def records_of(sizes: list[int]) -> list[Record]:
    return [
        record(b'{"k":"a","x":"' + b"x" * size + b'"}', sequence=str(number))
        for number, size in enumerate(sizes)
    ]


@given(st.lists(st.integers(0, 4000), min_size=1, max_size=30), st.integers(1, 5), st.integers(3_000, 30_000))
def test_requests_hold_every_row_in_order_within_the_limits(
    sizes: list[int], max_rows: int, max_bytes: int
) -> None:
    records = records_of(sizes)
    limits = RequestLimits(max_rows=max_rows, max_bytes=max_bytes)
    requests, too_large = requests_of(records, limits)
    rows, _ = encoder().encode(records, range(len(records)))
    fitting = [
        place for place, row in enumerate(rows["logs_a"].rows) if len(row) + ENVELOPE_BYTES <= max_bytes
    ]
    assert [index for request in requests for index in request.indices] == fitting
    assert sorted([*fitting, *too_large]) == list(range(len(sizes)))
    for request in requests:
        assert 1 <= len(request.indices) <= max_rows
        body = request.body(ignore_unknown=True)
        assert len(body) <= max_bytes
        assert json.loads(body) == {
            "skipInvalidRows": True,
            "ignoreUnknownValues": True,
            "rows": [json.loads(rows["logs_a"].rows[index]) for index in request.indices],
        }


@given(st.lists(st.integers(0, 4000), min_size=2, max_size=30), st.integers(1, 5))
def test_small_rows_fill_every_request_but_the_last(sizes: list[int], max_rows: int) -> None:
    requests, _ = requests_of(records_of(sizes), RequestLimits(max_rows=max_rows, max_bytes=10**6))
    assert all(len(request.indices) == max_rows for request in requests[:-1])


def test_a_row_of_exactly_the_limit_fits_and_a_byte_more_does_not() -> None:
    records = records_of([5_000])
    rows, _ = encoder().encode(records, [0])
    size = len(rows["logs_a"].rows[0])
    limits = RequestLimits(max_rows=10, max_bytes=ENVELOPE_BYTES + size)
    [request], too_large = requests_of(records, limits)
    assert len(request.body()) == limits.max_bytes
    assert too_large == []
    requests, too_large = requests_of(records, RequestLimits(max_rows=10, max_bytes=limits.max_bytes - 1))
    assert (requests, too_large) == ([], [0])


@given(
    spelled(st.dictionaries(texts, scalars, max_size=3).map(lambda fields: {**fields, "k": "a" + '"\n' * 9})),
    st.sampled_from([log_row(), fields_row(), fields_row(column="at")]),
    st.booleans(),
)
def test_no_row_takes_more_than_what_is_reckoned_with(payload: bytes, shape: RowShape, pretty: bool) -> None:
    if pretty:
        payload = json.dumps(json.loads(payload), indent="\t").encode()
    records = [record(payload)]
    own = encoder(shape)
    tables, rejections = own.plan(records, [0])
    if rejections:
        return
    ((name, plans),) = tables.items()
    request = InsertRequest(name, (0,), tuple(plans.plans), records, own)
    (reckoned,) = row_sizes(request, 10**9)
    (exact,) = row_sizes(request, 0)
    assert exact == len(msgspec.json.encode(request.rows()[0])) <= reckoned


def test_no_rows_make_no_request() -> None:
    limits = RequestLimits(max_rows=1, max_bytes=1000)
    assert cut("logs", TablePlans(), [], SpelledRows(), limits) == ([], [])


@pytest.mark.parametrize("places", [[0], [1, 2], [0, 2], range(1, 3)])
def test_kept_rows_keep_their_records(places: list[int]) -> None:
    kept = request_of(3).keep(places)
    assert kept.table == "logs_a"
    assert kept.indices == tuple(100 + place for place in places)
    assert json.loads(kept.body())["rows"] == [{"json": f"r{place}"} for place in places]


def test_a_row_is_billed_by_its_content_and_as_a_kilobyte_at_least() -> None:
    def billed(*sizes: int) -> int:
        records = records_of(list(sizes))
        requests, _ = requests_of(records, RequestLimits(max_rows=500, max_bytes=10**6))
        return sum(request.billed_bytes() for request in requests)

    text = len(b'{"k":"a","x":""}')
    assert billed(100, 200) == 2 * 1024
    assert billed(100, 3000) == 1024 + (text + 3000) + len("a") + 2 + 8


def test_a_request_lets_chunks_of_one_record_be_sent_again_as_they_were() -> None:
    chunk = chunk_of([b'{"k":"a","n":1}'])
    [request], _ = requests_of(list(chunk.records), RequestLimits(max_rows=1, max_bytes=10_000))
    assert request.body() == request.body()
    assert json.loads(request.body())["rows"][0]["json"]["log"] == '{"k":"a","n":1}'
