"""Where a record belongs, by the daemon's own rules: the table of its key, and its own time; and with what it is
compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, cast

from consumer.domain.columns import PART_RECORDS
from consumer.domain.routing import table_names, time_parser
from consumer.operate.reconcile.compare import UNTIMED, Bucket
from consumer.operate.reconcile.spans import MINUTE_MS, Scope, spans
from consumer.operate.reconcile.stored_rows import Row
from consumer.settings import Settings
from consumer.sinks.bigquery.rows.bad_record import BadRecord
from consumer.sinks.bigquery.rows.build import reader_of, routes_of
from consumer.sinks.bigquery.rows.shapes import key_text
from consumer.sinks.json.fields import Fields, Key

NO_TABLE = ""
_MOST_PARTS = 64
_MOST_BUCKETS = 200_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Place(NamedTuple):
    """`table` is NO_TABLE for what no table takes; `time_us` is the record's own time in microseconds since the epoch,
    None where it has none."""

    table: str
    key: str | None
    time_us: int | None


_NOWHERE = Place(NO_TABLE, None, None)


class Placer:
    """`settings` are those of BigQuery."""

    def __init__(self, settings: Settings) -> None:
        self._reader = reader_of(settings)
        self._routes = routes_of(settings)
        self._parse = time_parser(settings.text("record.time_format"))

    def places(self, records: Sequence[bytes] | Sequence[Row]) -> Iterator[Place]:
        """Of each of them, in order: payloads, or rows of S3."""
        if records and isinstance(records[0], Row):
            for row in cast(Sequence[Row], records):
                yield Place(self._table(row.key), row.key, row.time_us)
            return
        payloads = cast(Sequence[bytes], records)
        for begin in range(0, len(payloads), PART_RECORDS):
            fields, _ = self._reader.read(payloads[begin : begin + PART_RECORDS])
            yield from map(self._place, fields)

    def _place(self, fields: Fields | None) -> Place:
        if fields is None:
            return _NOWHERE
        time = None if fields.time is None else self._parse(fields.time)
        time_us = None if time is None else (time - _EPOCH) // _MICROSECOND
        return Place(self._table(fields.key), key_text(fields.key), time_us)

    def _table(self, key: Key) -> str:
        try:
            return self._routes.find(key)
        except BadRecord:
            return NO_TABLE


class Filing:
    """In which bucket of the scope a record is counted. `parts` as compare.Bucket has them: as many as leave the number
    of buckets within bounds, however long the range."""

    def __init__(self, settings: Settings, scope: Scope, *, rows_have_times: bool = False) -> None:
        """`settings` are those of BigQuery. With `rows_have_times` a row of S3 tells the arrival of a record without a
        time of its own, as one of BigQuery does, and so does a dead letter of either."""
        self.scope = scope
        self._rows_have_times = rows_have_times
        self._placer = Placer(settings)
        prefix, digits = settings.text("bigquery.table_prefix"), settings.integer("bigquery.key_digits")
        places = len(table_names(prefix, digits)) * len(
            list(spans(scope.partition, scope.begin_ms, scope.end_ms))
        )
        self.parts = max(1, min(_MOST_PARTS, _MOST_BUCKETS // places))

    def filed(
        self, payloads: Sequence[bytes] | Sequence[Row], arrival_ms: int
    ) -> Iterator[tuple[Bucket, Place] | None]:
        """Of records that arrived then, or in the span of that time; None for those outside of the scope."""
        for place in self._placer.places(payloads):
            if place.time_us is None and self._rows_have_times:
                place = place._replace(time_us=arrival_ms * 1000)
            own_ms = None if place.time_us is None else place.time_us // 1000
            span = self.scope.span_of(own_ms, arrival_ms)
            if span is None:
                yield None
                continue
            part = UNTIMED if own_ms is None else own_ms // MINUTE_MS % self.parts
            yield Bucket(place.table, span, part), place
