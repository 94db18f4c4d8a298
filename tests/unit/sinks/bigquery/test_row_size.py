"""Records of more fields than a row takes."""

from collections.abc import Iterator

import pytest

from consumer.sinks.bigquery.rows import size as row_size
from consumer.sinks.bigquery.rows.bad_record import BadRecord
from consumer.sinks.bigquery.rows.size import MOST_MEMBERS, check_members
from consumer.sinks.json.members import Member, members


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
