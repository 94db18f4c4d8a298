"""Cutting rows into insertAll requests."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Protocol

import msgspec

from consumer.domain.dead_letters import Rejection
from consumer.domain.records import Record
from consumer.sinks.bigquery.rows import TablePlans
from consumer.sinks.bigquery.shapes import Plan

LEAST_BILLED_BYTES = 1024
"""insertAll bills a smaller row as one of this size: https://cloud.google.com/bigquery/pricing#data_ingestion_pricing"""

ENVELOPE_BYTES = len(b'{"skipInvalidRows":true,"ignoreUnknownValues":false,"rows":[]}')

_ROW_FRAME_BYTES = 2_048
"""More than an insertId, a time, the daemon's own columns, and the names of all these: at most 300 characters each."""

_encode = msgspec.json.Encoder().encode


class Body(msgspec.Struct, kw_only=True, rename="camel", gc=False):
    """https://cloud.google.com/bigquery/docs/reference/rest/v2/tabledata/insertAll#request-body"""

    skip_invalid_rows: bool
    ignore_unknown_values: bool
    rows: Sequence[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """BigQuery recommends 500 rows and refuses more than 10 MB."""

    max_rows: int
    max_bytes: int

    @property
    def max_row_bytes(self) -> int:
        return self.max_bytes - ENVELOPE_BYTES


class RowMaker(Protocol):
    """What makes rows of their plans; a RowEncoder."""

    def rows(self, records: Sequence[Record], plans: Sequence[Plan]) -> list[Any]: ...

    def content_bytes(self, records: Sequence[Record], plans: Sequence[Plan]) -> list[int]: ...


@dataclass(frozen=True, slots=True)
class InsertRequest:
    """Rows for one table, made when they are sent; `indices` are those of their records in the chunk."""

    table: str
    indices: tuple[int, ...]
    plans: tuple[Plan, ...]
    records: Sequence[Record] = field(repr=False)
    maker: RowMaker = field(repr=False, compare=False)

    def rows(self) -> list[Any]:
        """As msgspec encodes them."""
        return self.maker.rows(self._own_records(), self.plans)

    def body(self, *, ignore_unknown: bool = False) -> bytes:
        """With `ignore_unknown`, fields without a column are left out; otherwise they make their row invalid."""
        # with skipInvalidRows a bad row costs nothing but itself: without it every neighbour is sent twice
        return _encode(Body(skip_invalid_rows=True, ignore_unknown_values=ignore_unknown, rows=self.rows()))

    def billed_bytes(self) -> int:
        """What the rows count for."""
        sizes = self.maker.content_bytes(self._own_records(), self.plans)
        return sum([max(size, LEAST_BILLED_BYTES) for size in sizes])

    def keep(self, places: Sequence[int]) -> "InsertRequest":
        """The rows at these places, as a request of their own."""
        return InsertRequest(
            self.table,
            tuple(self.indices[place] for place in places),
            tuple(self.plans[place] for place in places),
            self.records,
            self.maker,
        )

    def _own_records(self) -> list[Record]:
        records = self.records
        return [records[index] for index in self.indices]


def cut(
    table: str, plans: TablePlans, records: Sequence[Record], maker: RowMaker, limits: RequestLimits
) -> tuple[list[InsertRequest], list[Rejection]]:
    """Requests within the limits, in shard order, and the rows that are too large for any request."""
    whole = InsertRequest(table, tuple(plans.indices), tuple(plans.plans), records, maker)
    sizes = row_sizes(whole, limits.max_row_bytes)
    too_large = [place for place, size in enumerate(sizes) if size > limits.max_row_bytes]
    if not too_large:
        return [*_requests(whole, sizes, limits)], []
    fitting = [place for place, size in enumerate(sizes) if size <= limits.max_row_bytes]
    rejections = [
        Rejection(
            whole.indices[place],
            "too_large",
            f"a row of {sizes[place]} bytes; BigQuery takes {limits.max_row_bytes}",
        )
        for place in too_large
    ]
    return [*_requests(whole.keep(fitting), [sizes[place] for place in fitting], limits)], rejections


def row_sizes(request: InsertRequest, largest: int) -> list[int]:
    """What each row takes in the body at most; exactly, where that would be more than `largest`."""
    # at worst each character is escaped by a second one, in the record and in the key, which is a part of it
    sizes = [4 * len(request.records[index].data) + _ROW_FRAME_BYTES for index in request.indices]
    for place, size in enumerate(sizes):
        if size > largest:
            sizes[place] = len(_encode(request.keep([place]).rows()[0]))
    return sizes


def _requests(request: InsertRequest, sizes: Sequence[int], limits: RequestLimits) -> Iterator[InsertRequest]:
    for begin, end in _ranges([size + 1 for size in sizes], limits):  # a row and its comma
        yield request.keep(range(begin, end)) if end - begin < len(sizes) else request


def _ranges(sizes: Sequence[int], limits: RequestLimits) -> Iterator[tuple[int, int]]:
    """From each range's first row to the one after its last."""
    begin = 0
    while begin < len(sizes):
        end = min(begin + limits.max_rows, len(sizes))
        if sum(sizes[begin:end]) > limits.max_row_bytes:
            end = begin + max(1, bisect_right(list(accumulate(sizes[begin:end])), limits.max_row_bytes))
        yield begin, end
        begin = end
