"""BigQuery parts with the names that the tests use: key field `k`, time field `t`, tables `logs…`."""

from collections.abc import Sequence
from typing import Any

import msgspec

from consumer.domain.records import Record
from consumer.domain.routing import time_parser
from consumer.sinks.bigquery.requests import InsertRequest
from consumer.sinks.bigquery.rows import RowEncoder
from consumer.sinks.bigquery.shapes import FieldsRow, LogRow, RowShape
from consumer.sinks.bigquery.times import PartitionTimes
from consumer.sinks.payloads import RoutingReader
from tests.unit.builders import record

SHARD = "shardId-000000000003"


def log_row(time_format: str = "iso8601") -> LogRow:
    return LogRow(
        key_column="k",
        time_column="t",
        times=PartitionTimes(time_parser(time_format), iso8601=time_format == "iso8601"),
    )


def fields_row(time_format: str = "iso8601", *, column: str = "t") -> FieldsRow:
    return FieldsRow(
        time_field="t",
        time_column=column,
        times=PartitionTimes(time_parser(time_format), iso8601=time_format == "iso8601"),
    )


def encoder(shape: RowShape | None = None, **options: Any) -> RowEncoder:
    return RowEncoder(
        **{
            "reader": RoutingReader(key_field="k", time_field="t"),
            "shape": shape or log_row(),
            "stream": "stream",
            "shard": SHARD,
            "table_prefix": "logs",
            "key_field": "k",
            "key_digits": 1,
            **options,
        }
    )


class SpelledRows:
    """Plans are rows in JSON, sizes that of the content in them."""

    def rows(self, records: Sequence[Record], plans: Sequence[bytes]) -> list[Any]:
        return list(map(msgspec.Raw, plans))

    def content_bytes(self, records: Sequence[Record], plans: Sequence[bytes]) -> list[int]:
        return list(map(len, plans))


def request_of(count: int, *, first_index: int = 100) -> InsertRequest:
    """Rows `r0`, `r1`, … of the records 100, 101, …"""
    return InsertRequest(
        "logs_a",
        tuple(range(first_index, first_index + count)),
        tuple(f'{{"json":"r{number}"}}'.encode() for number in range(count)),
        [record(b"{}")] * (first_index + count),
        SpelledRows(),
    )
