"""Rows of a whole chunk, written by the C library straight into the bodies of their requests."""

from array import array
from typing import Any, Self

from consumer.domain.columns import Columns, Records
from consumer.domain.routing import table_names
from consumer.native import library
from consumer.sinks.bigquery.insert_all.requests import LEAST_BILLED_BYTES, InsertRequest, RequestMaker
from consumer.sinks.bigquery.rows.encoder import RowEncoder
from consumer.sinks.bigquery.rows.shapes import RowTemplate

_END = b"]}"
_LEAST_BODY_BYTES = 16 * 1024


class RowWriter:
    """Makes the requests that RequestMaker makes, of the records that the C library is sure of."""

    @classmethod
    def of(cls, encoder: RowEncoder, maker: RequestMaker) -> Self | None:
        """None where rows need more than the C library can do, or where there is none."""
        native, template = library.load(), encoder.template()
        if native is None or template is None or not encoder.id_head:
            return None
        return cls(native.write_rows, template, encoder, maker)

    def __init__(
        self, write_rows: Any, template: RowTemplate, encoder: RowEncoder, maker: RequestMaker
    ) -> None:
        self._write_rows = write_rows
        self.maker = maker
        self._times = template.times
        self.tables = table_names(encoder.routes.table_prefix, encoder.routes.key_digits)
        self.usual_bytes = _LEAST_BODY_BYTES
        self._texts = library.Texts()
        span = self._texts.span
        self._rules = library.RowRules(
            key_name=span(encoder.routes.key_field.encode()),
            time_name=span(encoder.time_field.encode()),
            head=span(b'{"insertId":"%b' % encoder.id_head.encode()),
            middle=span(b'","json":%b' % template.before_key),
            time_head=span(template.before_time),
            log_head=span(template.before_log),
            tail=span(template.end + b"}"),
            key_digits=encoder.routes.key_digits,
            is_whole=template.is_whole,
            max_rows=maker.limits.max_rows,
            max_bytes=maker.limits.max_bytes - len(_END),
            least_billed_bytes=LEAST_BILLED_BYTES,
            billed_bytes_beside=template.bytes_beside,
            arrival_day=-1,
        )

    def requests(self, records: Records) -> tuple[list[InsertRequest], list[int]]:
        """By table, each table's in shard order; and the indices of the records that are in none of them, since
        somebody else has to look at these."""
        return _Writing(self, records).run()

    # What _Writing needs

    def write(self, columns: Any, first: int, bodies: Any, unsure: Any, cursor: Any) -> int:
        result: int = self._write_rows(self._rules, columns, first, bodies, library.address(unsure), cursor)
        return result

    def set_day(self, arrival_ms: int) -> None:
        self._times.set_day(self._rules, arrival_ms)


class _Writing:
    """One chunk."""

    def __init__(self, writer: RowWriter, records: Records) -> None:
        self._writer = writer
        self._records = records
        tables = len(writer.tables)
        self._bodies = (library.TableBody * tables)()
        self._memory: list[bytearray] = [bytearray()] * tables
        self._indices: list[array[int]] = [array("I")] * tables
        self._requests: list[list[InsertRequest]] = [[] for _ in range(tables)]
        self._cursor = library.RowCursor()
        self._largest = 0

    def run(self) -> tuple[list[InsertRequest], list[int]]:
        unsure = array("I", bytes(4 * len(self._records)))
        first = 0
        for part in self._records.parts:
            self._write_part(part, first, unsure)
            first += len(part)
        for table in range(len(self._bodies)):
            self._close(table)
        self._writer.usual_bytes = max(_LEAST_BODY_BYTES, self._largest * 9 // 8)
        return [one for some in self._requests for one in some], unsure[: self._cursor.unsure].tolist()

    def _write_part(self, part: Columns, first: int, unsure: "array[int]") -> None:
        columns, cursor = library.columns_of(part), self._cursor
        cursor.index = cursor.text_offset = cursor.label_offset = 0
        while True:
            result = self._writer.write(columns, first, self._bodies, unsure, cursor)
            if result == library.DONE:
                return
            if result == library.OTHER_DAY:
                self._writer.set_day(part.arrivals[cursor.index])
            elif result == library.BODY_IS_FULL:
                self._close(cursor.table)
            else:
                self._grow(cursor.table, cursor.bytes)

    def _grow(self, table: int, needed: int) -> None:
        body, memory = self._bodies[table], self._memory[table]
        if not body.capacity:
            head = self._writer.maker.head + b"["
            size = max(needed + len(head), self._writer.usual_bytes)
            memory = self._memory[table] = library.new_bytearray(size)
            memory[: len(head)] = head
            body.size = len(head)
            most = min(self._writer.maker.limits.max_rows, len(self._records))
            self._indices[table] = array("I", bytes(4 * most))
            body.indices = library.address(self._indices[table])
        else:
            memory += bytes(max(needed, 2 * len(memory)) - len(memory))
        body.capacity = len(memory)
        body.body = library.address(memory)

    def _close(self, table: int) -> None:
        body = self._bodies[table]
        if body.rows:
            memory = self._memory[table]
            del memory[body.size :]
            memory += _END
            self._largest = max(self._largest, len(memory))
            self._requests[table].append(
                InsertRequest(
                    self._writer.tables[table],
                    self._indices[table][: body.rows].tolist(),
                    memory,
                    body.billed_bytes,
                    self._records,
                    self._writer.maker,
                )
            )
        self._bodies[table] = library.TableBody()
