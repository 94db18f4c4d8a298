"""BigQuery parts with the names that the tests use: key field `k`, time field `t`, tables `logs…`."""

import json
from typing import Any

from consumer.domain.routing import time_parser
from consumer.sinks.bigquery.insert_all.requests import Envelope, InsertRequest, RequestLimits, RequestMaker
from consumer.sinks.bigquery.rows.encoder import RowEncoder
from consumer.sinks.bigquery.rows.routes import TableRoutes
from consumer.sinks.bigquery.rows.shapes import FieldsRow, LogRow, RowShape
from consumer.sinks.bigquery.rows.times import PartitionTimes
from consumer.sinks.json.fields import FieldReader
from consumer.sinks.json.rule import BIGQUERY
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


def encoder(shape: RowShape | None = None, *, key_digits: int = 1, **options: Any) -> RowEncoder:
    return RowEncoder(
        **{
            "reader": FieldReader(key_field="k", time_field="t", limits=BIGQUERY),
            "shape": shape or log_row(),
            "stream": "stream",
            "shard": SHARD,
            "routes": TableRoutes(table_prefix="logs", key_digits=key_digits, key_field="k"),
            **options,
        }
    )


def request_maker(
    shape: RowShape | None = None, *, max_rows: int = 500, max_bytes: int = 10**6
) -> RequestMaker:
    return RequestMaker(
        encoder(shape),
        RequestLimits(max_rows=max_rows, max_bytes=max_bytes),
        Envelope(skip_invalid_rows=True, ignore_unknown_values=False),
    )


def request_of(count: int, *, first_index: int = 100) -> InsertRequest:
    """Rows for `logs_a` of the records 100, 101, …, which say of themselves that they are number 0, 1, …"""
    records = [record(b'{"k":"a","n":%d}' % number, sequence=str(number)) for number in range(count)]
    others = [record(b'{"k":"b"}')] * first_index
    return request_maker().request([*others, *records], list(range(first_index, first_index + count)))


def numbers_in(request: InsertRequest) -> list[int]:
    """The numbers of the records that a request's rows were made of."""
    return [json.loads(row["json"]["log"])["n"] for row in json.loads(request.body)["rows"]]
