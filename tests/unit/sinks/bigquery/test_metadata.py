"""Where a row comes from, in columns beside the record's own."""

import json

import pytest

from consumer.domain.routing import time_parser
from consumer.sinks.bigquery.rows.metadata import Metadata
from consumer.sinks.bigquery.rows.shapes import LINES, FieldsRow, LogRow
from consumer.sinks.bigquery.rows.times import PartitionTimes
from tests.unit.builders import record
from tests.unit.sinks.bigquery.builders import SHARD, encoder

TIMES = PartitionTimes(time_parser("iso8601"), iso8601=True)
METADATA = Metadata(shard=SHARD, times=TIMES)
OURS = {"_shard": SHARD, "_sequence_number": "9.1", "_arrived_at": "2023-11-14T22:13:20.123Z"}


@pytest.mark.parametrize(
    ("payload", "own"),
    [
        (b'{"a":1}', {"a": 1}),
        (b' {\n "a" : 1 } ', {"a": 1}),
        (b"{ }", {}),
        (b"{}", {}),
        (b'{"_shard":"theirs","a":1,"_SEQUENCE_number":2}', {"a": 1}),
        (b'{"_other":1}', {"_other": 1}),
    ],
)
def test_our_members_stand_beside_the_records_own_and_win(payload: bytes, own: dict[str, object]) -> None:
    spliced = METADATA.spliced(payload, record(payload, sequence="9", sub=1))
    assert json.loads(spliced, object_pairs_hook=list) == [*OURS.items(), *own.items()]


def test_half_of_a_surrogate_pair_is_left_to_bigquery() -> None:
    payload = rb'{"_a":"\ud800"}'
    assert json.loads(METADATA.spliced(payload, record(payload, sequence="9", sub=1)))["_a"] == "\ud800"


def test_a_row_of_either_shape_has_them() -> None:
    one = record(b'{"k":"a","t":"2023-11-14T00:00:00Z"}', sequence="9", sub=1)
    for shape in (
        LogRow(key_column="k", time_column="t", times=TIMES, metadata=METADATA),
        FieldsRow(time_field="t", time_column="t", times=TIMES, metadata=METADATA),
    ):
        tables, rejections = encoder(shape).tables([one], [0])
        assert rejections == []
        row = json.loads(tables["logs_a"].rows[0])["json"]
        assert {name: row[name] for name in OURS} == OURS
        assert row["k"] == "a"


def test_a_line_is_the_row_alone_with_its_json_as_it_came() -> None:
    one = record(b'{"k":"a","t":"2023-11-14T00:00:00Z"}', sequence="9", sub=1)
    log = LogRow(key_column="k", time_column="t", times=TIMES, wrapping=LINES, metadata=METADATA)
    tables, _ = encoder(log, wrapping=LINES).tables([one], [0])
    assert json.loads(tables["logs_a"].rows[0]) == {
        "k": "a",
        "t": "2023-11-14T00:00:00Z",
        "log": {"k": "a", "t": "2023-11-14T00:00:00Z"},
        **OURS,
    }
    fields = FieldsRow(time_field="t", time_column="t", times=TIMES)
    tables, _ = encoder(fields, wrapping=LINES).tables([one], [0])
    assert tables["logs_a"].rows == [one.data]
