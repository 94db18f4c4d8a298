"""Records of every shape, each delivered or dead-lettered, for both backends: none is lost and none blocks (I5)."""

import base64
import json

from tests.functional.conftest import StartShard
from tests.functional.harness.bigquery_stub import BigQueryStub, Insert, error, row_errors
from tests.functional.harness.event_log import EventLog
from tests.functional.harness.http_stub import LOST, Reply
from tests.functional.harness.kcl import Message, payload, record, records
from tests.functional.harness.s3_stub import INTERNAL_ERROR, S3Stub
from tests.functional.harness.shard_settings import bigquery_settings, s3_settings

PLAYER = "0123456789abcdef0123456789abcdef"
GOOD = f'{{"player_id":"{PLAYER}","n":1}}'.encode()
MEBIBYTES = 1024 * 1024


def of_payloads(payloads: list[bytes]) -> list[Message]:
    return [record(number, data) for number, data in enumerate(payloads, 1)]


def reasons(s3: S3Stub) -> dict[str, str]:
    """Reason by sequence number of every dead letter."""
    return {letter["sequence_number"]: letter["reason"] for letter in s3.dead_letters}


def test_s3_takes_every_json_value_and_buries_the_rest(s3: S3Stub, start_shard: StartShard) -> None:
    large = b'{"text":"' + b"x" * (10 * MEBIBYTES - 11) + b'"}'
    payloads = [
        GOOD,
        b"not json",
        b"",
        b'{\n"a":\r\n1}\n',
        b"null",
        b'"\xff"',
        large,
        b'{"no":"player_id"}',
        b'{"player_id":"not hex"}',
    ]
    kcl = start_shard(s3_settings(s3, {"deadletter.max_ratio": "1"}))
    kcl.initialize()
    kcl.process(of_payloads(payloads))
    kcl.end_shard()
    assert kcl.confirmed[-1] == (None, None)
    assert s3.lines == [
        GOOD,
        b'{"a":1}',
        b"null",
        large,
        b'{"no":"player_id"}',
        b'{"player_id":"not hex"}',
    ]
    assert reasons(s3) == {"2": "not_json", "3": "not_json", "6": "not_json"}
    assert [base64.b64decode(letter["payload"]) for letter in s3.dead_letters] == [
        b"not json",
        b"",
        b'"\xff"',
    ]


def test_bigquery_takes_records_with_a_hex_player_id_and_buries_the_rest(
    s3: S3Stub, bigquery: BigQueryStub, start_shard: StartShard
) -> None:
    large = b'{"player_id":"ff","text":"' + b"x" * (10 * MEBIBYTES - 28) + b'"}'
    payloads = [
        GOOD,
        b"not json",
        b"",
        b'{\n"player_id":"FF",\r\n"n":4}',
        b"null",
        b'{"player_id":"ff","x":"\xff"}',
        large,
        b'{"no":"player_id"}',
        b'{"player_id":"not hex"}',
        b'{"player_id":""}',
        b'{"player_id":7}',
        b'{"player_id":"a","time":"1970-01-01T00:00:00Z"}',
        b'{"player_id":"a","time":"2023-11-01T00:00:00Z"}',
    ]
    kcl = start_shard(
        bigquery_settings(bigquery, s3, {"deadletter.max_ratio": "1", "chunk.max_bytes": "64MiB"})
    )
    kcl.initialize()
    kcl.process(of_payloads(payloads))
    kcl.end_shard()
    assert kcl.confirmed[-1] == (None, None)
    assert {
        table: [row["player_id"] for row in rows.values()] for table, rows in bigquery.tables.items()
    } == {
        "player_log_0": [PLAYER],
        "player_log_f": ["FF"],
        "player_log_a": ["a"],
    }
    [[first_row], [last_row]] = (bigquery.tables[f"player_log_{digit}"].values() for digit in "0a")
    assert first_row["log"] == GOOD.decode()
    assert first_row["time"].startswith("2023-11-14T22:13:20")
    assert last_row["time"] == "2023-11-01T00:00:00Z"
    assert reasons(s3) == {
        "2": "not_json",
        "3": "not_json",
        "5": "not_an_object",
        "6": "not_json",
        "7": "too_large",
        "8": "no_key",
        "9": "bad_key",
        "10": "no_key",
        "11": "bad_key",
        "12": "time_out_of_range",
    }
    assert base64.b64decode(s3.dead_letters[4]["payload"]) == large


def test_a_dead_letter_is_written_before_the_checkpoint_passes_it(
    s3: S3Stub, start_shard: StartShard
) -> None:
    """I1: while the dead letters cannot be written, nothing past the bad record is confirmed."""
    down = [INTERNAL_ERROR] * 5
    s3.rule = lambda put: down.pop() if down and put.key.startswith("deadletter/") else None
    settings = s3_settings(s3, {"chunk.max_records": "1", "delivery.max_in_flight_chunks": "1"})
    kcl = start_shard(settings)
    kcl.initialize()
    kcl.give([record(1, b"bad")])
    request = kcl.next_request()
    assert request["sequenceNumber"] == "1"
    assert not down
    assert reasons(s3) == {"1": "not_json"}
    kcl.reply(request)
    kcl.status_of("processRecords")


def test_the_share_limit_holds_the_shard_instead_of_emptying_it_into_the_dead_letters(
    s3: S3Stub, start_shard: StartShard, events: EventLog
) -> None:
    settings = s3_settings(
        s3,
        {
            "chunk.max_records": "5",
            "delivery.max_in_flight_chunks": "1",
            "deadletter.ratio_window": "100",  # five of the first ten may be bad
            "shutdownGraceMillis": "100",
        },
    )
    kcl = start_shard(settings, events=events.path)
    kcl.initialize()
    kcl.process([record(number, b"bad") for number in range(1, 6)])
    kcl.give([record(number, b"bad") for number in range(6, 11)])
    events.logged("shard held")
    kcl.terminate()
    kcl.status_of("processRecords")
    kcl.shut_down()
    assert kcl.confirmed == [("5", None)]
    assert len(s3.dead_letters) == 5


def as_rows(numbers: list[int]) -> list[Message]:
    return [record(number, json.dumps({"player_id": PLAYER, "n": number}).encode()) for number in numbers]


def delivered_numbers(bigquery: BigQueryStub) -> list[int]:
    return sorted(json.loads(row["log"])["n"] for _, _, row in bigquery.rows)


def test_bigquery_rows_survive_every_kind_of_answer(
    s3: S3Stub, bigquery: BigQueryStub, start_shard: StartShard
) -> None:
    """Outage, throttling, a missing table, a lost answer, rows stopped and rows to be sent again, in this order."""

    def lost_after_the_write(insert: Insert) -> Reply:
        bigquery.store(insert)
        return LOST

    def stopped(insert: Insert) -> Reply:
        return row_errors(*((index, "stopped") for index in range(len(insert.rows))))

    def partly(insert: Insert) -> Reply:
        bigquery.store(Insert(insert.table, insert.rows[1:], insert.number))
        return row_errors((0, "backendError"))

    script = [
        lambda insert: error(503, "backendError"),
        lambda insert: error(403, "rateLimitExceeded"),
        lambda insert: error(404, "notFound"),
        lambda insert: Reply(200, b"<html>"),
        lambda insert: LOST,
        lost_after_the_write,
        stopped,
        partly,
    ]
    bigquery.answer = lambda insert: (
        script[insert.number - 1](insert) if insert.number <= len(script) else None
    )
    kcl = start_shard(bigquery_settings(bigquery, s3))
    kcl.initialize()
    kcl.process(as_rows([1, 2, 3]))
    kcl.end_shard()
    assert delivered_numbers(bigquery) == [1, 2, 3]
    assert len(bigquery.rows) == 3
    assert bigquery.requests == len(script) + 1
    assert s3.dead_letters == []


def test_a_row_that_bigquery_refuses_is_buried_and_its_neighbours_are_delivered(
    s3: S3Stub, bigquery: BigQueryStub, start_shard: StartShard
) -> None:
    def refuse_two(insert: Insert) -> Reply | None:
        numbers = [json.loads(row["json"]["log"])["n"] for row in insert.rows]
        if 2 not in numbers:
            return None
        entries = [(index, "invalid" if n == 2 else "stopped") for index, n in enumerate(numbers)]
        return row_errors(*entries)

    bigquery.answer = refuse_two
    kcl = start_shard(bigquery_settings(bigquery, s3))
    kcl.initialize()
    kcl.process(as_rows([1, 2, 3]))
    kcl.end_shard()
    assert delivered_numbers(bigquery) == [1, 3]
    assert reasons(s3) == {"2": "rejected"}


def test_a_request_that_bigquery_refuses_is_halved_down_to_the_bad_record(
    s3: S3Stub, bigquery: BigQueryStub, start_shard: StartShard
) -> None:
    bad = {3, 6}

    def too_large(insert: Insert) -> Reply | None:
        numbers = {json.loads(row["json"]["log"])["n"] for row in insert.rows}
        return error(413, "requestTooLarge") if numbers & bad else None

    bigquery.answer = too_large
    kcl = start_shard(bigquery_settings(bigquery, s3))
    kcl.initialize()
    kcl.process(as_rows(list(range(1, 9))))
    kcl.end_shard()
    assert delivered_numbers(bigquery) == [1, 2, 4, 5, 7, 8]
    assert reasons(s3) == {"3": "rejected", "6": "rejected"}


def test_insert_ids_tell_user_records_of_one_aggregate_apart_and_stay_on_a_replay(
    s3: S3Stub, bigquery: BigQueryStub, start_shard: StartShard
) -> None:
    """I3: whatever the batches, the same record has the same identity."""
    data = [json.dumps({"player_id": PLAYER, "sub": sub}).encode() for sub in range(3)]
    aggregate = [record(7, payload, sub=sub) for sub, payload in enumerate(data)]
    kcl = start_shard(bigquery_settings(bigquery, s3))
    kcl.initialize()
    kcl.process(aggregate)
    kcl.end_shard()
    once = bigquery.rows
    assert len({insert_id for _, insert_id, _ in once}) == 3
    assert all(insert_id.endswith(("-7-0", "-7-1", "-7-2")) for _, insert_id, _ in once)

    again = start_shard(bigquery_settings(bigquery, s3, {"chunk.max_records": "2"}))
    again.initialize()
    for one in aggregate:
        again.process([one])
    again.end_shard()
    assert bigquery.rows == once


def test_without_validation_s3_takes_any_payload_that_stays_on_one_line(
    s3: S3Stub, start_shard: StartShard
) -> None:
    kcl = start_shard(s3_settings(s3, {"s3.validate_json": "false"}))
    kcl.initialize()
    kcl.process([record(1, b"plain text"), record(2, b"two\nlines"), *records([3])])
    kcl.end_shard()
    assert s3.lines == [b"plain text", payload(3)]
    assert reasons(s3) == {"2": "raw_newline"}
