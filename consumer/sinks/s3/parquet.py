"""Parquet, of rows that are made by the rules of BigQuery's tables."""

from collections.abc import Sequence

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
        self._schema = pa.ipc.read_schema(pa.py_buffer(self._maker.schema))
        self._row_group = row_group_records
        # values of whole JSON texts differ, so a dictionary of them is only thrown away
        self._dictionaries = [column.name for column in rules.columns if column.type != "JSON"]
        if not rules.columns:
            self._dictionaries = [rules.text("record.key_field")]
        self._level = level

    def body(
        self, records: Records, lines: ChosenLines, chosen: Sequence[int] | None, rejections: list[Rejection]
    ) -> tuple[bytes, int]:
        """See ObjectFormat. All rows are one batch first, so that nothing of how records came shows in the bytes."""
        tables, refused = self._maker.make(records, range(len(records)) if chosen is None else chosen)
        rejections += refused
        if not tables:
            return b"", 0
        [rows] = tables.values()
        message = self._maker.batch(rows).serialize_after(b"")
        batch = pa.ipc.read_record_batch(pa.py_buffer(message), self._schema)
        del tables, rows, message
        out = pa.BufferOutputStream()
        with parquet.ParquetWriter(
            out,
            self._schema,
            version="2.6",
            compression="zstd",
            compression_level=self._level,
            use_dictionary=self._dictionaries,
        ) as writer:
            writer.write_batch(batch, row_group_size=self._row_group)
        return out.getvalue().to_pybytes(), batch.num_rows

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
