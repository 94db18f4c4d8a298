"""Rows that version 2 of the rules has written: what it may have judged otherwise holds the shard."""

from functools import partial

import pytest

from consumer.domain.dead_letters import ShareGuard, ShareLimit
from consumer.domain.errors import SetupError
from consumer.domain.records import Position, Record
from consumer.settings.values import Value
from consumer.sinks.bigquery.arrow_rows.build import row_maker
from consumer.sinks.bigquery.arrow_rows.earlier_times import EarlierTimes
from consumer.sinks.bigquery.arrow_rows.rules import NEW_VERDICTS, VERSION, Rules
from consumer.sinks.bigquery.storage_write.sink import StorageWriteSink
from tests.unit.builders import ARRIVAL_MS, chunk_of_records
from tests.unit.sinks.bigquery.storage_write.builders import SHARD, SIMPLE, field_rules
from tests.unit.sinks.bigquery.storage_write.fakes import FakeBigQuery, FakeStore

ALIKE = [
    b"null",
    b'"2023-11-14T22:13:20Z"',
    b'"2023-11-14 22:13:20.123456+02:00"',
    b'"20231114T221320Z"',
    b'"2023-W46-2"',
]
"""Read alike by both versions."""
OTHERWISE = [
    b'"2023-11-14x22:13"',
    b'"20231114221320Z"',
    b'"2023-11-14T22:13:20+05:99"',
    b'"2023-11-14T22:13:20z"',
    b'"2023-11-14 22:13:20 UTC"',
    b'"2023-11-14T22:13:60Z"',
]
NO_TIMES = [b'"soon"', b'""', b"7", b"true", b"[]"]
"""By either version; with `row = fields`, version 2 left them to the column."""


def rules(version: int, **changes: Value) -> Rules:
    own = field_rules(SIMPLE, **changes)
    return Rules(version, own.settings, own.columns)


def doubts(times: list[bytes], **changes: Value) -> list[int]:
    """Which of the records hold the shard while rows of version 2 are to be met."""
    payloads = [b'{"player_id":"a%d","time":%b}' % (number, time) for number, time in enumerate(times)]
    records = [Record(each, "key", str(number), 0, ARRIVAL_MS) for number, each in enumerate(payloads)]
    _, rejections = row_maker(rules(2, **changes), shard=SHARD).make(records, range(len(records)))
    return sorted({each.index for each in rejections if each.reason in NEW_VERDICTS[2]})


@pytest.mark.parametrize("row", ["log", "fields"])
def test_what_both_versions_read_alike_is_in_no_doubt(row: str) -> None:
    assert doubts(ALIKE, bigquery__row=row) == []


@pytest.mark.parametrize("row", ["log", "fields"])
def test_what_they_read_otherwise_is_in_doubt(row: str) -> None:
    assert doubts([*ALIKE, *OTHERWISE], bigquery__row=row) == [
        *range(len(ALIKE), len(ALIKE) + len(OTHERWISE))
    ]


def test_what_neither_reads_is_in_doubt_where_it_was_left_to_the_column() -> None:
    assert doubts(NO_TIMES, bigquery__row="log") == []
    assert doubts(NO_TIMES, bigquery__row="fields") == [*range(len(NO_TIMES))]
    epoch = {"record__time_format": "epoch_ms"}
    assert doubts([b"1700000000000", *NO_TIMES[:2]], bigquery__row="log", **epoch) == []
    assert doubts([b"1700000000000", *NO_TIMES[:2]], bigquery__row="fields", **epoch) == [1, 2]


@pytest.mark.parametrize("in_order", [True, False])
def test_a_record_in_doubt_holds_the_shard_unless_version_2_has_stopped_in_order(in_order: bool) -> None:
    log = {"bigquery__row": "log", "bigquery__project": "p", "bigquery__dataset": "d"}
    schema = row_maker(rules(VERSION, **log), shard=SHARD).schema
    store, bigquery = FakeStore(), FakeBigQuery(schema=schema, numbers_in=lambda _: [1, 2, 3])
    payload = b'{"player_id":"a","time":"2023-11-14x22:13"}'
    chunk = chunk_of_records([Record(payload, "key", str(number), 0, ARRIVAL_MS) for number in (1, 2, 3)])

    def sink(version: int, start: Position | None = None) -> StorageWriteSink:
        return StorageWriteSink(
            writer=bigquery,
            store=store,
            rules=rules(version, **log),
            maker_of=partial(row_maker, shard=SHARD),
            guard=ShareGuard(ShareLimit(1.0, 10)),
            start=start,
            max_request_bytes=1_000_000,
            sample=lambda: chunk.records[0],
        )

    older = sink(2)
    [request] = older.prepare(chunk).requests
    older.send(request)
    if in_order:
        older.before_checkpoint(chunk.end)
        assert not sink(VERSION, chunk.end).prepare(chunk).requests
    else:
        with pytest.raises(SetupError, match=r"record 1 \(judged_otherwise\) was judged by an older version"):
            sink(VERSION).prepare(chunk)


def test_present_rules_doubt_nothing() -> None:
    assert not isinstance(row_maker(rules(VERSION), shard=SHARD), EarlierTimes)
