"""Rows as insertAll requests, within its limits."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from consumer.domain.dead_letters import Rejection
from consumer.domain.records import Record
from consumer.sinks.bigquery.rows.encoder import Row, RowEncoder

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

    def rows(self) -> memoryview:
        """Of the body, with commas between them."""
        return memoryview(self.body)[len(self.maker.head) + 1 : -2]


class RequestMaker:
    """Makes requests of records."""

    def __init__(self, encoder: RowEncoder, limits: RequestLimits, envelope: Envelope) -> None:
        self._encoder = encoder
        self.limits = limits
        self.head = envelope.head()

    def requests(
        self, records: Sequence[Record], indices: Sequence[int]
    ) -> tuple[list[InsertRequest], list[Rejection]]:
        """Of `records[i]` for the given indices: requests by table, each table's in shard order, and the records that
        no table takes or no request has room for."""
        rejections: list[Rejection] = []
        tables: dict[str, _Table] = {}
        most = self.limits.max_row_bytes
        for row in self._encoder.rows(records, indices, rejections):
            if len(row.text) > most:
                detail = f"a row of {len(row.text)} bytes; BigQuery takes {most}"
                rejections.append(Rejection(row.index, "too_large", detail))
                continue
            table = tables.get(row.table)
            if table is None:
                table = tables[row.table] = _Table(row.table, records, self)
            table.add(row)
        for table in tables.values():
            table.close()
        return [request for _, table in sorted(tables.items()) for request in table.requests], rejections

    def request(self, records: Sequence[Record], indices: Sequence[int]) -> InsertRequest:
        """Of records that have been in one request before."""
        [request], _ = self.requests(records, indices)
        return request


class _Table:
    """The requests of one table, the last of them still open."""

    def __init__(self, name: str, records: Sequence[Record], maker: RequestMaker) -> None:
        self._name = name
        self._records = records
        self._maker = maker
        self.requests: list[InsertRequest] = []
        self._open()

    def add(self, row: Row) -> None:
        """It fits into a request of its own."""
        limits = self._maker.limits
        if self._size + 1 + len(row.text) > limits.max_bytes:
            self.close()
        self._size += bool(self._rows) + len(row.text)
        self._rows.append(row.text)
        self._indices.append(row.index)
        self._billed_bytes += max(row.content_bytes, LEAST_BILLED_BYTES)
        if len(self._rows) == limits.max_rows:
            self.close()

    def close(self) -> None:
        """Makes a request of the rows that wait for more."""
        if not self._rows:
            return
        # joined once: a body is copied no more often than it has to be
        pieces = [piece for row in self._rows for piece in (b",", row)]
        body = b"".join([self._maker.head, b"[", *pieces[1:], b"]}"])
        self.requests.append(
            InsertRequest(self._name, self._indices, body, self._billed_bytes, self._records, self._maker)
        )
        self._open()

    def _open(self) -> None:
        self._rows: list[bytes] = []
        self._indices: list[int] = []
        self._size = len(self._maker.head) + len("[]}")
        self._billed_bytes = 0
