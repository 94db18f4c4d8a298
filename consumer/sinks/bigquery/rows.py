"""From records to rows: which table, which identity, and the row's JSON.

In two steps, since a row takes as much memory as its record: what routing finds out is kept as a *plan*, and the row
itself is made when it is sent.
"""

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from consumer.domain.dead_letters import Rejection
from consumer.domain.records import Record
from consumer.domain.routing import table_name, table_suffix
from consumer.sinks.bigquery.reshape import Unfit
from consumer.sinks.bigquery.shapes import INSERT_ALL, BadKey, Plan, RowShape, Wrapping
from consumer.sinks.bigquery.times import OutOfRange
from consumer.sinks.payloads import RoutingReader

_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class TablePlans:
    """Rows of one table in shard order: `plans[i]` is that of record `indices[i]` of the chunk."""

    indices: list[int] = field(default_factory=list)
    plans: list[Plan] = field(default_factory=list)


@dataclass(slots=True)
class TableRows:
    """The same with rows in JSON."""

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
        reader: RoutingReader,
        shape: RowShape,
        stream: str,
        shard: str,
        table_prefix: str,
        key_field: str,
        key_digits: int,
        wrapping: Wrapping = INSERT_ALL,
    ) -> None:
        self._reader = reader
        self._shape = shape
        prefix = insert_id_prefix(stream=stream, shard=shard)
        self._id_head = f"{prefix}-" if wrapping.has_id else ""
        self._prefix = table_prefix
        self._key_field = key_field
        self._digits = key_digits

    def plan(
        self, records: Sequence[Record], indices: Sequence[int]
    ) -> tuple[dict[str, TablePlans], list[Rejection]]:
        """Plans of `records[i]` for the given indices, by table name, and the records that no table takes."""
        chosen = [records[index] for index in indices]
        routings, unread = self._reader.read([record.data for record in chosen])
        rejections = [dataclasses.replace(rejection, index=indices[rejection.index]) for rejection in unread]
        tables: dict[str, TablePlans] = {}
        by_digits: dict[str, TablePlans] = {}
        digits, plan_of = self._digits, self._shape.plan
        for index, record, routing in zip(indices, chosen, routings, strict=True):
            if routing is None:
                continue
            key = routing.key
            table = by_digits.get(key[:digits]) if key.__class__ is str else None
            if table is None:
                name = self._table(key)
                if name is None:
                    rejections.append(self._no_table(index, key))
                    continue
                table = tables.setdefault(name, TablePlans())
                if isinstance(key, str):
                    by_digits[key[:digits]] = table
            try:
                plan = plan_of(record, key, routing.time)
            except OutOfRange as error:
                rejections.append(Rejection(index, "time_out_of_range", str(error)))
                continue
            except BadKey as error:
                rejections.append(Rejection(index, "bad_key", str(error)))
                continue
            except Unfit as error:
                rejections.append(Rejection(index, "rejected", str(error)))
                continue
            table.indices.append(index)
            table.plans.append(plan)
        return {name: table for name, table in tables.items() if table.plans}, rejections

    def rows(self, records: Sequence[Record], plans: Sequence[Plan]) -> list[Any]:
        """The rows of some records, as msgspec encodes them."""
        cells = self._shape.cells(records, plans)
        if not self._id_head:
            return cells
        head = self._id_head
        return [
            InsertRow(f"{head}{record.sequence_number}-{record.sub_sequence_number}", one)
            for record, one in zip(records, cells, strict=True)
        ]

    def encode(
        self, records: Sequence[Record], indices: Sequence[int]
    ) -> tuple[dict[str, TableRows], list[Rejection]]:
        """As `plan`, with the rows made."""
        tables, rejections = self.plan(records, indices)
        return {
            name: TableRows(each.indices, self._encoded(records, each)) for name, each in tables.items()
        }, rejections

    def content_bytes(self, records: Sequence[Record], plans: Sequence[Plan]) -> list[int]:
        """As RowShape."""
        return self._shape.content_bytes(records, plans)

    def _encoded(self, records: Sequence[Record], table: TablePlans) -> list[bytes]:
        return list(map(_encode, self.rows([records[index] for index in table.indices], table.plans)))

    def _table(self, key: object) -> str | None:
        suffix = table_suffix(key, self._digits)
        return None if suffix is None else table_name(self._prefix, suffix)

    def _no_table(self, index: int, key: object) -> Rejection:
        if key is None or key == "":
            return Rejection(index, "no_key", f"no value in {self._key_field}")
        shown = str(key)[:64]
        return Rejection(index, "bad_key", f"{self._key_field} does not start with hex digits: {shown!r}")
