"""Cutting rows into insertAll requests."""

from collections.abc import Iterator
from dataclasses import dataclass

from consumer.domain.dead_letters import Rejection
from consumer.sinks.bigquery.rows import TableRows

_HEAD = b'{"skipInvalidRows":true,"rows":['
_HEAD_IGNORING = b'{"skipInvalidRows":true,"ignoreUnknownValues":true,"rows":['
_TAIL = b"]}"
_CONTENT = b'"json":'

LEAST_BILLED_BYTES = 1024
"""insertAll bills a smaller row as one of this size: https://cloud.google.com/bigquery/pricing#data_ingestion_pricing"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """BigQuery recommends 500 rows and refuses more than 10 MB."""

    max_rows: int
    max_bytes: int

    @property
    def max_row_bytes(self) -> int:
        return self.max_bytes - len(_HEAD_IGNORING) - len(_TAIL)


@dataclass(frozen=True, slots=True)
class InsertRequest:
    """Rows for one table; `indices` are those of their records in the chunk."""

    table: str
    indices: tuple[int, ...]
    rows: tuple[bytes, ...]

    def body(self, *, ignore_unknown: bool = False) -> bytes:
        """With `ignore_unknown`, fields without a column are left out; otherwise they make their row invalid."""
        # with skipInvalidRows a bad row costs nothing but itself: without it every neighbour is sent twice
        head = _HEAD_IGNORING if ignore_unknown else _HEAD
        return b"%b%b%b" % (head, b",".join(self.rows), _TAIL)

    def billed_bytes(self) -> int:
        """What the rows count for, by their JSON: the sizes that BigQuery takes are those of its column types."""
        if not self.rows:
            return 0
        # the sequence numbers of neighbours are of one length, and so are their insertIds
        wrapping = self.rows[0].index(_CONTENT) + len(_CONTENT) + 1
        least = LEAST_BILLED_BYTES + wrapping
        return sum([max(len(row), least) for row in self.rows]) - wrapping * len(self.rows)

    def keep(self, places: list[int]) -> "InsertRequest":
        """The rows at these places, as a request of their own."""
        return InsertRequest(
            self.table, tuple(self.indices[i] for i in places), tuple(self.rows[i] for i in places)
        )


def cut(table: str, rows: TableRows, limits: RequestLimits) -> tuple[list[InsertRequest], list[Rejection]]:
    """Requests within the limits, in shard order, and the rows that are too large for any request."""
    requests = [
        InsertRequest(table, tuple(rows.indices[i] for i in places), tuple(rows.rows[i] for i in places))
        for places in _slices(rows, limits)
    ]
    largest = limits.max_row_bytes
    rejections = [
        Rejection(index, "too_large", f"a row of {len(row)} bytes; BigQuery takes {largest}")
        for index, row in zip(rows.indices, rows.rows, strict=True)
        if len(row) > largest
    ]
    return requests, rejections


def _slices(rows: TableRows, limits: RequestLimits) -> Iterator[list[int]]:
    largest, most = limits.max_row_bytes, limits.max_rows
    places: list[int] = []
    size = 0
    for place, row in enumerate(rows.rows):
        length = len(row) + 1  # the comma
        if length > largest + 1:
            continue
        if places and (len(places) >= most or size + length > largest):
            yield places
            places, size = [], 0
        places.append(place)
        size += length
    if places:
        yield places
