"""Rows that a former version of the rules has written: which records it may have judged otherwise by their times."""

import datetime
from collections.abc import Sequence

from consumer.domain.dead_letters import Rejection
from consumer.domain.records import Record
from consumer.domain.routing import time_parser
from consumer.domain.unread_times import Unread
from consumer.sinks.bigquery.arrow_rows.arrow import Batch
from consumer.sinks.bigquery.arrow_rows.log_rows import Made, RowMaker, Rows
from consumer.sinks.bigquery.arrow_rows.rules import Rules
from consumer.sinks.bigquery.rows.build import reader_of
from consumer.sinks.bigquery.rows.reading import fields_of
from consumer.sinks.json.fields import Time

LAST_VERSION = 2
"""It read ISO 8601 as Python does, and with `row = fields` left what was no time to the column."""


class EarlierTimes:
    """A row maker by rules of LAST_VERSION or before, which also rejects the records in doubt (`judged_otherwise`)."""

    def __init__(self, maker: RowMaker, rules: Rules) -> None:
        self._maker = maker
        self.schema = maker.schema
        self._reader = reader_of(rules)
        time_format = rules.text("record.time_format")
        self._parse, self._is_iso8601 = time_parser(time_format), time_format == "iso8601"
        self._was_left_to_column = rules.text("bigquery.row") == "fields"

    def make(self, records: Sequence[Record], indices: Sequence[int]) -> Made:
        tables, rejections = self._maker.make(records, indices)
        detail = "its time was read otherwise"
        in_doubt = [
            Rejection(index, "judged_otherwise", detail)
            for index, _, fields in fields_of(self._reader, records, indices, [])
            if fields.time is not None and self._is_in_doubt(fields.time)
        ]
        return tables, [*rejections, *in_doubt]

    def batch(self, rows: Rows) -> Batch:
        return self._maker.batch(rows)

    def take_unread(self) -> Unread | None:
        return self._maker.take_unread()

    def _is_in_doubt(self, time: Time) -> bool:
        moment = self._parse(time)
        if moment is None and self._was_left_to_column:
            return True
        return self._is_iso8601 and isinstance(time, str) and moment != _as_before(time)


def _as_before(text: str) -> datetime.datetime | None:
    try:
        moment = datetime.datetime.fromisoformat(text)
        return (
            moment.replace(tzinfo=datetime.UTC) if moment.tzinfo is None else moment.astimezone(datetime.UTC)
        )
    except (ValueError, OverflowError):
        return None
