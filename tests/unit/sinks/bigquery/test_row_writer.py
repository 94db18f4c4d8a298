"""Requests that the C library writes are those that Python makes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.columns import PART_RECORDS, Records
from consumer.native import library
from consumer.sinks.bigquery.insert_all.c_rows import RowWriter
from consumer.sinks.bigquery.insert_all.requests import Envelope, InsertRequest, RequestLimits, RequestMaker
from consumer.sinks.bigquery.rows.shapes import RowShape
from tests.unit.builders import ARRIVAL_MS, record
from tests.unit.sinks.bigquery.builders import encoder, fields_row, log_row

DAY_MS = 86_400_000

keys = st.sampled_from(['"a1"', '"A2"', '"b"', '"7f"', '"x"', '"a\\u0031"', '"aé"', "7", "null"])
times = st.sampled_from(
    [
        '"2023-11-14T22:13:20Z"',
        '"2023-11-14T22:13:20.125Z"',
        '"2023-11-14 22:13:20"',
        '"1999-01-01T00:00:00Z"',
        "null",
    ]
)
notes = st.text(st.sampled_from('x"\\\té/'), max_size=40)


@st.composite
def payloads(draw: st.DrawFn) -> bytes:
    members = [f'"note":{json.dumps(draw(notes), ensure_ascii=draw(st.booleans()))}']
    if draw(st.booleans()):
        members.append(f'"t":{draw(times)}')
    members.insert(draw(st.integers(0, 1)), f'"k":{draw(keys)}')
    text = "{" + draw(st.sampled_from([",", ", ", ",\n"])).join(members) + "}"
    return draw(st.sampled_from([text.encode(), text.encode(), text.encode()[:-1]]))


def chunks(max_size: int = 30) -> st.SearchStrategy[Records]:
    one = st.tuples(payloads(), st.integers(0, 2), st.integers(0, 3))
    return st.lists(one, min_size=1, max_size=max_size).map(
        lambda drawn: Records.of(
            record(data, sequence=str(place), sub=sub, arrival_ms=ARRIVAL_MS + day * DAY_MS)
            for place, (data, sub, day) in enumerate(drawn)
        )
    )


def maker_and_writer(
    shape: RowShape, *, max_rows: int = 500, max_bytes: int = 10**6
) -> tuple[RequestMaker, RowWriter]:
    maker = RequestMaker(
        encoder(shape),
        RequestLimits(max_rows=max_rows, max_bytes=max_bytes),
        Envelope(skip_invalid_rows=True, ignore_unknown_values=False),
    )
    writer = RowWriter.of(encoder(shape), maker)
    assert writer is not None, "bin/setup compiles the C library"
    return maker, writer


def rows_by_index(requests: list[InsertRequest]) -> dict[int, tuple[str, Any]]:
    """Table and row of each record."""
    found: dict[int, tuple[str, Any]] = {}
    for request in requests:
        rows = json.loads(bytes(request.body))["rows"]
        assert len(rows) == len(request.indices)
        for index, row in zip(request.indices, rows, strict=True):
            assert index not in found
            found[index] = (request.table, row)
    return found


@pytest.mark.parametrize("shape", [log_row(), fields_row()], ids=["log", "fields"])
@given(chunks(), st.integers(1, 7), st.integers(400, 3_000))
def test_both_make_the_same_rows_within_the_same_limits(
    shape: RowShape, records: Records, max_rows: int, max_bytes: int
) -> None:
    maker, writer = maker_and_writer(shape, max_rows=max_rows, max_bytes=max_bytes)
    expected, rejections = maker.requests(records, range(len(records)))
    written, unsure = writer.requests(records)
    others, its_rejections = maker.requests(records, unsure)
    assert rows_by_index([*written, *others]) == rows_by_index(expected)
    assert its_rejections == rejections
    assert all(len(each.body) <= max_bytes and len(each.indices) <= max_rows for each in written)
    assert sum(each.billed_bytes for each in [*written, *others]) == sum(
        each.billed_bytes for each in expected
    )
    for each in written:
        assert each.indices == sorted(each.indices)
        assert bytes(each.body) == bytes(each.keep(range(len(each.indices))).body)


@pytest.mark.parametrize("shape", [log_row(), fields_row()], ids=["log", "fields"])
def test_records_as_producers_write_them_are_left_to_nobody_else(shape: RowShape) -> None:
    count = 2 * PART_RECORDS + 7
    records = Records.of(
        record(b'{"k":"%x","t":"2023-11-14T22:13:%02dZ"}' % (place % 16, place % 60), sequence=str(place))
        for place in range(count)
    )
    _, writer = maker_and_writer(shape, max_rows=50)
    requests, unsure = writer.requests(records)
    assert unsure == []
    assert sorted(index for each in requests for index in each.indices) == list(range(count))


def test_a_row_that_asks_for_more_is_left_to_python() -> None:
    maker, _ = maker_and_writer(log_row())
    assert RowWriter.of(encoder(log_row("epoch_s")), maker) is None


def test_without_the_library_there_is_no_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    maker, _ = maker_and_writer(log_row())
    monkeypatch.setattr(library, "load", lambda: None)
    assert RowWriter.of(encoder(log_row()), maker) is None
