"""Rules of rows, and what Arrow reads of the rows that are made by them."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from consumer.settings.schema import Column
from consumer.settings.values import Value
from consumer.sinks.bigquery.arrow_rows.log_rows import RowMaker, Rows
from consumer.sinks.bigquery.arrow_rows.rules import VERSION, Rules

SHARD = "shardId-7"


_PLAIN: dict[str, Value] = {
    "bigquery.table_prefix": "player_log",
    "bigquery.key_digits": 1,
    "bigquery.row": "log",
    "bigquery.partition_field": "time",
    "record.key_field": "player_id",
    "record.time_field": "time",
    "record.time_format": "iso8601",
}


def log_rules(**changes: Value) -> Rules:
    """For plain rows of `row = log`, as an older version kept them: without the settings that came later."""
    return Rules(1, _PLAIN | changes)


def field_rules(schema: Sequence[Column], **changes: Value) -> Rules:
    """For `row = fields`; settings are named with two underscores for the point. A changed `row` has no schema."""
    settings: dict[str, Value] = _PLAIN | {
        "bigquery.row": "fields",
        "bigquery.unknown_fields": "reject",
        "bigquery.overflow_column": "overflow",
        "bigquery.metadata_columns": False,
    }
    chosen = settings | {key.replace("__", "."): value for key, value in changes.items()}
    return Rules(VERSION, chosen, tuple(schema) if chosen["bigquery.row"] == "fields" else ())


def decoded(own: RowMaker, rows: Rows) -> Any:
    """Rows as a record batch, which Arrow finds to be whole."""
    schema = pa.ipc.read_schema(pa.py_buffer(own.schema))
    batch = own.batch(rows)
    # what stands before it may have any length
    head = b"head!"
    message = batch.serialize_after(head)
    assert message.startswith(head)
    assert len(message) == len(head) + batch.size
    found = pa.ipc.read_record_batch(pa.py_buffer(message[len(head) :]), schema)
    found.validate(full=True)
    return found


SIMPLE = (
    Column("player_id", "STRING"),
    Column("time", "TIMESTAMP", "REQUIRED"),
    Column("score", "INTEGER"),
    Column("ratio", "FLOAT"),
    Column("won", "BOOLEAN"),
    Column("born", "DATE"),
    Column("seen", "TIMESTAMP"),
    Column("Näme", "STRING"),
    Column("note", "JSON"),
    Column("place", "GEOGRAPHY"),
    Column("price", "NUMERIC"),
    Column("tags", "STRING", "REPEATED"),
    Column("scores", "INTEGER", "REPEATED"),
    Column("ratios", "FLOAT", "REPEATED"),
    Column("wins", "BOOLEAN", "REPEATED"),
    Column("days", "DATE", "REPEATED"),
    Column("visits", "TIMESTAMP", "REPEATED"),
    Column("prices", "NUMERIC", "REPEATED"),
)
"""Columns that the C library can write, all of them."""
