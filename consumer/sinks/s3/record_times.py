"""Records' own times, for partitions by them."""

import ctypes
from array import array
from collections.abc import Sequence
from typing import Any

from consumer.domain.columns import PART_RECORDS, Records
from consumer.domain.routing import epoch_ms, time_parser
from consumer.domain.unread_times import UnreadTimes
from consumer.native import library
from consumer.sinks.json.fields import FieldReader
from consumer.sinks.json.rule import Limits

_NO_NAME = b'"'
"""A quote stands in no name as it is."""


class RecordTimes:
    """Finds them; arrival is the fallback."""

    def __init__(self, *, time_field: str, time_format: str, max_depth: int) -> None:
        """`time_format` as time_parser takes it; JSON may have `max_depth` levels."""
        self._reader = FieldReader(key_field=None, time_field=time_field, limits=Limits(max_depth=max_depth))
        self._parse = time_parser(time_format)
        self.unread = UnreadTimes()
        self._native = library.load() if time_format == "iso8601" else None
        self._texts = library.Texts()
        self._rules = library.RowRules(
            key_name=self._texts.span(time_field.encode()),
            time_name=self._texts.span(_NO_NAME),
            oldest_day=_day(b"0001-01-01"),
            newest_day=_day(b"9999-12-31"),
        )

    def times_ms(self, records: Records) -> "array[int]":
        """Of each of them, in milliseconds since the epoch."""
        times = array("q", records.arrivals())
        unsure: Sequence[int] = range(len(times)) if self._native is None else self._found(records, times)
        if not unsure:
            return times
        # what is refused here, or has two times, has that of its arrival
        for start in range(0, len(unsure), PART_RECORDS):
            some = unsure[start : start + PART_RECORDS]
            fields, _ = self._reader.read(records.payloads(some))
            for index, field in zip(some, fields, strict=True):
                if field is None or field.time is None:
                    continue
                time = self._parse(field.time)
                if time is None:
                    self.unread.add(field.time)
                else:
                    times[index] = epoch_ms(time)
        return times

    def _found(self, records: Records, times: "array[int]") -> Sequence[int]:
        """Fills in the times that the C library is sure of; the indices of the others."""
        native: Any = self._native
        unsure: list[int] = []
        some = array("I", bytes(4 * max(map(len, records.parts), default=0)))
        first = 0
        for part in records.parts:
            at = library.address(times) + first * times.itemsize
            count = native.find_times(self._rules, library.columns_of(part), first, at, library.address(some))
            unsure += some[:count]
            first += len(part)
        return unsure


def _day(text: bytes) -> Any:
    return (ctypes.c_ubyte * len(text))(*text)
