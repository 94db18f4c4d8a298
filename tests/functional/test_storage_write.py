"""Exactly once by the Storage Write API, with real shard processes on a scripted BigQuery and DynamoDB."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import grpc
import pytest

from consumer.settings import Settings
from tests.functional.conftest import StartShard
from tests.functional.harness.dynamodb_stub import DynamoStub
from tests.functional.harness.http_stub import LOST
from tests.functional.harness.kcl import Kcl, Message, record
from tests.functional.harness.s3_stub import S3Stub
from tests.functional.harness.shard_settings import storage_write_settings
from tests.functional.harness.storage_write_stub import (
    Aborted,
    Codes,
    Fault,
    Silent,
    StorageWriteStub,
    refusal,
)

SHARD = "shardId-000000000001"
Code = grpc.StatusCode


@pytest.fixture
def google() -> Iterator[StorageWriteStub]:
    stub = StorageWriteStub()
    yield stub
    stub.close()


type Configure = Callable[..., Settings]


@pytest.fixture
def configure(google: StorageWriteStub, dynamodb: DynamoStub, s3: S3Stub) -> Configure:
    def settings(changes: Mapping[str, str] | None = None) -> Settings:
        return storage_write_settings(google.url, dynamodb.url, s3, changes)

    return settings


def logs(*numbers: int) -> list[Message]:
    """Records for two tables in turn."""
    return [
        record(number, json.dumps({"player_id": f"{number % 2}{number:031x}", "n": number}).encode())
        for number in numbers
    ]


def numbers(google: StorageWriteStub) -> list[int]:
    return sorted(json.loads(row["log"])["n"] for row in google.rows())


def started(kcl: Kcl, checkpoint: str = "TRIM_HORIZON") -> Kcl:
    kcl.initialize(checkpoint)
    return kcl


def test_rows_arrive_with_their_types_in_the_tables_of_their_keys(
    configure: Configure, google: StorageWriteStub, dynamodb: DynamoStub, start_shard: StartShard
) -> None:
    kcl = started(start_shard(configure()))
    kcl.process(logs(1, 2, 3, 4))
    kcl.tick_until_confirmed(4)
    assert numbers(google) == [1, 2, 3, 4]
    assert {row["player_id"][0] for stream in google.streams.values() for row in stream.rows} == {"0", "1"}
    row = google.rows()[0]
    assert row["time"].isoformat() == "2023-11-14T22:13:20+00:00"
    assert dynamodb.state(SHARD)["mark"]["sequence_number"] == "4"
    routes = {one["x-goog-request-params"] for one in google.metadata}
    assert "parent=projects%2Flocal-project%2Fdatasets%2Fplayer_logs%2Ftables%2Fplayer_log_0" in routes
    assert any(route.startswith("write_stream=") for route in routes)


def test_failed_appends_are_repeated_until_all_rows_are_there_once(
    configure: Configure, google: StorageWriteStub, start_shard: StartShard
) -> None:
    faults: dict[int, Fault] = {
        1: Aborted(Code.UNAVAILABLE),
        2: Aborted(Code.UNAVAILABLE, after=True),
        5: Silent(),
        7: refusal(Code.INTERNAL),
        9: Aborted(Code.RESOURCE_EXHAUSTED),
        11: Aborted(Code.PERMISSION_DENIED),
        13: refusal(Code.NOT_FOUND, Codes.STREAM_NOT_FOUND),
        15: Aborted(Code.CANCELLED, after=True),
    }
    google.fault = lambda append: faults.get(append.number)
    kcl = started(start_shard(configure({"bigquery.read_timeout": "500ms"})))
    kcl.process(logs(*range(1, 13)))
    kcl.tick_until_confirmed(12)
    assert numbers(google) == list(range(1, 13))
    assert len(google.appends) > max(faults)


def test_bad_rows_become_dead_letters_and_the_others_arrive(
    configure: Configure, google: StorageWriteStub, dynamodb: DynamoStub, s3: S3Stub, start_shard: StartShard
) -> None:
    google.fault = lambda append: refusal(Code.INVALID_ARGUMENT, None, 1) if append.number == 1 else None
    kcl = started(start_shard(configure({"chunk.max_records": "3"})))
    kcl.process(logs(2, 4, 6))
    kcl.tick_until_confirmed(6)
    assert numbers(google) == [2, 6]
    assert [(one["sequence_number"], one["detail"]) for one in s3.dead_letters] == [("4", "row 1 is bad")]
    assert list(dynamodb.items) == [(SHARD, "state"), (SHARD, "streams")]


def test_a_killed_process_is_followed_by_one_that_adds_only_what_is_missing(
    configure: Configure, google: StorageWriteStub, start_shard: StartShard
) -> None:
    first = started(start_shard(configure({"chunk.max_records": "2"})))
    first.process(logs(1, 2))
    first.tick_until_confirmed(2)
    first.answer = lambda request: None  # the KCL hears of no more checkpoints
    first.give(logs(3, 4, 5, 6))
    google.wait_until(lambda: numbers(google) == [1, 2, 3, 4, 5, 6])
    first.kill()
    second = started(start_shard(configure({"chunk.max_records": "3"})), "2")
    second.process(logs(3, 4, 5, 6, 7, 8))
    second.tick_until_confirmed(8)
    assert numbers(google) == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("metadata", ["true", "false"])
def test_fields_are_written_once_though_some_records_fit_no_row(
    metadata: str,
    configure: Configure,
    google: StorageWriteStub,
    s3: S3Stub,
    start_shard: StartShard,
    tmp_path: Path,
) -> None:
    schema = tmp_path / "schema.json"
    columns = {"player_id": "STRING", "time": "TIMESTAMP", "n": "INTEGER"}
    schema.write_text(json.dumps([{"name": name, "type": kind} for name, kind in columns.items()]))
    settings = configure(
        {
            "bigquery.row": "fields",
            "bigquery.schema_file": str(schema),
            "chunk.max_records": "3",
            "bigquery.metadata_columns": metadata,
        }
    )
    given = [
        record(number, json.dumps({"player_id": "0", "n": "none" if number % 3 == 0 else number}).encode())
        for number in range(1, 10)
    ]
    first = started(start_shard(settings))
    first.process(given[:3])
    first.tick_until_confirmed(3)
    first.answer = lambda request: None
    first.give(given[3:6])
    google.wait_until(lambda: [row["n"] for row in google.rows()] == [1, 2, 4, 5])
    first.kill()
    second = started(start_shard(settings), "3")
    second.process(given[3:])
    second.tick_until_confirmed(9)
    assert [row["n"] for row in google.rows()] == [1, 2, 4, 5, 7, 8]
    assert {row.get("_shard") for row in google.rows()} == {SHARD if metadata == "true" else None}
    assert {one["sequence_number"] for one in s3.dead_letters} == {"3", "6", "9"}


def test_a_former_owner_adds_nothing_and_checkpoints_nothing(
    configure: Configure, google: StorageWriteStub, start_shard: StartShard
) -> None:
    settings = configure()
    zombie, owner = start_shard(settings), start_shard(settings)
    started(zombie).process(logs(1, 2))
    zombie.tick_until_confirmed(2)
    started(owner, "2").process(logs(3, 4))
    owner.tick_until_confirmed(4)
    zombie.process(logs(3, 4))
    zombie.process([])
    assert zombie.confirmed[-1] == ("2", None)
    assert numbers(google) == [1, 2, 3, 4]


def test_a_checkpoint_waits_for_the_counts_to_be_kept(
    configure: Configure, google: StorageWriteStub, dynamodb: DynamoStub, start_shard: StartShard
) -> None:
    kcl = started(start_shard(configure()))
    kcl.process(logs(1))
    kcl.tick_until_confirmed(1)
    kcl.process(logs(3))
    google.wait_until(lambda: numbers(google) == [1, 3])
    dynamodb.answer = lambda operation: LOST
    kcl.process([])
    assert kcl.asked[-1] == ("1", None)
    dynamodb.answer = lambda operation: None
    kcl.tick_until_confirmed(3)
