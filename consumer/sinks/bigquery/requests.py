"""Cutting rows into insertAll requests."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

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
    rows, rejections = _without_too_large(rows, limits.max_row_bytes)
    requests = [
        InsertRequest(table, tuple(rows.indices[begin:end]), tuple(rows.rows[begin:end]))
        for begin, end in _ranges([len(row) + 1 for row in rows.rows], limits)  # a row and its comma
    ]
    return requests, rejections


def _without_too_large(rows: TableRows, largest: int) -> tuple[TableRows, list[Rejection]]:
    if max(map(len, rows.rows), default=0) <= largest:
        return rows, []
    kept = TableRows()
    rejections: list[Rejection] = []
    for index, row in zip(rows.indices, rows.rows, strict=True):
        if len(row) > largest:
            detail = f"a row of {len(row)} bytes; BigQuery takes {largest}"
            rejections.append(Rejection(index, "too_large", detail))
        else:
            kept.indices.append(index)
            kept.rows.append(row)
    return kept, rejections


def _ranges(sizes: Sequence[int], limits: RequestLimits) -> Iterator[tuple[int, int]]:
    """From each range's first row to the one after its last."""
    begin = 0
    while begin < len(sizes):
        end = min(begin + limits.max_rows, len(sizes))
        if sum(sizes[begin:end]) > limits.max_row_bytes:
            end = begin + max(1, bisect_right(list(accumulate(sizes[begin:end])), limits.max_row_bytes))
        yield begin, end
        begin = end
