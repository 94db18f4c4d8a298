"""Looks at what both backends hold: cheaply while records flow, completely at the end."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from consumer.domain.routing import time_parser
from consumer.local.readback import BigQueryReader, S3Reader, dead_letters, records_named
from consumer.local.stack import Stack
from consumer.local.verify import Placement, Result, Verifier
from consumer.local.waits import unread
from consumer.settings import Settings
from consumer.settings.table import Backend


@dataclass(frozen=True, slots=True)
class Seen:
    """Records that have reached a backend or its dead letters, as far as a cheap look tells."""

    s3: int
    bigquery: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """Both comparisons, and how much there was to read."""

    s3: Result
    bigquery: Result
    objects: int
    rows: Mapping[str, int]

    @property
    def tables(self) -> int:
        """Tables that hold rows."""
        return len(self.rows)

    @property
    def clean(self) -> bool:
        return self.s3.clean and self.bigquery.clean


class Witness:
    """Reads the backends of a stack where their settings say they write."""

    def __init__(self, stack: Stack, settings: Mapping[Backend, Settings]) -> None:
        self._stack = stack
        self._settings = settings["bigquery"]
        self._applications = {backend: str(settings[backend]["applicationName"]) for backend in settings}
        self._objects = S3Reader(stack, str(settings["s3"]["s3.prefix"]))
        self._tables = BigQueryReader(stack, time_column=str(self._settings["bigquery.partition_field"]))
        self._s3_letters = _letters(stack, settings["s3"])
        self._bigquery_letters = _letters(stack, settings["bigquery"])

    def look(self) -> Seen:
        """How much has arrived: by the names of objects, one count of rows, and the dead letters."""
        in_s3 = records_named([*self._objects.keys(), *self._s3_letters.keys()])
        rows = self._tables.count(str(self._settings["bigquery.table_prefix"]))
        aside = sum(1 for _ in self._bigquery_letters.lines())
        return Seen(in_s3, rows + aside)

    def verdict(self, records: Sequence[bytes], *, start: datetime, end: datetime) -> Verdict:
        """Read everything and compare it with what was put between `start` and `end`. What was not delivered is lost
        only where it is not on the stream behind the checkpoint any more either."""
        self._bigquery_letters.forget()
        verifier = Verifier(records)
        rows = list(self._tables.rows())
        return Verdict(
            verifier.s3(
                self._objects.lines(),
                dead_letters(self._s3_letters.lines()),
                unread(self._stack, self._applications["s3"]),
            ),
            verifier.bigquery(
                rows,
                dead_letters(self._bigquery_letters.lines()),
                self._placement(start, end),
                unread(self._stack, self._applications["bigquery"]),
            ),
            len(self._objects.keys()),
            Counter(row.table for row in rows),
        )

    def _placement(self, start: datetime, end: datetime) -> Placement:
        return Placement(
            table_prefix=str(self._settings["bigquery.table_prefix"]),
            key_digits=int(str(self._settings["bigquery.key_digits"])),
            key_field=str(self._settings["record.key_field"]),
            time_field=str(self._settings["record.time_field"]),
            parse_time=time_parser(str(self._settings["record.time_format"])),
            run_start=start,
            run_end=end,
        )


def _letters(stack: Stack, settings: Settings) -> S3Reader:
    return S3Reader(stack, f"{settings['deadletter.prefix']}{settings['applicationName']}/")
