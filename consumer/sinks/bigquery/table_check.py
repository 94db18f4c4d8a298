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
_KEYS = {
    "BYTES": "AAAA",
    "DATE": "2020-01-01",
    "DATETIME": "2020-01-01T00:00:00",
    "TIME": "00:00:00",
    "TIMESTAMP": "2020-01-01T00:00:00Z",
}
"""A key that chooses the table is a text that begins with hex digits: what else than `10` a column takes as such."""
_HOLDS_SECONDS = 10.0
_TURNS = 4
_MOST_NAMES = 1000


def sample_record(settings: RowSettings, schema: Sequence[Column], *, now_ms: int) -> Record:
    """A record that arrives at `now_ms` and has a value for every column of the schema file, none for the time. It
    makes a row wherever records of these settings can."""
    filled, key = settings.text("bigquery.partition_field").lower(), settings.text("record.key_field")
    values = {column.name: _value(column) for column in schema if column.name.lower() != filled}
    if not schema or settings.integer("bigquery.key_digits"):
        named = {column.name.lower(): column for column in schema}
        column = named.get(key.lower(), Column(key, "STRING"))
        values.pop(column.name, None)
        values[key] = _KEYS.get(column.type, "10")
    if schema and settings.text("bigquery.unknown_fields") == "overflow":
        values[_unused(schema)] = 0
    return Record(msgspec.json.encode(values), "", "0", 0, now_ms)


class TableCheck:
    """Asked when a table has refused rows, before these are taken for bad ones. Every method returns when the rows are
    to blame, and raises DeliveryError when they have to be sent again."""

    def __init__(self, check: Callable[[str], None], *, now: Callable[[], float] = time.monotonic) -> None:
        """`check` raises SetupError where the table refuses a sample row, TransientError where it did not answer."""
        self._check = check
        self._now = now
        self._passed: dict[str, float] = {}
        self._refusals: dict[tuple[str, str], int] = {}

    def before_rejecting_some(self, table: str) -> None:
        """The table had nothing against other rows of the same request: only what a column of some rows needs may be
        wrong with it, and is not looked at for some seconds."""
        passed = self._passed.get(table)
        if passed is None or self._now() - passed >= _HOLDS_SECONDS:
            self._ask(table)

    def before_rejecting_all(self, table: str, name: str) -> None:
        """Nothing of a request passed, whose rows have this name. The sample goes another way than they did, and
        servers that learn of a change one after the other disagree for a while: rows are to blame once they were
        refused and the sample taken several times in turns."""
        self._ask(table)
        count = self._refusals.pop((table, name), 0) + 1
        if count < _TURNS:
            if len(self._refusals) >= _MOST_NAMES:
                self._refusals.clear()
            self._refusals[table, name] = count
            raise TransientError(
                f"{table}: all rows were refused, and the table is in order: they are sent once more"
            )

    def _ask(self, table: str) -> None:
        try:
            self._check(table)
        except DeliveryError:
            self._passed.pop(table, None)
            self._refusals.clear()
            raise
        self._passed[table] = self._now()


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
