"""The partition column: a timestamp that BigQuery takes, from the record's own time or from its arrival."""

import datetime
import re
from typing import Any

from consumer.domain.routing import TimeParser
from consumer.domain.unread_times import UnreadTimes
from consumer.native.library import RowRules
from consumer.sinks.bigquery.rows.bad_record import BadRecord

OLDEST_DAYS = 10 * 365
NEWEST_DAYS = 365
"""BigQuery refuses rows for partitions further from the present:
https://cloud.google.com/bigquery/docs/streaming-data-into-bigquery#streaming_into_partitioned_tables"""


_DAY_MS = 86_400_000
_OWN_NOTATION = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9](?:\.[0-9]{3})?Z"
).fullmatch
_SECOND = len("2001-02-03T04:05:06")
_REMEMBERED_SECONDS = 10_000
_NOTHING = re.compile(r"(?!)").fullmatch


_LAST_BOUND = datetime.datetime.max.replace(tzinfo=datetime.UTC) - datetime.timedelta(days=NEWEST_DAYS)


class PartitionTimes:
    """Canonical RFC 3339 texts. The present is the record's arrival, so that a replay decides alike."""

    def __init__(self, parse: TimeParser, *, iso8601: bool) -> None:
        """`iso8601` tells that `parse` reads nothing else, so that a text in BigQuery's own notation means to
        BigQuery what it means to `parse`: a strptime pattern may put the day before the month."""
        self._parse = parse
        self._own_notation = _OWN_NOTATION if iso8601 else _NOTHING
        self.is_iso8601 = iso8601
        self.unread = UnreadTimes()
        self._arrival_ms = -1
        self._arrival_text = ""
        self._arrival_day = -1
        self._oldest = self._newest = ""
        self._seconds: set[str] = set()
        self._fractions: set[str] = set()

    def text(self, value: Any, arrival_ms: int) -> str:
        """`own_time`, or the text for the arrival of a record without a time."""
        return self.own_time(value, arrival_ms) or self.arrival_time(arrival_ms)

    def own_time(self, value: Any, arrival_ms: int) -> str | None:
        """The text for a record's time value, None where it holds no time; raises BadRecord.

        A value in BigQuery's own notation comes out as it is; others that the parser takes are put into it.
        """
        if arrival_ms // _DAY_MS != self._arrival_day:
            self._set_bounds(arrival_ms)
        # a second and a fraction that were each part of a good text make a good one together
        if value.__class__ is str and value[:_SECOND] in self._seconds and value[_SECOND:] in self._fractions:
            return value
        if value is None:
            return None
        moment = self._parse(value)
        if moment is None:
            self.unread.add(value)
            return None
        is_own = value.__class__ is str and self._own_notation(value) is not None
        text: str = value if is_own else _text(moment)
        # years have four digits, so days compare as texts do
        if not self._oldest <= text[:10] <= self._newest:
            detail = f"time {text} is too far from arrival {self.arrival_time(arrival_ms)}"
            raise BadRecord("time_out_of_range", detail)
        if is_own:
            self._remember(text)
        return text

    def bounds(self, arrival_ms: int) -> tuple[str, str]:
        """The first and the last day, as `2001-02-03`, that a record may speak of which arrived then."""
        if arrival_ms // _DAY_MS != self._arrival_day:
            self._set_bounds(arrival_ms)
        return self._oldest, self._newest

    def set_day(self, rules: RowRules, arrival_ms: int) -> None:
        """Tells the C library which days those are, for records that arrived on the same day."""
        oldest, newest = self.bounds(arrival_ms)
        rules.arrival_day = arrival_ms // _DAY_MS
        rules.oldest_day[:] = oldest.encode()
        rules.newest_day[:] = newest.encode()

    def arrival_time(self, arrival_ms: int) -> str:
        # neighbours in a batch often share their arrival, so one remembered value is a good cache
        if arrival_ms != self._arrival_ms:
            self._arrival_ms = arrival_ms
            self._arrival_text = _text(_moment(arrival_ms))
        return self._arrival_text

    def _remember(self, text: str) -> None:
        if len(self._seconds) >= _REMEMBERED_SECONDS:
            self._seconds.clear()
        self._seconds.add(text[:_SECOND])
        self._fractions.add(text[_SECOND:])

    def _set_bounds(self, arrival_ms: int) -> None:
        self._arrival_day = arrival_ms // _DAY_MS
        today = _moment(arrival_ms)
        self._oldest = _text(today - datetime.timedelta(days=OLDEST_DAYS))[:10]
        self._newest = _text(min(today, _LAST_BOUND) + datetime.timedelta(days=NEWEST_DAYS))[:10]
        self._seconds.clear()


def _moment(time_ms: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(time_ms / 1000, datetime.UTC)


def _text(moment: datetime.datetime) -> str:
    return (
        moment.isoformat(timespec="microseconds" if moment.microsecond % 1000 else "milliseconds")[:-6] + "Z"
    )
