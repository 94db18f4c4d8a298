"""How a record becomes the cells of a row: the whole of it in one column, or each field in its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from consumer.domain.records import Record
from consumer.settings.schema import METADATA_COLUMNS, Column
from consumer.sinks.bigquery.rows.metadata import Metadata
from consumer.sinks.bigquery.rows.reshape import Reshaper
from consumer.sinks.bigquery.rows.size import SURE_BYTES, check_members, check_values
from consumer.sinks.bigquery.rows.times import PartitionTimes
from consumer.sinks.json.fields import Fields, Key, Time
from consumer.sinks.json.members import json_text, set_member

_encode = msgspec.json.Encoder().encode

_TIMESTAMP_BYTES = 8
_TEXT_BYTES = 2
"""Of a value, beside its characters. https://cloud.google.com/bigquery/pricing#data"""


@dataclass(frozen=True, slots=True)
class Wrapping:
    """What a method wants around a row, and of a JSON column's value."""

    has_id: bool
    json_as_text: bool


INSERT_ALL = Wrapping(has_id=True, json_as_text=True)
LINES = Wrapping(has_id=False, json_as_text=False)
"""One object a line. https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-json"""


@dataclass(frozen=True, slots=True)
class RowTemplate:
    """A row as JSON text around what comes from its record: `before_key` key `before_time` time `before_log` the record
    as text `end`; or, where `is_whole`, `before_key` the record `end`."""

    before_key: bytes
    before_time: bytes
    before_log: bytes
    end: bytes
    is_whole: bool
    times: PartitionTimes
    bytes_beside: int
    """What BigQuery counts beside the record and, where that is not whole, the key."""


class RowShape(Protocol):
    """How records become rows; `times` reads their times."""

    times: PartitionTimes

    def template(self) -> RowTemplate | None:
        """For records that need nothing else: their times are in BigQuery's own notation. None where there are none."""

    def is_the_record(self) -> bool:
        """Whether a row is its record, but for the metadata columns, for a time in another notation, and for fields
        without a column."""

    def cells(self, record: Record, fields: Fields) -> tuple[Any, int]:
        """The object with the row's columns, as msgspec encodes it, and the size of the values in it, about as BigQuery
        counts them. `fields` are the record's. Raises BadRecord, and nothing else."""


class LogRow:
    """`row = log`: the key, the time, and the whole record as text for a JSON column."""

    def __init__(
        self,
        *,
        key_column: str,
        time_column: str,
        times: PartitionTimes,
        wrapping: Wrapping = INSERT_ALL,
        metadata: Metadata | None = None,
    ) -> None:
        self.times = times
        self._as_text = wrapping.json_as_text
        self._metadata = metadata
        columns = [key_column, time_column, "log", *(METADATA_COLUMNS if metadata else ())]
        self._columns = columns
        names = [f"column_{number}" for number in range(len(columns))]
        self._cells: Callable[..., Any] = msgspec.defstruct(
            "LogCells", names, rename=dict(zip(names, columns, strict=True)), gc=False
        )

    def template(self) -> RowTemplate | None:
        if self._metadata is not None or not self._as_text or not self.times.is_iso8601:
            return None
        key, time, log = map(_encode, self._columns)
        beside = _TIMESTAMP_BYTES + _TEXT_BYTES
        return RowTemplate(b"{%b:" % key, b',%b:"' % time, b'",%b:"' % log, b'"}', False, self.times, beside)

    def is_the_record(self) -> bool:
        return False

    def cells(self, record: Record, fields: Fields) -> tuple[Any, int]:
        key, data = key_text(fields.key), record.data
        time = self.times.text(fields.route_time, record.arrival_ms)
        log = json_text(data) if self._as_text else msgspec.Raw(data)
        size = len(data) + len(key or "") + _TIMESTAMP_BYTES + _TEXT_BYTES
        if self._metadata is None:
            return self._cells(key, time, log), size
        return self._cells(key, time, log, *self._metadata.values(record)), size


class FieldsRow:
    """`row = fields`: the record itself is the row. Its bytes are spliced in as they came, unless the partition
    column has to be filled or put into BigQuery's notation, or the columns ask for more (Reshaper)."""

    def __init__(
        self,
        *,
        time_field: str,
        time_column: str,
        times: PartitionTimes,
        columns: Sequence[Column] = (),
        metadata: Metadata | None = None,
        reshaper: Reshaper | None = None,
    ) -> None:
        """`columns` are those of the schema file."""
        self._columns = columns
        self._column = time_column
        self._column_is_own = time_field == time_column
        self.times = times
        self._metadata = metadata
        self._reshape = reshaper if reshaper is not None and reshaper.is_needed else None

    def template(self) -> RowTemplate | None:
        if self._metadata is not None or self._reshape is not None or not self.is_the_record():
            return None
        return RowTemplate(b"", b"", b"", b"", True, self.times, 0)

    def is_the_record(self) -> bool:
        is_reshaped = self._reshape is not None and self._reshape.rewrites
        return not is_reshaped and self._column_is_own and self.times.is_iso8601

    def cells(self, record: Record, fields: Fields) -> tuple[Any, int]:
        data = record.data
        if len(data) > SURE_BYTES:
            check_members(data)
            check_values(data, self._columns)
        if self._reshape is not None:
            data = self._reshape(data)
        moment = self.times.own_time(fields.route_time, record.arrival_ms)
        data = self._timed(data, record, fields.time, moment)
        if self._metadata is not None:
            data = self._metadata.spliced(data, record)
        return msgspec.Raw(data), len(data)

    def _timed(self, data: bytes, record: Record, time: Time, moment: str | None) -> bytes:
        if self._column_is_own and time is not None and moment == time:
            return data
        return self._with_time(data, moment or self.times.arrival_time(record.arrival_ms))

    def _with_time(self, data: bytes, moment: str) -> bytes:
        return set_member(data, self._column, _encode(moment), replace=self._column_is_own)


def key_text(key: Key) -> str | None:
    """The key as a STRING column has it: as it is spelled, where it is no text."""
    return bytes(key).decode() if isinstance(key, msgspec.Raw) else key
