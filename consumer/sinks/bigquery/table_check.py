"""Tells a table that takes nothing from rows that are bad, by a row made of its own columns."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from consumer.domain.errors import DeliveryError, SetupError, TransientError
from consumer.domain.records import Record
from consumer.settings.columns import RowSettings
from consumer.settings.schema import Column

_VALUES: dict[str, Any] = {
    "BOOLEAN": False,
    "BYTES": "",
    "DATE": "2020-01-01",
    "DATETIME": "2020-01-01T00:00:00",
    "FLOAT": 0.5,
    "GEOGRAPHY": "POINT(0 0)",
    "INTEGER": 0,
    "JSON": {},
    "NUMERIC": 0,
    "BIGNUMERIC": 0,
    "STRING": "0",
    "TIME": "00:00:00",
    "TIMESTAMP": "2020-01-01T00:00:00Z",
}
_HOLDS_SECONDS = 10.0


def sample_record(settings: RowSettings, schema: Sequence[Column], *, now_ms: int) -> Record:
    """A record that arrives at `now_ms` and has a value for every column of the schema file, none for the time."""
    filled = settings.text("bigquery.partition_field")
    values = {column.name: _value(column) for column in schema if column.name != filled}
    values[settings.text("record.key_field")] = "0" * max(1, settings.integer("bigquery.key_digits"))
    if schema and settings.text("bigquery.unknown_fields") == "overflow":
        values[_unused(schema)] = 0
    return Record(msgspec.json.encode(values), "", "0", 0, now_ms)


class TableCheck:
    """Asked when a table has refused rows, before these are taken for bad ones."""

    def __init__(self, check: Callable[[str], None], *, now: Callable[[], float] = time.monotonic) -> None:
        """`check` raises SetupError where the table refuses a sample row, TransientError where it did not answer."""
        self._check = check
        self._now = now
        self._passed: dict[str, float] = {}

    def after_refusal(self, table: str, *, others_pass: bool) -> None:
        """Returns when the rows are to blame. `others_pass` tells that the table had nothing against other rows of the
        request; without them it has to take the sample before and after the refusal, since somebody may mend or
        break it in between. Raises DeliveryError when the rows have to be sent again."""
        passed = self._passed.get(table)
        was_in_order = passed is not None and self._now() - passed < _HOLDS_SECONDS
        if was_in_order and others_pass:
            return
        try:
            self._check(table)
        except DeliveryError:
            self._passed.pop(table, None)
            raise
        self._passed[table] = self._now()
        if not was_in_order and not others_pass:
            raise TransientError(
                f"{table}: all rows were refused, and the table is in order: they are sent once more"
            )


def table_refuses(table: str, refusal: str) -> SetupError:
    """The error for a table that takes no row at all."""
    return SetupError(
        f"{table} refuses even a row made of its own columns, so that no record is to blame: {refusal}",
        setting="bigquery.row",
    )


def _value(column: Column) -> Any:
    value = {field.name: _value(field) for field in column.fields} if column.fields else _VALUES[column.type]
    return [value] if column.mode == "REPEATED" else value


def _unused(schema: Sequence[Column]) -> str:
    """A name that no column has."""
    names, name = {column.name.lower() for column in schema}, "_"
    while name in names:
        name += "_"
    return name
