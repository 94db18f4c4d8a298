"""Rows as insertAll requests, within its limits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from consumer.domain.dead_letters import Rejection
from consumer.domain.records import Record
from consumer.sinks.bigquery.rows.encoder import TableSlice

LEAST_BILLED_BYTES = 1024
"""insertAll bills a smaller row as one of this size: https://cloud.google.com/bigquery/pricing#data_ingestion_pricing"""

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What a body says beside its rows. With `ignore_unknown_values`, fields without a column are left out; otherwise
    they make their row invalid.
    https://cloud.google.com/bigquery/docs/reference/rest/v2/tabledata/insertAll#request-body"""

    skip_invalid_rows: bool
    ignore_unknown_values: bool

    def head(self) -> bytes:
        """A body up to where its rows begin."""
        skip, ignore = _encode(self.skip_invalid_rows), _encode(self.ignore_unknown_values)
        return b'{"skipInvalidRows":%b,"ignoreUnknownValues":%b,"rows":' % (skip, ignore)


ENVELOPE_BYTES = len(Envelope(skip_invalid_rows=True, ignore_unknown_values=False).head()) + len("[]}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """BigQuery recommends 500 rows and refuses more than 10 MB."""

    max_rows: int
    max_bytes: int

    @property
    def max_row_bytes(self) -> int:
        return self.max_bytes - ENVELOPE_BYTES


class RowMaker(Protocol):
    """What makes rows of records; a RowEncoder."""

    def slices(
        self, records: Sequence[Record], indices: Sequence[int], rejections: list[Rejection]
    ) -> Iterator[TableSlice]: ...

    def rows(self, records: Sequence[Record], cells: Sequence[Any]) -> Sequence[Any]: ...


@dataclass(frozen=True, slots=True)
class InsertRequest:
    """Rows for one table: `indices` are those of their records in the chunk's, `billed_bytes` what they count for."""

    table: str
    indices: Sequence[int]
    body: bytes | bytearray
    billed_bytes: int
    records: Sequence[Record] = field(repr=False)
    maker: "RequestMaker" = field(repr=False, compare=False)

    def keep(self, places: Sequence[int]) -> "InsertRequest":
        """The rows at these places, at least one, as a request of their own."""
        return self.maker.request(self.records, [self.indices[place] for place in places])

    def body_with(self, row: bytes) -> bytes:
        """The body with one more row at its end."""
        return bytes(self.body[:-2]) + b",%b]}" % row


class RequestMaker:
    """Makes requests of records."""

    def __init__(self, rows: RowMaker, limits: RequestLimits, envelope: Envelope) -> None:
        self._rows = rows
        self.limits = limits
        self.head = envelope.head()

    def requests(
        self, records: Sequence[Record], indices: Sequence[int]
    ) -> tuple[list[InsertRequest], list[Rejection]]:
        """Of `records[i]` for the given indices: requests by table, each table's in shard order, and the records that
        no table takes or no request has room for."""
        rejections: list[Rejection] = []
        tables: dict[str, _Table] = {}
        for some in self._rows.slices(records, indices, rejections):
            table = tables.get(some.table)
            if table is None:
                table = tables[some.table] = _Table(some.table, records, self)
            rejections += table.add(some)
        for table in tables.values():
            table.close()
        return [request for _, table in sorted(tables.items()) for request in table.requests], rejections

    def request(self, records: Sequence[Record], indices: Sequence[int]) -> InsertRequest:
        """Of records that have been in one request before."""
        [request], _ = self.requests(records, indices)
        return request

    def rows_of(self, some: TableSlice) -> Sequence[Any]:
        """As msgspec encodes them."""
        return self._rows.rows(some.records, some.cells)

    def billed_bytes(self, some: TableSlice, begin: int, end: int) -> int:
        """What the rows from one place to before another count for."""
        sizes = some.content_bytes[begin:end]
        if max(sizes) <= LEAST_BILLED_BYTES:
            return LEAST_BILLED_BYTES * len(sizes)
        return sum([max(size, LEAST_BILLED_BYTES) for size in sizes])


class _Table:
    """The requests of one table, the last of them still open."""

    def __init__(self, name: str, records: Sequence[Record], maker: RequestMaker) -> None:
        self._name = name
        self._records = records
        self._maker = maker
        self._body = OpenBody(maker.head)
        self._indices: list[int] = []
        self._billed_bytes = 0
        self.requests: list[InsertRequest] = []

    def add(self, some: TableSlice) -> Iterator[Rejection]:
        """Yields those that are too large for any request."""
        rows = self._maker.rows_of(some)
        limits = self._maker.limits
        begin, most = 0, limits.max_rows
        may_be_too_many = sum(some.content_bytes) > limits.max_bytes
        while begin < len(rows):
            end = min(begin + most, begin + limits.max_rows - len(self._indices), len(rows))
            if may_be_too_many:
                end = _end_within(some.content_bytes, begin, end, limits.max_bytes - self._body.size)
            if self._body.add(rows[begin:end], limits.max_bytes):
                self._took(some, begin, end)
                begin, most = end, limits.max_rows
            elif self._indices:
                self.close()
            elif end - begin > 1:
                most = (end - begin) * 3 // 4
            else:
                yield self._too_large(some.indices[begin], rows[begin])
                begin, most = begin + 1, limits.max_rows

    def close(self) -> None:
        """Makes a request of the rows that wait for more."""
        if not self._indices:
            return
        body = self._body.close()
        self.requests.append(
            InsertRequest(self._name, self._indices, body, self._billed_bytes, self._records, self._maker)
        )
        self._body = OpenBody(self._maker.head)
        self._indices, self._billed_bytes = [], 0

    def _took(self, some: TableSlice, begin: int, end: int) -> None:
        self._indices += some.indices[begin:end]
        self._billed_bytes += self._maker.billed_bytes(some, begin, end)
        if len(self._indices) == self._maker.limits.max_rows:
            self.close()

    def _too_large(self, index: int, row: Any) -> Rejection:
        size = len(_encode(row))
        most = self._maker.limits.max_row_bytes
        return Rejection(index, "too_large", f"a row of {size} bytes; BigQuery takes {most}")


def _end_within(sizes: Sequence[int], begin: int, end: int, max_bytes: int) -> int:
    """Where those end, one at least, that have at most so many bytes together. A row is never smaller than what is in
    it, so that to encode more of them would be for nothing."""
    total = 0
    for place in range(begin, end):
        total += sizes[place]
        if total > max_bytes and place > begin:
            return place
    return end


class OpenBody:
    """A body that takes rows until it is full."""

    def __init__(self, head: bytes) -> None:
        self._head = head
        self._lists: list[bytes] = []
        self.size = len(head) + len("]}")

    def add(self, rows: Sequence[Any], max_bytes: int) -> bool:
        """Whether they fit in; nothing is added where they do not."""
        encoded = _encode(rows)
        # it has a bracket for which the body has a comma or its own, and one more
        size = self.size + len(encoded) - 1
        if size > max_bytes:
            return False
        self.size = size
        self._lists.append(encoded)
        return True

    def close(self) -> bytes:
        """The whole body; there have to be rows in it."""
        first, *others = self._lists
        if not others:
            return self._head + first + b"}"
        *between, last = others
        # joined once: a body is copied no more often than it has to be
        return b",".join(
            [self._head + first[:-1], *(memoryview(each)[1:-1] for each in between), last[1:] + b"}"]
        )
