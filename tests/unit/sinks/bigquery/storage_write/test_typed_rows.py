"""Rows of columns with types: which records make one, what it holds, and who chooses between the makers."""

import json
from typing import Any

from consumer.domain.records import Record
from consumer.native import library
from consumer.settings.schema import Column
from consumer.settings.values import Value
from consumer.sinks.bigquery.arrow_rows.build import row_maker
from consumer.sinks.bigquery.arrow_rows.fields_rows import FieldsRows
from consumer.sinks.bigquery.arrow_rows.log_rows import MAX_ROW_BYTES, LogRows, RowMaker, Rows
from consumer.sinks.bigquery.arrow_rows.typed_rows import TypedRows
from tests.unit.sinks.bigquery.storage_write.builders import SHARD, decoded, field_rules, log_rules

ARRIVAL_MS = 1_767_322_000_000
SCHEMA = (
    Column("player_id", "STRING"),
    Column("time", "TIMESTAMP", "REQUIRED"),
    Column("score", "INTEGER"),
    Column("name", "STRING"),
)


def maker(**changes: Value) -> RowMaker:
    return row_maker(field_rules(SCHEMA, **changes), shard=SHARD)


def records(*contents: dict[str, Any]) -> list[Record]:
    return [
        Record(json.dumps(one).encode(), "key", str(number), 0, ARRIVAL_MS)
        for number, one in enumerate(contents, 100)
    ]


def read(own: RowMaker, rows: Rows) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = decoded(own, rows).to_pylist()
    return found


def test_plain_log_rows_have_a_maker_of_their_own() -> None:
    assert isinstance(maker(bigquery__row="log"), LogRows)
    assert isinstance(maker(), FieldsRows if library.load() else TypedRows)


def test_rules_kept_without_the_newer_settings_are_those_of_plain_log_rows() -> None:
    own = row_maker(log_rules(), shard="shardId-7")
    tables, _ = own.make(records({"player_id": "a1"}), [0])
    assert own.schema == maker(bigquery__row="log").schema
    assert list(tables) == ["player_log_a"]


def test_fields_become_cells_and_a_record_without_a_time_has_that_of_its_arrival() -> None:
    own = maker()
    tables, rejections = own.make(records({"player_id": "a1", "score": "12", "Name": 5}), [0])
    assert rejections == []
    [row] = read(own, tables["player_log_a"])
    assert row["time"].timestamp() * 1000 == ARRIVAL_MS
    assert (row["player_id"], row["score"], row["name"]) == ("a1", 12, "5")


def test_a_record_that_does_not_fit_is_rejected_alone_and_for_the_reason() -> None:
    own = maker()
    some = records(
        {"player_id": "a1", "score": 1},
        {"player_id": "a2", "score": "many"},
        {"player_id": "a3", "rank": 1},
        {"player_id": "b4", "score": None},
        {"player_id": "a5", "score": 5},
        {"score": 6},
    )
    tables, rejections = own.make(some, range(6))
    assert {name: list(rows.indices) for name, rows in tables.items()} == {
        "player_log_a": [0, 4],
        "player_log_b": [3],
    }
    assert [row["score"] for row in read(own, tables["player_log_a"])] == [1, 5]
    found = {rejection.index: (rejection.reason, rejection.detail) for rejection in rejections}
    assert found.keys() == {1, 2, 5}
    assert found[1][0] == "rejected"
    assert "score" in found[1][1]
    assert "rank" in found[2][1]
    assert found[5][0] == "no_key"


def test_a_table_of_which_no_row_fits_is_not_there() -> None:
    tables, rejections = maker().make(records({"player_id": "a1", "score": "many"}), [0])
    assert (tables, len(rejections)) == ({}, 1)


def test_a_row_too_large_for_any_request_is_rejected() -> None:
    some = records({"player_id": "a1", "name": "x" * MAX_ROW_BYTES}, {"player_id": "a2"})
    tables, [rejection] = maker().make(some, [0, 1])
    assert (rejection.index, rejection.reason) == (0, "too_large")
    assert list(tables["player_log_a"].indices) == [1]


def test_unknown_fields_are_left_out_or_kept_aside() -> None:
    some = records({"player_id": "a1", "rank": {"a": [1]}})
    left_out = maker(bigquery__unknown_fields="ignore")
    tables, rejections = left_out.make(some, [0])
    assert rejections == []
    assert "rank" not in read(left_out, tables["player_log_a"])[0]
    aside = maker(bigquery__unknown_fields="overflow")
    tables, rejections = aside.make(some, [0])
    assert rejections == []
    assert json.loads(read(aside, tables["player_log_a"])[0]["overflow"]) == {"rank": {"a": [1]}}


def test_metadata_columns_stand_beside_the_log() -> None:
    own = maker(bigquery__row="log", bigquery__metadata_columns=True)
    record = {"player_id": "a1", "n": 1}
    tables, _ = own.make(records(record), [0])
    [row] = read(own, tables["player_log_a"])
    assert json.loads(row["log"]) == record
    assert (row["_shard"], row["_sequence_number"]) == ("shardId-7", "100")
    assert row["_arrived_at"].timestamp() * 1000 == ARRIVAL_MS


def test_parts_of_the_rows_make_batches_of_their_own() -> None:
    own = maker()
    tables, _ = own.make(records(*({"player_id": "a", "score": n} for n in range(10))), range(10))
    parts = list(tables["player_log_a"].parts(300))
    assert len(parts) > 1
    assert [row["score"] for part in parts for row in read(own, part)] == list(range(10))
    without = parts[0].without({1})
    assert [row["score"] for row in read(own, without)] == [0, *range(2, len(parts[0].indices))]
