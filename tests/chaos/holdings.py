"""Reads what the backends hold: all of it for the checker, and cheaply in between."""

from collections.abc import Iterator, Mapping

from consumer.local.readback import BigQueryReader, S3Reader, dead_letters, records_named
from consumer.local.stack import Stack
from consumer.settings import Settings
from consumer.settings.table import Backend
from tests.chaos.checker import Held, Tally, check
from tests.chaos.journal import Journal


class Holdings:
    """The objects, tables and dead letters of both backends, where their settings put them. Calls block."""

    def __init__(self, stack: Stack, settings: Mapping[Backend, Settings]) -> None:
        self._objects = S3Reader(stack, settings["s3"].text("s3.prefix"))
        self._tables = BigQueryReader(
            stack, time_column=settings["bigquery"].text("bigquery.partition_field")
        )
        self._prefix = settings["bigquery"].text("bigquery.table_prefix")
        self._letters = {
            backend: S3Reader(stack, f"{one['deadletter.prefix']}{one['applicationName']}/")
            for backend, one in settings.items()
        }

    def count(self, backend: Backend) -> int:
        """Records that have arrived, by the names of objects or by a count of rows: for progress only.

        For BigQuery without its dead letters.
        """
        if backend == "s3":
            return records_named([*self._objects.keys(), *self._letters["s3"].keys()])
        return self._tables.count(self._prefix)

    def tally(self, backend: Backend, journal: Journal) -> Tally:
        """Compare everything with the journal, which must not grow meanwhile."""
        delivered = self._lines() if backend == "s3" else self._rows()
        return check(journal, backend, delivered=delivered, dead_letters=self._dead(backend))

    def objects(self) -> int:
        """Objects, without dead letters."""
        return len(self._objects.keys())

    def _lines(self) -> Iterator[Held]:
        for key, lines in self._objects.objects():
            yield from (Held(line, key) for line in lines)

    def _rows(self) -> Iterator[Held]:
        for row in self._tables.rows():
            yield Held(row.log, row.table)

    def _dead(self, backend: Backend) -> Iterator[Held]:
        for key, lines in self._letters[backend].objects():
            yield from (Held(letter.payload, key, letter.reason) for letter in dead_letters(lines))
