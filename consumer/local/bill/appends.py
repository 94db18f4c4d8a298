"""What AppendRows of the embedded Storage Write API would cost."""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import grpc
import pyarrow as pa

from consumer.local.bill.bigquery import Tables
from consumer.local.bill.meter import Meter
from consumer.local.bill.sizes import arrow_bytes

_find_table = re.compile(r"/tables/(?P<table>[^/]+)").search


class Appends(grpc.ServerInterceptor):  # type: ignore[misc]
    """Counts rows and bytes that AppendRows has stored. A request is answered before the next one's answer."""

    def __init__(self, meter: Meter, tables: Tables) -> None:
        self._meter = meter
        self._tables = tables

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        handler = continuation(details)
        if handler is None or not details.method.endswith("/AppendRows"):
            return handler
        return grpc.stream_stream_rpc_method_handler(
            lambda requests, context: self._counted(handler.stream_stream, requests, context),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _counted(self, append: Callable[..., Any], requests: Iterable[Any], context: Any) -> Iterator[Any]:
        waiting: deque[Any] = deque()

        def heard() -> Iterator[Any]:
            for request in requests:
                waiting.append(request)
                yield request

        call = _Call()
        for answer in append(heard(), context):
            self._count(call, waiting.popleft(), answer)
            yield answer

    def _count(self, call: "_Call", request: Any, answer: Any) -> None:
        table, rows = call.rows_of(request)
        if answer.error.code or answer.row_errors or not rows:
            return
        size = arrow_bytes(rows, self._tables.columns_of(table))
        self._meter.add(
            storage_write_rows=rows.num_rows, storage_write_bytes=size, bigquery_stored_bytes=size
        )


class _Call:
    """What the requests of a call leave out, since an earlier one has said it."""

    def __init__(self) -> None:
        self._table = ""
        self._schema: Any = None

    def rows_of(self, request: Any) -> tuple[str, Any]:
        """The table's name, and the rows as a pyarrow.RecordBatch; None where they are not Arrow."""
        if found := _find_table(request.write_stream):
            self._table = found["table"]
        arrow = request.arrow_rows
        if arrow.writer_schema.serialized_schema:
            self._schema = pa.ipc.read_schema(pa.py_buffer(arrow.writer_schema.serialized_schema))
        packed = arrow.rows.serialized_record_batch
        return self._table, pa.ipc.read_record_batch(pa.py_buffer(packed), self._schema) if packed else None
