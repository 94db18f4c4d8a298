"""Asks a table whether it takes a row, by appends to streams that nobody commits."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from consumer.domain.errors import RequestRefused
from consumer.domain.records import Record
from consumer.sinks.bigquery.arrow_rows.log_rows import RowMaker
from consumer.sinks.bigquery.arrow_rows.rules import Rules
from consumer.sinks.bigquery.storage_write.answers import CallFailed, delivery_error
from consumer.sinks.bigquery.table_check import table_refuses

if TYPE_CHECKING:  # it needs gRPC, which starts threads: no fork may come after that
    from consumer.sinks.bigquery.storage_write.writer import Writer


class SampleAppends:
    """One stream a table for as long as it lasts: Google allows 10,000 new ones an hour for a whole region."""

    def __init__(self, writer: "Writer", rules: Rules, maker: RowMaker, sample: Callable[[], Record]) -> None:
        """`sample` makes a record that fits every column."""
        self._writer = writer
        self._rules = rules
        self._maker = maker
        self._sample = sample
        self._streams: dict[str, tuple[str, int]] = {}
        """By table; the number is how many rows it has."""

    def check_table(self, table: str) -> None:
        """Raises SetupError where the table refuses the sample, or what `delivery_error` makes of no answer. Where no
        record makes a row there is nothing to ask."""
        made, _ = self._maker.make([self._sample()], [0])
        for rows in made.values():
            # taken out until it is known how many rows it has
            stream, offset = self._streams.pop(table) if table in self._streams else self._opened(table)
            try:
                self._writer.append(stream, offset, self._maker.schema, self._maker.batch(rows))
            except CallFailed as failure:
                if failure.rows:  # nothing was written
                    self._streams[table] = stream, offset
                    raise table_refuses(table, failure.rows[0].message) from failure
                error = delivery_error(failure, table)
                if isinstance(error, RequestRefused):
                    raise table_refuses(table, str(failure)) from failure
                raise error from failure
            finally:
                self._writer.forget(stream)
            self._streams[table] = stream, offset + 1

    def _opened(self, table: str) -> tuple[str, int]:
        try:
            return self._writer.create(self._rules.table_path(table), committed=False), 0
        except CallFailed as failure:
            raise delivery_error(failure, table) from failure
