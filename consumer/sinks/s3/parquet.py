"""Parquet, of rows that are made by the rules of BigQuery's tables."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from consumer.domain.columns import Records
from consumer.domain.dead_letters import Rejection
from consumer.domain.unread_times import Unread
from consumer.settings import Settings
from consumer.settings.columns import lake_schema
from consumer.settings.schema import Column
from consumer.sinks.bigquery.arrow_rows.build import row_maker
from consumer.sinks.bigquery.arrow_rows.rules import VERSION, Rules
from consumer.sinks.s3.chosen_lines import ChosenLines


class Parquet:
    """A row a record, in columns of the schema file, or `key, time, log`."""

    extension = "parquet"
    content_type = "application/vnd.apache.parquet"

    def __init__(self, rules: Rules, *, shard: str, level: int, row_group_records: int) -> None:
        """`level` is Zstandard's."""
        self._maker = row_maker(rules, shard=shard)
        self.schema = pa.ipc.read_schema(pa.py_buffer(self._maker.schema))
        self.row_group = row_group_records
        # values of whole JSON texts differ, so a dictionary of them is only thrown away
        self._dictionaries = [column.name for column in rules.columns if column.type != "JSON"]
        if not rules.columns:
            self._dictionaries = [rules.text("record.key_field")]
        self._level = level

    def body(
        self, records: Records, lines: ChosenLines, chosen: Sequence[int] | None, rejections: list[Rejection]
    ) -> tuple[bytes, int]:
        """See ObjectFormat. All rows are one batch first, so that nothing of how records came shows in the bytes."""
        batch = self.batch(records, range(len(records)) if chosen is None else chosen, rejections)
        if batch is None:
            return b"", 0
        out = pa.BufferOutputStream()
        with self.writer(out) as writer:
            writer.write_batch(batch, row_group_size=self.row_group)
        return out.getvalue().to_pybytes(), batch.num_rows

    def batch(
        self, records: Records, chosen: Sequence[int], rejections: list[Rejection]
    ) -> pa.RecordBatch | None:
        """The rows of the records at these indices; None where there is none. Others go to `rejections`."""
        tables, refused = self._maker.make(records, chosen)
        rejections += refused
        if not tables:
            return None
        [rows] = tables.values()
        message = self._maker.batch(rows).serialize_after(b"")
        return pa.ipc.read_record_batch(pa.py_buffer(message), self.schema)

    def writer(self, out: Any) -> parquet.ParquetWriter:
        """Into a file of pyarrow's or of Python's. The same rows in the same row groups are the same bytes."""
        return parquet.ParquetWriter(
            out,
            self.schema,
            version="2.6",
            compression="zstd",
            compression_level=self._level,
            use_dictionary=self._dictionaries,
        )

    def take_unread(self) -> Unread | None:
        return self._maker.take_unread()


def rules_of_lake(settings: Settings) -> Rules:
    """Those of one BigQuery table whose time column is the record's time. Raises SchemaError."""
    columns: tuple[Column, ...] = lake_schema(settings)
    return Rules(
        VERSION,
        {
            "bigquery.row": "fields" if columns else "log",
            "bigquery.table_prefix": "rows",
            "bigquery.key_digits": 0,
            "bigquery.partition_field": settings.text("record.time_field"),
            "bigquery.unknown_fields": settings.text("s3.unknown_fields"),
            "bigquery.overflow_column": settings.text("s3.overflow_column"),
            "bigquery.metadata_columns": False,
            **{
                key: settings.text(key)
                for key in ("record.key_field", "record.time_field", "record.time_format")
            },
        },
        columns,
    )
