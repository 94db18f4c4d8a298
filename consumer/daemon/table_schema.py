"""The columns that the tables must have, and how an existing table differs from them."""

from __future__ import annotations

from collections.abc import Iterator

from consumer.settings import Settings
from consumer.settings.schema import Column, read_schema


def expected_columns(settings: Settings) -> tuple[Column, ...]:
    """The columns of `bigquery.row`: key, time and log, or those of the schema file. Raises SchemaError."""
    if settings.text("bigquery.row") == "fields":
        return read_schema(settings.path("bigquery.schema_file"))
    return (
        Column(name=settings.text("record.key_field"), type="STRING"),
        Column(name=settings.text("bigquery.partition_field"), type="TIMESTAMP", mode="REQUIRED"),
        Column(name="log", type="JSON"),
    )


def differences(expected: tuple[Column, ...], actual: tuple[Column, ...], path: str = "") -> Iterator[str]:
    """What keeps rows of the expected columns out of a table, column by column.

    A table may have more columns as long as they can be null, and may take null where we never send it.
    """
    found = {column.name.lower(): column for column in actual}
    for column in expected:
        name = path + column.name
        other = found.pop(column.name.lower(), None)
        if other is None:
            yield f"column {name} ({column.mode} {column.type}) is missing"
        elif other.type != column.type:
            yield f"column {name} is {other.type}, not {column.type}"
        elif _refuses(column, other):
            yield f"column {name} is {other.mode}, not {column.mode}"
        else:
            yield from differences(column.fields, other.fields, f"{name}.")
    for other in found.values():
        if other.mode == "REQUIRED":
            yield f"column {path}{other.name} is REQUIRED, and no row has it"


def _refuses(column: Column, other: Column) -> bool:
    if "REPEATED" in (column.mode, other.mode):
        return column.mode != other.mode
    return other.mode == "REQUIRED" and column.mode != "REQUIRED"
