"""Where a record belongs, by the daemon's own rules: the table of its key, and its own time; and with what it is
compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from consumer.domain.columns import PART_RECORDS
from consumer.domain.routing import table_names, time_parser
from consumer.operate.reconcile.compare import UNTIMED, Bucket
from consumer.operate.reconcile.spans import MINUTE_MS, Scope, spans
from consumer.settings import Settings
from consumer.sinks.bigquery.rows.bad_record import BadRecord
from consumer.sinks.bigquery.rows.build import reader_of, routes_of
from consumer.sinks.bigquery.rows.shapes import key_text
from consumer.sinks.json.fields import Fields

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

    def places(self, payloads: Sequence[bytes]) -> Iterator[Place]:
        """Of each of them, in order."""
        for begin in range(0, len(payloads), PART_RECORDS):
            fields, _ = self._reader.read(payloads[begin : begin + PART_RECORDS])
            yield from map(self._place, fields)

    def _place(self, fields: Fields | None) -> Place:
        if fields is None:
            return _NOWHERE
        time = None if fields.time is None else self._parse(fields.time)
        try:
            table = self._routes.find(fields.key)
        except BadRecord:
            table = NO_TABLE
        time_us = None if time is None else (time - _EPOCH) // _MICROSECOND
        return Place(table, key_text(fields.key), time_us)


class Filing:
    """In which bucket of the scope a record is counted. `parts` as compare.Bucket has them: as many as leave the number
    of buckets within bounds, however long the range."""

    def __init__(self, settings: Settings, scope: Scope) -> None:
        """`settings` are those of BigQuery."""
        self.scope = scope
        self._placer = Placer(settings)
        prefix, digits = settings.text("bigquery.table_prefix"), settings.integer("bigquery.key_digits")
        places = len(table_names(prefix, digits)) * len(
            list(spans(scope.partition, scope.begin_ms, scope.end_ms))
        )
        self.parts = max(1, min(_MOST_PARTS, _MOST_BUCKETS // places))

    def filed(self, payloads: Sequence[bytes], arrival_ms: int) -> Iterator[tuple[Bucket, Place] | None]:
        """Of records that arrived then, or in the span of that time; None for those outside of the scope."""
        for place in self._placer.places(payloads):
            own_ms = None if place.time_us is None else place.time_us // 1000
            span = self.scope.span_of(own_ms, arrival_ms)
            if span is None:
                yield None
                continue
            part = UNTIMED if own_ms is None else own_ms // MINUTE_MS % self.parts
            yield Bucket(place.table, span, part), place
