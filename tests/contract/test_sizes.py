"""How large a record may be: docs/bigquery.md, "Which method"."""

import pytest

from tests.contract.cases import Case, Row, record
from tests.contract.expected import chunk_of, expected, taken
from tests.contract.sinks import JSON_COLUMN, KINDS, Kind, Shard, deliver, kinds, running

LARGEST = {"insert_all": 9_000_000, "storage_write": 9_500_000, "parquet": 9_500_000}
"""Bytes of a row."""
KINESIS = 10 * 1024 * 1024
"""Bytes of a record, which load and S3 take."""
_ROOM = 1_000
"""For what a request has beside the record."""
PLAIN = [kind for kind in KINDS if not kind.has_metadata and JSON_COLUMN not in kind.columns]
SMALL = Case(name="small", payload=record())


def check(kind: Kind, cases: list[Case]) -> None:
    cases = [SMALL, *cases, SMALL]
    with running(kind):
        shard = Shard(kind)
        found = taken(shard, deliver(shard.sink(), chunk_of(cases)))
    assert found.in_any_order() == expected(kind, cases).in_any_order()


def of_size(size: int) -> bytes:
    empty = record(more=b',"x":""')
    return record(more=b',"x":"%b"' % (b"n" * (size - len(empty))))


@kinds(PLAIN)
def test_a_record_of_almost_the_largest_size_arrives(kind: Kind) -> None:
    size = LARGEST.get(kind.method, KINESIS + _ROOM) - _ROOM
    check(kind, [Case(name="large", payload=of_size(size))])


@kinds([kind for kind in PLAIN if kind.method in LARGEST])
def test_a_larger_record_is_rejected_alone(kind: Kind) -> None:
    size = LARGEST[kind.method] + 1
    check(kind, [Case(name="large", payload=of_size(size), bigquery="too_large")])


@pytest.mark.parametrize(("size", "fate"), [(4_400_000, Row()), (4_600_000, "too_large")])
@kinds([kind for kind in PLAIN if kind.method == "insert_all" and kind.row == "log"])
def test_of_insert_all_the_row_counts_in_which_the_record_is_a_text(kind: Kind, size: int, fate: Row) -> None:
    payload = record(more=rb',"x":"%b"' % (rb"\"" * (size // 2)))
    check(kind, [Case(name="with escapes", payload=payload, bigquery=fate)])
