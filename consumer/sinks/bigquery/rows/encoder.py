"""From a record to its row: which table, which identity, and the row's JSON. The reference: what the C library does for
speed is held against it, and what C is not sure of comes here, record by record.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from consumer.domain.dead_letters import Rejection
from consumer.domain.records import Record
from consumer.domain.unread_times import UnreadTimes
from consumer.sinks.bigquery.rows.bad_record import BadRecord
from consumer.sinks.bigquery.rows.reading import fields_of, rerouted
from consumer.sinks.bigquery.rows.routes import TableRoutes
from consumer.sinks.bigquery.rows.shapes import INSERT_ALL, RowShape, RowTemplate, Wrapping
from consumer.sinks.json.fields import FieldReader, Fields

_encode = msgspec.json.Encoder().encode


class Row(msgspec.Struct, frozen=True, gc=False):
    """`index` is that of its record in the chunk; `text` is JSON; `content_bytes` the size of the values in it."""

    index: int
    table: str
    text: bytes
    content_bytes: int


@dataclass(slots=True)
class TableRows:
    """Rows of one table in shard order: `rows[i]` is the JSON of record `indices[i]` of the chunk."""

    indices: list[int] = field(default_factory=list)
    rows: list[bytes] = field(default_factory=list)


def insert_id_prefix(*, stream: str, shard: str) -> str:
    """The part of a row's identity (I3) that one shard's rows share; `-<sequence>-<sub-sequence>` follows.

    An insertId takes 128 characters, which a stream's name alone may fill, so a digest stands for the name.
    """
    digest = hashlib.blake2s(stream.encode(), digest_size=6).hexdigest()
    return f"{digest}-{shard.removeprefix('shardId-').lstrip('0') or '0'}"


class InsertRow(msgspec.Struct, rename={"insert_id": "insertId"}, gc=False):
    """A row of an insertAll request."""

    insert_id: str
    json: Any


class RowEncoder:
    """Routes the records of a chunk to tables and encodes them."""

    def __init__(
        self,
        *,
        reader: FieldReader,
        shape: RowShape,
        stream: str,
        shard: str,
        routes: TableRoutes,
        wrapping: Wrapping = INSERT_ALL,
        max_record_bytes: int | None = None,
    ) -> None:
        """A record of more than `max_record_bytes` is refused before it is a row, which is never smaller."""
        self._reader = reader
        self._shape = shape
        prefix = insert_id_prefix(stream=stream, shard=shard)
        self.id_head = f"{prefix}-" if wrapping.has_id else ""
        self.routes = routes
        self._max_record_bytes = max_record_bytes

    @property
    def time_field(self) -> str:
        return self._reader.time_field

    @property
    def unread(self) -> UnreadTimes:
        """Of the records that were made rows."""
        return self._shape.times.unread

    def rerouted(self, records: Sequence[Record], indices: Sequence[int]) -> set[int]:
        """See reading.py."""
        return rerouted(self._reader, records, indices)

    def template(self) -> RowTemplate | None:
        """See RowShape."""
        return self._shape.template()

    def is_the_record(self) -> bool:
        """See RowShape."""
        return self._shape.is_the_record()

    def rows(
        self, records: Sequence[Record], indices: Sequence[int], rejections: list[Rejection]
    ) -> Iterator[Row]:
        """Of `records[i]` for the given indices, which ascend, in order. Records that no table takes are added to
        `rejections`."""
        for index, record, fields in fields_of(self._reader, records, indices, rejections):
            try:
                row = self.row(index, record, fields)
            except BadRecord as error:
                rejections.append(Rejection(index, error.reason, str(error)))
            else:
                del record, fields
                yield row

    def row(self, index: int, record: Record, fields: Fields) -> Row:
        """Of a record that was judged, and says this of itself. Raises BadRecord."""
        table = self.routes.find(fields.route_key)
        most = self._max_record_bytes
        if most is not None and len(record.data) > most:
            raise BadRecord("too_large", f"a record of {len(record.data)} bytes; BigQuery takes {most}")
        cells, content_bytes = self._shape.cells(record, fields)
        if self.id_head:
            insert_id = f"{self.id_head}{record.sequence_number}-{record.sub_sequence_number}"
            cells = InsertRow(insert_id, cells)
        return Row(index, table, _encode(cells), content_bytes)

    def tables(
        self, records: Sequence[Record], indices: Sequence[int]
    ) -> tuple[dict[str, TableRows], list[Rejection]]:
        """`rows` by table, and the records that no table takes."""
        tables: dict[str, TableRows] = defaultdict(TableRows)
        rejections: list[Rejection] = []
        for row in self.rows(records, indices, rejections):
            table = tables[row.table]
            table.indices.append(row.index)
            table.rows.append(row.text)
        return dict(tables), rejections
