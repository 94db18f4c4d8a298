"""Requests: within both limits, every row once, in order."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.sinks.bigquery.requests import InsertRequest, RequestLimits, cut
from consumer.sinks.bigquery.rows import TableRows

ENVELOPE_BYTES = len(b'{"skipInvalidRows":true,"ignoreUnknownValues":true,"rows":[]}')


def rows_of(sizes: list[int]) -> TableRows:
    """Rows of the given numbers of bytes, of the records 10, 20, …"""
    return TableRows(
        [10 * (number + 1) for number in range(len(sizes))],
        [b'"' + (str(number % 10).encode() * size)[: size - 2] + b'"' for number, size in enumerate(sizes)],
    )


@given(st.lists(st.integers(3, 60), max_size=30), st.integers(1, 5), st.integers(ENVELOPE_BYTES + 3, 150))
def test_requests_hold_every_row_in_order_within_the_limits(
    sizes: list[int], max_rows: int, max_bytes: int
) -> None:
    limits = RequestLimits(max_rows=max_rows, max_bytes=max_bytes)
    rows = rows_of(sizes)
    requests, rejections = cut("logs", rows, limits)
    fitting = [place for place, size in enumerate(sizes) if size + ENVELOPE_BYTES <= max_bytes]
    assert [index for request in requests for index in request.indices] == [rows.indices[p] for p in fitting]
    assert [row for request in requests for row in request.rows] == [rows.rows[p] for p in fitting]
    for request in requests:
        assert 1 <= len(request.rows) <= max_rows
        assert len(request.body(ignore_unknown=True)) <= max_bytes
        assert json.loads(request.body(ignore_unknown=True)) == {
            "skipInvalidRows": True,
            "ignoreUnknownValues": True,
            "rows": [json.loads(row) for row in request.rows],
        }
    assert [(each.index, each.reason) for each in rejections] == [
        (rows.indices[place], "too_large") for place in range(len(sizes)) if place not in fitting
    ]


@given(st.lists(st.integers(3, 60), min_size=2, max_size=30), st.integers(1, 5), st.integers(100, 150))
def test_no_request_ends_while_the_next_row_would_fit(
    sizes: list[int], max_rows: int, max_bytes: int
) -> None:
    requests, _ = cut("logs", rows_of(sizes), RequestLimits(max_rows=max_rows, max_bytes=max_bytes))
    for request, following in pairwise(requests):
        full = len(request.rows) == max_rows
        assert full or len(request.body(ignore_unknown=True)) + 1 + len(following.rows[0]) >= max_bytes


def test_a_row_of_exactly_the_limit_fits_and_a_byte_more_does_not() -> None:
    limits = RequestLimits(max_rows=10, max_bytes=ENVELOPE_BYTES + 20)
    requests, rejections = cut("logs", rows_of([20]), limits)
    assert len(requests[0].body(ignore_unknown=True)) == limits.max_bytes
    assert rejections == []
    requests, rejections = cut("logs", rows_of([21]), limits)
    assert requests == []
    assert rejections[0].detail == "a row of 21 bytes; BigQuery takes 20"


def test_no_rows_make_no_request() -> None:
    assert cut("logs", TableRows(), RequestLimits(max_rows=1, max_bytes=1000)) == ([], [])


@pytest.mark.parametrize("places", [[0], [1, 2], [0, 2]])
def test_kept_rows_keep_their_records(places: list[int]) -> None:
    (request,), _ = cut("logs", rows_of([5, 6, 7]), RequestLimits(max_rows=10, max_bytes=1000))
    kept = request.keep(places)
    assert kept.table == "logs"
    assert kept.indices == tuple(10 * (place + 1) for place in places)
    assert [len(row) for row in kept.rows] == [5 + place for place in places]


def test_a_row_is_billed_by_its_content_and_as_a_kilobyte_at_least() -> None:
    def row(size: int) -> bytes:
        return b'{"insertId":"a-1-0","json":"' + b"x" * (size - 2) + b'"}'

    def billed(*sizes: int) -> int:
        rows = tuple(row(size) for size in sizes)
        return InsertRequest("logs_a", tuple(range(len(rows))), rows).billed_bytes()

    assert billed() == 0
    assert billed(100, 1024) == 2048
    assert billed(1025, 3000) == 4025
    assert billed(100, 3000) == 4024
