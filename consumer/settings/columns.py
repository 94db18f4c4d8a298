"""The columns that the tables must have: the record's, and those that the daemon fills itself."""

from __future__ import annotations

from typing import Protocol

from consumer.settings.model import Settings
from consumer.settings.schema import METADATA_COLUMNS, Column, read_schema


class RowSettings(Protocol):
    """The settings that decide about rows, wherever they are kept."""

    def text(self, key: str) -> str: ...

    def integer(self, key: str) -> int: ...

    def flag(self, key: str) -> bool: ...


def expected_columns(settings: Settings) -> tuple[Column, ...]:
    """`row_columns` with the schema file, where there is one. Raises SchemaError."""
    return row_columns(settings, schema_columns(settings))


def schema_columns(settings: Settings) -> tuple[Column, ...]:
    """The columns of the schema file; none for `bigquery.row = log`. Raises SchemaError."""
    if settings.text("bigquery.row") != "fields":
        return ()
    return read_schema(settings.path("bigquery.schema_file"))


def lake_schema(settings: Settings) -> tuple[Column, ...]:
    """The columns of `s3.schema_file`; none without one. Raises SchemaError."""
    return () if settings["s3.schema_file"] is None else read_schema(settings.path("s3.schema_file"))


METADATA_TYPES = ("STRING", "STRING", "TIMESTAMP")


def row_columns(settings: RowSettings, schema: tuple[Column, ...]) -> tuple[Column, ...]:
    """The columns of `bigquery.row`: key, time and log, or those of the schema file; then the daemon's own."""
    if settings.text("bigquery.row") == "fields":
        columns = schema
        if settings.text("bigquery.unknown_fields") == "overflow":
            columns += (Column(name=settings.text("bigquery.overflow_column"), type="JSON"),)
    else:
        columns = (
            Column(name=settings.text("record.key_field"), type="STRING"),
            Column(name=settings.text("bigquery.partition_field"), type="TIMESTAMP", mode="REQUIRED"),
            Column(name="log", type="JSON"),
        )
    if settings.flag("bigquery.metadata_columns"):
        named = zip(METADATA_COLUMNS, METADATA_TYPES, strict=True)
        columns += tuple(Column(name=name, type=kind) for name, kind in named)
    return columns
