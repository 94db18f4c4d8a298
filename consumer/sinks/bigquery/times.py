"""The partition column: a timestamp that BigQuery takes, from the record's own time or from its arrival."""

import datetime

from consumer.domain.routing import TimeParser

OLDEST_DAYS = 10 * 365
NEWEST_DAYS = 365
"""BigQuery refuses rows for partitions further from the present:
https://cloud.google.com/bigquery/docs/streaming-data-into-bigquery#streaming_into_partitioned_tables"""


class OutOfRange(ValueError):
    """The time lies outside the partitions that BigQuery takes rows for."""


class PartitionTimes:
    """Canonical RFC 3339 texts. The present is the record's arrival, so that a replay decides alike."""

    def __init__(self, parse: TimeParser) -> None:
        self._parse = parse
        self._arrival_ms = -1
        self._arrival = datetime.datetime.fromtimestamp(0, datetime.UTC)
        self._arrival_text = ""
        self._oldest = self._newest = self._arrival

    def own_time(self, value: object, arrival_ms: int) -> str | None:
        """The text for a record's time value, None where it holds no time; raises OutOfRange.

        A value in BigQuery's own notation comes out as it is. Others do not, however alike: the parsers take more
        forms than BigQuery, and a strptime pattern may put the day before the month.
        """
        if value is None:
            return None
        moment = self._parse(value)
        if moment is None:
            return None
        if arrival_ms != self._arrival_ms:
            self._set_arrival(arrival_ms)
        if not self._oldest <= moment <= self._newest:
            raise OutOfRange(f"time {moment.isoformat()} is too far from arrival {self._arrival_text}")
        text = _text(moment)
        without_fraction = f"{text[:19]}Z"
        return without_fraction if value == without_fraction else text

    def arrival_time(self, arrival_ms: int) -> str:
        if arrival_ms != self._arrival_ms:
            self._set_arrival(arrival_ms)
        return self._arrival_text

    def _set_arrival(self, arrival_ms: int) -> None:
        # neighbours in a batch mostly share their arrival, so one remembered value is a good cache
        self._arrival_ms = arrival_ms
        self._arrival = datetime.datetime.fromtimestamp(arrival_ms / 1000, datetime.UTC)
        self._arrival_text = _text(self._arrival)
        self._oldest = self._arrival - datetime.timedelta(days=OLDEST_DAYS)
        self._newest = self._arrival + datetime.timedelta(days=NEWEST_DAYS)


def _text(moment: datetime.datetime) -> str:
    return (
        moment.isoformat(timespec="microseconds" if moment.microsecond % 1000 else "milliseconds")[:-6] + "Z"
    )
