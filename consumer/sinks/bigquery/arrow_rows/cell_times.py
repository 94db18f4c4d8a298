"""Times in columns of a row, as BigQuery reads them, and no other notation: what one method refuses, all refuse.

Nothing finer than a microsecond is taken. To round it could end in the next day, and BigQuery refuses it, too.
https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#timestamp_type
"""

import datetime
import re
from collections.abc import Callable, Mapping
from typing import Any

from consumer.domain.routing import time_parser

_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?"
_USUAL = re.compile(rf"{_DAY}T{_CLOCK}Z").fullmatch
_TIMESTAMP = re.compile(rf"{_DAY}(?:[Tt ]{_CLOCK}(?:[Zz]| UTC|[+-][0-9]{{2}}(?::[0-9]{{2}})?)?)?").fullmatch
_DATETIME = re.compile(rf"{_DAY}(?:[Tt ]{_CLOCK})?").fullmatch
_TIME = re.compile(_CLOCK).fullmatch
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?").fullmatch

_from_iso8601, _from_seconds = time_parser("iso8601"), time_parser("epoch_s")


def _timestamp(value: str | int | float) -> datetime.datetime:
    """In UTC, which is the zone of a text without one; numbers are seconds since 1970."""
    if isinstance(value, str) and _USUAL(value):
        return datetime.datetime.fromisoformat(value)
    moment = None
    if not isinstance(value, str) or _NUMBER(value):
        moment = _from_seconds(value)
    elif _TIMESTAMP(value):
        moment = _from_iso8601(value)
    if moment is None:
        raise ValueError(f"{value!r} is no TIMESTAMP")
    return moment


def _datetime(value: str) -> datetime.datetime:
    if not _DATETIME(value):
        raise ValueError(f"{value!r} is no DATETIME")
    return datetime.datetime.fromisoformat(value)


def _time(value: str) -> datetime.time:
    if not _TIME(value):
        raise ValueError(f"{value!r} is no TIME")
    return datetime.time.fromisoformat(value)


CELL_TIMES: Mapping[str, Callable[[Any], Any]] = {
    "TIMESTAMP": _timestamp,
    "DATETIME": _datetime,
    "TIME": _time,
}
"""From what stands in a row to the cell of such a column; raise ValueError."""
