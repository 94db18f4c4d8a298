"""Requests: within both limits, every row once, in order."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.records import Record
from consumer.sinks.bigquery.insert_all.requests import ENVELOPE_BYTES, InsertRequest
from tests.unit.builders import chunk_of, record
from tests.unit.sinks.bigquery.builders import encoder, fields_row, numbers_in, request_maker, request_of


def requests_of(
    records: list[Record], *, max_rows: int = 500, max_bytes: int = 10**6
) -> tuple[list[InsertRequest], list[int]]:
    """Of records of one table: the requests, and the indices of those too large."""
    maker = request_maker(max_rows=max_rows, max_bytes=max_bytes)
    requests, rejections = maker.requests(records, range(len(records)))
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
    requests, too_large = requests_of(records, max_rows=max_rows, max_bytes=max_bytes)
    rows, _ = encoder().tables(records, range(len(records)))
    fitting = [
        place for place, row in enumerate(rows["logs_a"].rows) if len(row) + ENVELOPE_BYTES <= max_bytes
    ]
    assert [index for request in requests for index in request.indices] == fitting
    assert sorted([*fitting, *too_large]) == list(range(len(sizes)))
    for request in requests:
        assert 1 <= len(request.indices) <= max_rows
        assert len(request.body) <= max_bytes
        assert json.loads(request.body) == {
            "skipInvalidRows": True,
            "ignoreUnknownValues": False,
            "rows": [json.loads(rows["logs_a"].rows[index]) for index in request.indices],
        }


@given(st.lists(st.sampled_from("aAb"), min_size=1, max_size=1700), st.integers(1, 600))
def test_requests_of_many_records_hold_every_row_of_their_table_in_order(
    keys: list[str], max_rows: int
) -> None:
    records = [record(b'{"k":"%b","n":%d}' % (key.encode(), place)) for place, key in enumerate(keys)]
    requests, rejections = request_maker(max_rows=max_rows).requests(records, range(len(records)))
    assert rejections == []
    for table in ("a", "b"):
        places = [place for place, key in enumerate(keys) if key.lower() == table]
        own = [request for request in requests if request.table == f"logs_{table}"]
        assert [index for request in own for index in request.indices] == places
        assert [number for request in own for number in numbers_in(request)] == places
        assert all(len(request.indices) == max_rows for request in own[:-1])


@given(st.lists(st.integers(0, 4000), min_size=2, max_size=30), st.integers(1, 5))
def test_small_rows_fill_every_request_but_the_last(sizes: list[int], max_rows: int) -> None:
    requests, _ = requests_of(records_of(sizes), max_rows=max_rows)
    assert all(len(request.indices) == max_rows for request in requests[:-1])


def test_a_row_of_exactly_the_limit_fits_and_a_byte_more_does_not() -> None:
    records = records_of([5_000])
    rows, _ = encoder().tables(records, [0])
    limit = ENVELOPE_BYTES + len(rows["logs_a"].rows[0])
    [request], too_large = requests_of(records, max_rows=10, max_bytes=limit)
    assert len(request.body) == limit
    assert too_large == []
    assert requests_of(records, max_rows=10, max_bytes=limit - 1) == ([], [0])


def test_a_row_that_is_too_large_says_how_large_it_is() -> None:
    records = records_of([5_000])
    rows, _ = encoder().tables(records, [0])
    _, [rejection] = request_maker(max_bytes=3_000).requests(records, [0])
    assert rejection.detail.startswith(f"a row of {len(rows['logs_a'].rows[0])} bytes; BigQuery takes ")


def test_no_records_make_no_request() -> None:
    assert request_maker().requests([], []) == ([], [])


@pytest.mark.parametrize("places", [[0], [1, 2], [0, 2], range(1, 3)])
def test_kept_rows_keep_their_records(places: list[int]) -> None:
    kept = request_of(3).keep(places)
    assert kept.table == "logs_a"
    assert kept.indices == [100 + place for place in places]
    assert numbers_in(kept) == list(places)
    assert kept.keep([0]).indices == [100 + places[0]]


def test_the_rows_of_a_body_are_what_stands_in_its_brackets() -> None:
    rows = bytes(request_of(2).rows())
    assert json.loads(b"[%b]" % rows) == json.loads(request_of(2).body)["rows"]


def test_a_row_is_billed_by_its_content_and_as_a_kilobyte_at_least() -> None:
    def billed(*sizes: int) -> int:
        requests, _ = requests_of(records_of(list(sizes)))
        return sum(request.billed_bytes for request in requests)

    text = len(b'{"k":"a","x":""}')
    assert billed(100, 200) == 2 * 1024
    assert billed(100, 3000) == 1024 + (text + 3000) + len("a") + 2 + 8


def test_a_fields_row_is_billed_by_its_own_size() -> None:
    payload = b'{"k":"a","t":"2023-11-14T00:00:00Z","x":"%b"}' % (b"x" * 2000)
    [request], _ = request_maker(fields_row()).requests([record(payload)], [0])
    assert request.billed_bytes == len(payload)


def test_a_request_lets_chunks_of_one_record_be_sent_again_as_they_were() -> None:
    chunk = chunk_of([b'{"k":"a","n":1}'])
    [request], _ = requests_of(list(chunk.records), max_rows=1, max_bytes=10_000)
    assert json.loads(request.body)["rows"][0]["json"]["log"] == '{"k":"a","n":1}'
