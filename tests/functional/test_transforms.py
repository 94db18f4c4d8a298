"""A transform in a real shard process: what it does to the protocol, to delivery and to the account of records."""

import base64
import json
from pathlib import Path

import pytest

from consumer.settings import Settings
from tests.functional.conftest import StartShard
from tests.functional.harness.bigquery_stub import BigQueryStub
from tests.functional.harness.event_log import EventLog
from tests.functional.harness.kcl import Ended, record
from tests.functional.harness.s3_stub import S3Stub
from tests.functional.harness.shard_settings import bigquery_settings, s3_settings

CHANGES = {
    "transform": "transforming:change",
    "transform.folder": str(Path(__file__).parent),
    "deadletter.max_ratio": "1",
    "chunk.max_records": "8",
}
NUMBERS = range(1, 25)
FILTERED = [5, 10, 15, 20]
FAILED = [7, 14, 21]
SEVERAL = [11, 22]


def delivered(settings: Settings, start_shard: StartShard, events: EventLog) -> None:
    kcl = start_shard(settings, events=events.path)
    kcl.initialize()
    for number in NUMBERS:
        kcl.process([record(number, b'{"player_id":"a%d","n":%d}' % (number, number))])
    kcl.tick_until_confirmed(24)
    counters = events.status(lambda event: event.in_flight_records == 0).counters
    assert counters["records_read"] == len(NUMBERS)
    assert counters["records_filtered"] == len(FILTERED)
    assert counters["dead_letters"] == counters["dead_letters_transform_failed"] == len(FAILED)
    assert counters["records_delivered"] == len(NUMBERS) - len(FILTERED) - len(FAILED)
    kcl.shut_down()
    assert kcl.finish() == 0


def letters(s3: S3Stub) -> list[tuple[str, str, str, bytes]]:
    """In the order of the shard."""
    found = [
        (each["sequence_number"], each["reason"], each["detail"], base64.b64decode(each["payload"]))
        for each in s3.dead_letters
    ]
    return sorted(found, key=lambda letter: int(letter[0]))


def wanted_letters() -> list[tuple[str, str, str, bytes]]:
    return [
        (str(n), "transform_failed", "SystemExit: 3", b'{"player_id":"a%d","n":%d}' % (n, n)) for n in FAILED
    ]


def wanted_lines() -> list[bytes]:
    lines: list[bytes] = []
    for number in NUMBERS:
        whole = b'{"player_id":"a%d","n":%d' % (number, number)
        if number in SEVERAL:
            lines += [b"%b}" % whole, b'{"half":%d}' % number]
        elif number not in (*FILTERED, *FAILED):
            lines.append(b'%b,"seen":true}' % whole)
    return lines


def test_I9_a_function_that_prints_and_exits_disturbs_neither_protocol_nor_delivery(
    s3: S3Stub, start_shard: StartShard, events: EventLog
) -> None:
    delivered(s3_settings(s3, CHANGES), start_shard, events)
    assert sorted(s3.lines) == sorted(wanted_lines())
    assert letters(s3) == wanted_letters()
    assert s3.one_content_per_key()


@pytest.mark.parametrize("native", ["true", "false"])
def test_rows_are_those_of_the_outputs_in_the_tables_of_the_records(
    bigquery: BigQueryStub, s3: S3Stub, start_shard: StartShard, events: EventLog, native: str
) -> None:
    delivered(
        bigquery_settings(bigquery, s3, {**CHANGES, "shard.native": native, "chunk.window": "1h"}),
        start_shard,
        events,
    )
    logs = [row["log"] for _, _, row in bigquery.rows]
    assert sorted(map(json.loads, logs), key=repr) == sorted(map(json.loads, wanted_lines()), key=repr)
    assert len({insert_id for _, insert_id, _ in bigquery.rows}) == len(wanted_lines())
    halves = [(table, row["player_id"]) for table, _, row in bigquery.rows if "half" in row["log"]]
    assert halves == [("player_log_a", None)] * 2
    assert letters(s3) == wanted_letters()


def test_a_transform_that_is_not_there_ends_the_process_with_its_reason(
    s3: S3Stub, start_shard: StartShard, events: EventLog
) -> None:
    """The daemon asks before it starts; a file that is gone later is told as well."""
    kcl = start_shard(s3_settings(s3, {**CHANGES, "transform": "transforming:missing"}), events=events.path)
    with pytest.raises(Ended):
        kcl.initialize()
    assert "has no attribute 'missing'" in events.logged("cannot be loaded").message
