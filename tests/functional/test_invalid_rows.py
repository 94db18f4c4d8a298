"""One record in a hundred is one that BigQuery refuses: exactly those are buried, and nearly nothing is sent twice."""

import json
import random
import threading
from collections.abc import Callable

from tests.functional.conftest import StartShard
from tests.functional.harness.bigquery_stub import BigQueryStub, Insert, row_errors
from tests.functional.harness.http_stub import Reply
from tests.functional.harness.kcl import Message, record
from tests.functional.harness.s3_stub import S3Stub
from tests.functional.harness.shard_settings import bigquery_settings

RECORDS = 100_000
BATCH = 10_000
BAD_SHARE = 0.01
SETTINGS = {"deadletter.max_ratio": "1", "chunk.max_bytes": "2MiB", "delivery.max_in_flight_bytes": "8MiB"}


def some_records() -> list[Message]:
    """As many as BATCH, of all sixteen tables."""
    chance = random.Random(5)
    players = [f"{chance.getrandbits(128):032x}" for _ in range(500)]
    return [
        record(number, json.dumps({"player_id": players[number % 500], "n": number}).encode())
        for number in range(BATCH)
    ]


def renumbered(batch: list[Message], first: int) -> list[Message]:
    """The same payloads under other sequence numbers, by which this test tells records."""
    return [message | {"sequenceNumber": str(first + place)} for place, message in enumerate(batch)]


def number_of(insert_id: str) -> int:
    return int(insert_id.split("-")[-2])


def in_turns(answer: Callable[[Insert], Reply | None]) -> Callable[[Insert], Reply | None]:
    """The stub asks in the threads of its requests."""
    turn = threading.Lock()

    def locked(insert: Insert) -> Reply | None:
        with turn:
            return answer(insert)

    return locked


def deliver(bigquery: BigQueryStub, s3: S3Stub, start_shard: StartShard) -> None:
    """All records through one shard process."""
    batch = some_records()
    kcl = start_shard(bigquery_settings(bigquery, s3, SETTINGS))
    kcl.initialize()
    for first in range(0, RECORDS, BATCH):
        kcl.process(renumbered(batch, first))
    kcl.end_shard()
    assert kcl.confirmed[-1] == (None, None)


def test_one_bad_record_in_a_hundred_costs_its_own_dead_letter_and_nothing_else(
    s3: S3Stub, bigquery: BigQueryStub, start_shard: StartShard
) -> None:
    chance = random.Random(6)
    bad = {number for number in range(RECORDS) if chance.random() < BAD_SHARE}
    asked: set[str] = set()
    first_attempts = 0

    def refuse_bad(insert: Insert) -> Reply | None:
        """As Google does with skipInvalidRows; a tenth of the requests meets it as if that were not set."""
        nonlocal first_attempts
        first_attempts += insert.rows[0]["insertId"] not in asked
        asked.update(row["insertId"] for row in insert.rows)
        refused = {index for index, row in enumerate(insert.rows) if number_of(row["insertId"]) in bad}
        if not refused:
            return None
        if insert.number % 10 == 0 or not insert.skip_invalid:
            return row_errors(
                *((index, "invalid" if index in refused else "stopped") for index in range(len(insert.rows)))
            )
        kept = [row for index, row in enumerate(insert.rows) if index not in refused]
        bigquery.store(Insert(insert.table, kept, insert.number))
        return row_errors(*((index, "invalid") for index in refused))

    bigquery.answer = in_turns(refuse_bad)
    deliver(bigquery, s3, start_shard)
    delivered = {number_of(insert_id) for rows in bigquery.tables.values() for insert_id in rows}
    buried = [int(letter["sequence_number"]) for letter in s3.dead_letters]
    assert len(bigquery.tables) == 16
    assert delivered == set(range(RECORDS)) - bad
    assert sorted(buried) == sorted(bad)
    assert {letter["reason"] for letter in s3.dead_letters} == {"rejected"}
    # what a clean run would send: requests are cut before anybody knows which rows are bad
    assert bigquery.requests - bigquery.dry_runs < 1.3 * first_attempts
    assert bigquery.dry_runs < 0.4 * first_attempts
