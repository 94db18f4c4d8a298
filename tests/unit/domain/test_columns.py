"""Columns hold what the records hold, in parts of one size, however they came."""

from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from consumer.domain import columns as module
from consumer.domain.columns import Columns, Records
from consumer.domain.records import Position, Record

texts = st.text(max_size=5)
"""Lone surrogates, too: a key may hold what the KCL's JSON holds."""

some_records = st.lists(
    st.builds(
        Record,
        st.binary(max_size=8),
        texts | st.just("\ud800"),
        st.integers(0, 2**180).map(str),
        st.integers(0, 2**64 - 1),
        st.integers(-(2**40), 2**43),
    ),
    max_size=12,
)


@pytest.fixture(autouse=True, scope="module")
def small_parts() -> Iterator[None]:
    """So that few records fill several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PART_RECORDS", 3)
        yield


def view(records: list[Record]) -> Records:
    """As a message has them: in one part."""
    columns = Columns.empty()
    for each in records:
        columns.append(each)
    return Records.of_one(columns)


@given(some_records)
def test_records_come_out_as_they_went_in(records: list[Record]) -> None:
    for columns in (Records.of(records), view(records)):
        assert list(columns) == records
        assert columns == records
        assert len(columns) == len(records)
        assert [columns[index] for index in range(-len(records), len(records))] == [*records, *records]
        assert columns.payload_bytes == sum(len(each.data) for each in records)
        assert list(columns.sizes()) == [len(each.data) for each in records]
        assert list(columns.arrivals()) == [each.arrival_ms for each in records]
        with pytest.raises(IndexError):
            columns[len(records)]
        if records:
            assert columns.first_arrival_ms == records[0].arrival_ms
            assert columns.first_position == records[0].position
            assert columns.last_position == records[-1].position


@given(some_records, st.data())
def test_slices_and_indices_choose_as_in_a_list(records: list[Record], data: st.DataObject) -> None:
    chosen = data.draw(st.slices(len(records)))
    places = sorted(data.draw(st.sets(st.integers(0, len(records) - 1)))) if records else []
    for columns in (Records.of(records), view(records)):
        assert columns[chosen] == records[chosen]
        assert columns.at(places) == [records[place] for place in places]
        assert columns.payloads(places) == [records[place].data for place in places]
        everything = range(len(records))
        assert columns.at(everything) == records
        assert columns.payloads(everything) == [each.data for each in records]


@given(some_records, st.integers(0, 9))
def test_of_a_record_that_may_be_large_the_beginning_can_be_had(records: list[Record], most: int) -> None:
    for columns in (Records.of(records), view(records)):
        assert [columns.beginning(index, most) for index in range(len(records))] == [
            (replace(each, data=each.data[:most]), len(each.data)) for each in records
        ]


@given(some_records, some_records, st.data())
def test_what_is_taken_over_is_cut_into_the_same_parts(
    first: list[Record], second: list[Record], data: st.DataObject
) -> None:
    begin = data.draw(st.integers(0, len(second)))
    end = data.draw(st.integers(begin, len(second)))
    at_once = Records.of([*first, *second[begin:end]])
    for source in (Records.of(second), view(second)):
        extended = Records()
        extended.extend(view(first))
        extended.extend(source, begin, end)
        assert extended == at_once
        assert extended.payload_bytes == at_once.payload_bytes
        assert extended.held_bytes == at_once.held_bytes == held_bytes([*first, *second[begin:end]])
        assert [bytes(part.text) for part in extended.parts] == [bytes(part.text) for part in at_once.parts]


@given(some_records)
def test_text_holds_every_payload_with_a_line_end(records: list[Record]) -> None:
    parts = Records.of(records).parts
    assert b"".join(part.text for part in parts) == b"".join(each.data + b"\n" for each in records)
    assert [len(part) for part in parts] == [
        min(module.PART_RECORDS, len(records) - start)
        for start in range(0, len(records), module.PART_RECORDS)
    ]


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[Columns]:
    """The parts whose records somebody has looked for, one for each time."""
    found: list[Columns] = []

    def noted(method: Callable[..., Any]) -> Callable[..., Any]:
        def called(self: Columns, *arguments: Any) -> Any:
            found.append(self)
            return method(self, *arguments)

        return called

    for name in ("begins", "records", "at", "text_size"):
        monkeypatch.setattr(Columns, name, noted(getattr(Columns, name)))
    return found


def test_to_choose_a_few_records_takes_a_look_at_their_parts_only(looked_at: list[Columns]) -> None:
    records = [Record(b"%d" % number, "key", str(number)) for number in range(90)]
    columns = Records.of(records)
    assert columns.payloads([40, 41]) == [b"40", b"41"]
    assert columns.at([40, 44]) == [records[40], records[44]]
    assert columns[40:43] == records[40:43]
    taken = Records()
    taken.extend(columns, 40, 42)
    assert taken == records[40:42]
    parts = {id(part) for part in columns.parts} & {id(part) for part in looked_at}
    assert parts == {id(part) for part in columns.parts[40 // 3 : 44 // 3 + 1]}


def test_a_chosen_record_is_copied_without_its_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = Records.of([Record(b"%d" % number, "key", str(number)) for number in range(90)])
    maker = Mock(wraps=Record)
    monkeypatch.setattr(module, "Record", maker)
    assert len(columns.at([4, 40, 41])) == 3
    assert maker.call_count == 3


def held_bytes(records: list[Record]) -> int:
    """Payloads with line ends, keys, sequence numbers, and 44 bytes: three sizes, two numbers of 8 bytes, and where in
    two buffers each begins."""
    texts = [
        text.encode("utf-8", "surrogatepass")
        for each in records
        for text in (each.partition_key, each.sequence_number)
    ]
    return sum(map(len, texts)) + sum(len(each.data) + 1 + 3 * 4 + 4 * 8 for each in records)


@given(some_records)
def test_what_records_hold_is_more_than_their_payloads(records: list[Record]) -> None:
    for columns in (Records.of(records), view(records)):
        assert columns.held_bytes == held_bytes(records)
        assert sum(part.held_bytes for part in columns.parts) == columns.held_bytes
        begins = [part.begins() for part in columns.parts]
        buffers = [
            getattr(part, name) for part in columns.parts for name in ("text", "labels", *module.NUMBER_CODES)
        ]
        buffers += [column for pair in begins for column in pair]
        ends = sum(column.itemsize for pair in begins for column in pair)
        assert sum(memoryview(buffer).nbytes for buffer in buffers) == columns.held_bytes + ends


def test_columns_that_change_do_not_change_what_was_taken_over() -> None:
    source = view([Record(b"abc", "key", "1")])
    taken = Records()
    taken.extend(source)
    source.parts[0].text[:3] = b"xyz"
    assert taken == [Record(b"abc", "key", "1")]


def test_records_differ_from_what_is_no_sequence_of_them() -> None:
    assert Records.of([Record(b"", "key", "1")]) != [Record(b"", "key", "2")]
    assert Records.of([]) != 0
    assert "sequence_number='1'" in repr(Records.of([Record(b"", "key", "1")]))


def test_positions_are_written_with_their_sub_sequence_number_where_there_is_one() -> None:
    assert [str(Position("12", 0)), str(Position("12", 3))] == ["12", "12.3"]
