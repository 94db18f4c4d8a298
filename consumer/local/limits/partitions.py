"""Which partition of a table a row belongs to, as far as limits ask."""

import contextlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

_PERIODS = {"HOUR": 13, "DAY": 10, "MONTH": 7, "YEAR": 4}
"""How many characters of an ISO 8601 time name the period."""
_ZONE = re.compile(r"\s*(?:UTC|Z)$", re.IGNORECASE)


class Partitioning(msgspec.Struct, frozen=True):
    """The column and the length of a table's partitions."""

    field: str
    kind: str = "DAY"

    def time_of(self, row: Mapping[str, Any]) -> datetime | None:
        """The moment that decides; None where the row has none that is understood."""
        value = row.get(self.field)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return moment_of(float(value))
        return None if not isinstance(value, str) else _parsed(value)

    def partition_of(self, row: Mapping[str, Any]) -> str:
        """The name of the partition; rows without a time share one."""
        time = self.time_of(row)
        return "" if time is None else time.isoformat()[: _PERIODS[self.kind]]


def partitioning_of(table: Mapping[str, Any]) -> Partitioning | None:
    """Of a table's resource; None where it has no partitions by a column."""
    own = table.get("timePartitioning") or {}
    return Partitioning(own["field"], own.get("type", "DAY")) if own.get("field") else None


def out_of_bounds(time: datetime, *, now: datetime, past_days: float, future_days: float) -> bool:
    """Whether rows for such a time cannot be streamed; days are counted as days."""
    day, today = time.date(), now.date()
    return not today - timedelta(days=past_days) <= day <= today + timedelta(days=future_days)


def outside_message(field: str, time: datetime, table: str, *, past_days: float, future_days: float) -> str:
    micros = (time - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)
    return (
        f"Value {micros} for field {field} of the destination table {table} is outside the allowed bounds. You can only"
        f" stream to date range within {past_days:.0f} days in the past and {future_days:.0f} days in the future"
        " relative to the current date."
    )


def _parsed(text: str) -> datetime | None:
    with contextlib.suppress(ValueError, OverflowError):
        time = datetime.fromisoformat(_ZONE.sub("+00:00", text))
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    with contextlib.suppress(ValueError):
        return moment_of(float(text))
    return None


def moment_of(seconds: float) -> datetime | None:
    with contextlib.suppress(ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(seconds, UTC)
    return None
