"""The partition column: a timestamp that BigQuery takes, from the record's own time or from its arrival."""

import datetime
import re
from collections.abc import Sequence
from typing import Any

from consumer.domain.routing import TimeParser
from consumer.native.library import RowRules

OLDEST_DAYS = 10 * 365
NEWEST_DAYS = 365
"""BigQuery refuses rows for partitions further from the present:
https://cloud.google.com/bigquery/docs/streaming-data-into-bigquery#streaming_into_partitioned_tables"""


_DAY_MS = 86_400_000
_OWN_NOTATION = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{3})?Z").fullmatch
_SECOND = len("2001-02-03T04:05:06")
_REMEMBERED_SECONDS = 10_000
_NOTHING = re.compile(r"(?!)").fullmatch

_OWN_SHAPES = {len(shape): shape for shape in (b"0000-00-00T00:00:00Z\n", b"0000-00-00T00:00:00.000Z\n")}
_ANY_DIGIT_IS_0 = bytes.maketrans(b"123456789", b"000000000")


_LAST_BOUND = datetime.datetime.max.replace(tzinfo=datetime.UTC) - datetime.timedelta(days=NEWEST_DAYS)


class OutOfRange(ValueError):
    """The time lies outside the partitions that BigQuery takes rows for."""


class PartitionTimes:
    """Canonical RFC 3339 texts. The present is the record's arrival, so that a replay decides alike."""

    def __init__(self, parse: TimeParser, *, iso8601: bool) -> None:
        """`iso8601` tells that `parse` reads nothing else, so that a text in BigQuery's own notation means to
        BigQuery what it means to `parse`: a strptime pattern may put the day before the month."""
        self._parse = parse
        self._own_notation = _OWN_NOTATION if iso8601 else _NOTHING
        self.is_iso8601 = iso8601
        self._arrival_ms = -1
        self._arrival_text = ""
        self._arrival_day = -1
        self._oldest = self._newest = ""
        self._seconds: set[str] = set()
        self._fractions: set[str] = set()

    def texts(self, values: Sequence[Any], arrivals_ms: Sequence[int]) -> Sequence[str]:
        """`own_times`, with the text for its arrival where a record has no time."""
        own = self.own_times(values, arrivals_ms)
        if own is values:
            return values
        return [
            text or self.arrival_time(arrival_ms) for text, arrival_ms in zip(own, arrivals_ms, strict=True)
        ]

    def own_times(self, values: Sequence[Any], arrivals_ms: Sequence[int]) -> Sequence[str | None]:
        """`own_time` of each; `values` itself where all of them come out as they are. Raises OutOfRange where any
        does."""
        if self.is_iso8601 and values and self._all_as_they_are(values, arrivals_ms):
            return values
        return list(map(self.own_time, values, arrivals_ms))

    def _all_as_they_are(self, values: Sequence[Any], arrivals_ms: Sequence[int]) -> bool:
        """Whether `own_time` gives each of them back unchanged, found out of all at once; False where it may not."""
        try:
            lines = "\n".join([*values, ""]).encode("ascii")
            shape = _OWN_SHAPES[len(values[0]) + 1]
        except (TypeError, UnicodeEncodeError, KeyError):  # not all are texts, for one
            return False
        if lines.translate(_ANY_DIGIT_IS_0) != shape * len(values):
            return False
        earliest_ms, latest_ms = min(arrivals_ms), max(arrivals_ms)
        if earliest_ms // _DAY_MS != latest_ms // _DAY_MS:
            return False
        if latest_ms // _DAY_MS != self._arrival_day:
            self._set_bounds(latest_ms)
        # digits were seen to stand where a fraction has them, so what is left to look at are the seconds
        unknown = {value[:_SECOND] for value in values} - self._seconds
        return all(self.own_time(f"{second}Z", latest_ms) is not None for second in unknown)

    def own_time(self, value: Any, arrival_ms: int) -> str | None:
        """The text for a record's time value, None where it holds no time; raises OutOfRange.

        A value in BigQuery's own notation comes out as it is; others that the parser takes are put into it.
        """
        if arrival_ms // _DAY_MS != self._arrival_day:
            self._set_bounds(arrival_ms)
        # a second and a fraction that were each part of a good text make a good one together
        if value.__class__ is str and value[:_SECOND] in self._seconds and value[_SECOND:] in self._fractions:
            return value
        moment = None if value is None else self._parse(value)
        if moment is None:
            return None
        is_own = value.__class__ is str and self._own_notation(value) is not None
        text: str = value if is_own else _text(moment)
        # years have four digits, so days compare as texts do
        if not self._oldest <= text[:10] <= self._newest:
            raise OutOfRange(f"time {text} is too far from arrival {self.arrival_time(arrival_ms)}")
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
