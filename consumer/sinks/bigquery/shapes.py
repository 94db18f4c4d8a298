"""How a record becomes the cells of a row: the whole of it in one column, or each field in its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from consumer.domain.records import Record
from consumer.settings.schema import METADATA_COLUMNS
from consumer.sinks.bigquery.metadata import Metadata
from consumer.sinks.bigquery.reshape import Reshaper
from consumer.sinks.bigquery.times import PartitionTimes
from consumer.sinks.members import set_member

_encode = msgspec.json.Encoder().encode

type Plan = Any
"""What a row shape has found out about a row. Opaque to all others."""


_TIMESTAMP_BYTES = 8
_TEXT_BYTES = 2
"""Of a value, beside its characters. https://cloud.google.com/bigquery/pricing#data"""


class BadKey(ValueError):
    """JSON allows half of a surrogate pair in a text (as `\\ud800`), UTF-8 and so BigQuery's columns do not."""


@dataclass(frozen=True, slots=True)
class Wrapping:
    """What a method wants around a row, and of a JSON column's value."""

    has_id: bool
    json_as_text: bool


INSERT_ALL = Wrapping(has_id=True, json_as_text=True)
LINES = Wrapping(has_id=False, json_as_text=False)
"""One object a line. https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-json"""


class RowShape(Protocol):
    """How records become rows."""

    def plan(self, record: Record, key: object, time: object) -> Plan:
        """Raises OutOfRange, BadKey or Unfit, and nothing else for a payload that RoutingReader took."""

    def cells(self, records: Sequence[Record], plans: Sequence[Plan]) -> list[Any]:
        """The objects with the rows' columns, as msgspec encodes them."""

    def content_bytes(self, records: Sequence[Record], plans: Sequence[Plan]) -> list[int]:
        """The sizes of the values in the rows' columns, about as BigQuery counts them."""


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
        self._times = times
        self._as_text = wrapping.json_as_text
        self._metadata = metadata
        columns = [key_column, time_column, "log", *(METADATA_COLUMNS if metadata else ())]
        names = [f"column_{number}" for number in range(len(columns))]
        self._cells: Callable[..., Any] = msgspec.defstruct(
            "LogCells", names, rename=dict(zip(names, columns, strict=True)), gc=False
        )

    def plan(self, record: Record, key: object, time: object) -> tuple[str | None, str]:
        arrival_ms = record.arrival_ms
        moment = self._times.own_time(time, arrival_ms) or self._times.arrival_time(arrival_ms)
        if isinstance(key, str) and key.isascii():
            return key, moment
        return key_text(key), moment

    def cells(self, records: Sequence[Record], plans: Sequence[tuple[str | None, str]]) -> list[Any]:
        cells = self._cells
        data = [record.data for record in records]
        logs: list[Any] = [one.decode() for one in data] if self._as_text else list(map(msgspec.Raw, data))
        if self._metadata is None:
            return [cells(key, time, log) for (key, time), log in zip(plans, logs, strict=True)]
        members = self._metadata.values
        return [
            cells(key, time, log, *members(record))
            for record, (key, time), log in zip(records, plans, logs, strict=True)
        ]

    def content_bytes(self, records: Sequence[Record], plans: Sequence[tuple[str | None, str]]) -> list[int]:
        beside = _TIMESTAMP_BYTES + _TEXT_BYTES
        return [
            len(record.data) + len(key or "") + beside
            for record, (key, _) in zip(records, plans, strict=True)
        ]


class FieldsRow:
    """`row = fields`: the record itself is the row. Its bytes are spliced in as they came, unless the partition
    column has to be filled or put into BigQuery's notation, or the columns ask for more (Reshaper)."""

    def __init__(
        self,
        *,
        time_field: str,
        time_column: str,
        times: PartitionTimes,
        metadata: Metadata | None = None,
        reshaper: Reshaper | None = None,
    ) -> None:
        self._column = time_column
        self._column_is_own = time_field == time_column
        self._times = times
        self._metadata = metadata
        self._reshape = reshaper if reshaper is not None and reshaper.is_needed else None

    def plan(self, record: Record, key: object, time: object) -> bytes:
        data = record.data if self._reshape is None else self._reshape(record.data)
        data = self._timed(data, record, time)
        return data if self._metadata is None else self._metadata.spliced(data, record)

    def cells(self, records: Sequence[Record], plans: Sequence[bytes]) -> list[Any]:
        return list(map(msgspec.Raw, plans))

    def content_bytes(self, records: Sequence[Record], plans: Sequence[bytes]) -> list[int]:
        return list(map(len, plans))

    def _timed(self, data: bytes, record: Record, time: object) -> bytes:
        moment = self._times.own_time(time, record.arrival_ms)
        if self._column_is_own and time is not None and (moment is None or moment == time):
            return data
        return self._with_time(data, moment or self._times.arrival_time(record.arrival_ms))

    def _with_time(self, data: bytes, moment: str) -> bytes:
        return set_member(data, self._column, _encode(moment), replace=self._column_is_own)


def key_text(key: object) -> str | None:
    """The key as a STRING column has it: JSON text, where it is no text. Raises BadKey."""
    if key is None:
        return None
    try:
        text = key if isinstance(key, str) else _encode(key).decode()
        if not text.isascii():
            text.encode()
    except UnicodeEncodeError as error:
        raise BadKey(f"the key is not Unicode: {error}") from None
    return text
