"""Records of more fields than a row takes."""

from collections.abc import Iterator

import pytest

from consumer.domain.records import Record
from consumer.domain.routing import time_parser
from consumer.settings.schema import Column
from consumer.sinks.bigquery.rows import size as row_size
from consumer.sinks.bigquery.rows.bad_record import BadRecord
from consumer.sinks.bigquery.rows.reshape import Reshaper
from consumer.sinks.bigquery.rows.shapes import FieldsRow
from consumer.sinks.bigquery.rows.size import MOST_MEMBERS, MOST_VALUES, check_members
from consumer.sinks.bigquery.rows.times import PartitionTimes
from consumer.sinks.json.fields import Fields
from consumer.sinks.json.members import Member, members
from tests.unit.builders import ARRIVAL_MS


def record(members: int) -> bytes:
    return b"{" + b",".join([b'"a":0'] * members) + b"}"


def test_a_row_takes_so_many_fields_and_no_more() -> None:
    check_members(record(MOST_MEMBERS))
    check_members(b'{"a":"%b"}' % (b":" * 2 * MOST_MEMBERS))
    with pytest.raises(BadRecord, match="more than 10000 fields"):
        check_members(record(MOST_MEMBERS + 1))


def test_nobody_counts_the_fields_of_a_record_that_has_far_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = 0

    def counted(text: bytes) -> Iterator[Member]:
        nonlocal seen
        for member in members(text):
            seen += 1
            yield member

    monkeypatch.setattr(row_size, "members", counted)
    with pytest.raises(BadRecord):
        check_members(record(20 * MOST_MEMBERS))
    assert seen == MOST_MEMBERS + 1


COLUMNS = (
    Column("r", "RECORD", fields=(Column("x", "JSON"),)),
    Column("rs", "INTEGER", "REPEATED"),
    Column("j", "JSON"),
)


@pytest.mark.parametrize("reshaper", [None, Reshaper(COLUMNS, json_as_text=True, overflow="o")])
def test_a_row_of_fields_is_counted_by_its_record_whatever_is_made_of_it(reshaper: Reshaper | None) -> None:
    shape = FieldsRow(
        time_field="t",
        time_column="t",
        times=PartitionTimes(time_parser("iso8601"), iso8601=True),
        columns=COLUMNS,
        reshaper=reshaper,
    )

    def is_row(payload: bytes) -> bool:
        try:
            shape.cells(Record(payload, "k", "1", 0, ARRIVAL_MS), Fields(None, None))
        except BadRecord:
            return False
        return True

    members = b",".join(b'"%x":0' % number for number in range(MOST_MEMBERS))
    values = b"0," * (MOST_VALUES - 2) + b"0"
    assert is_row(b"{%b}" % members)
    assert not is_row(b'{%b,"one more":0}' % members)
    for column in (b"rs", b"RS", b"r"):
        assert is_row(b'{"%b":[%b]}' % (column, values))
        assert not is_row(b'{"%b":[%b,0]}' % (column, values))
    assert is_row(b'{"j":[%b,0],"other":[%b,0]}' % (values, values))
