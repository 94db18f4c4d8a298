"""The Storage Write API on a real gRPC server, with answers as Google documents them."""

import concurrent.futures
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import pyarrow as pa
from google.cloud.bigquery_storage_v1 import types
from google.protobuf import any_pb2
from google.rpc import status_pb2

from tests.functional.harness.kcl import SAFETY_SECONDS

_SERVICE = "google.cloud.bigquery.storage.v1.BigQueryWrite"
Codes = types.StorageError.StorageErrorCode


@dataclass
class Stream:
    table: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    finalized: bool = False
    committed: bool = True


@dataclass(frozen=True, slots=True)
class Append:
    """One request; `number` counts from 1."""

    table: str
    offset: int
    rows: list[dict[str, Any]]
    number: int


class Aborted(Exception):
    """The call ends with this status; `after` says that the work was done before."""

    def __init__(self, code: grpc.StatusCode, *, after: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.after = after


class Silent(Exception):
    """The work is done, and no answer comes before the client gives up."""


type Fault = Aborted | Silent | types.AppendRowsResponse | None


class StorageWriteStub:
    """`fault` says what meets an append; None lets it through."""

    def __init__(self) -> None:
        self.streams: dict[str, Stream] = {}
        self.appends: list[Append] = []
        self.metadata: list[dict[str, str]] = []
        self.fault: Callable[[Append], Fault] = lambda append: None
        self.changed = threading.Condition()
        self._closing = threading.Event()
        self._open: list[Any] = []
        pool = concurrent.futures.ThreadPoolExecutor(max_workers=64)
        self._server = grpc.server(pool)
        self._server.add_generic_rpc_handlers([self._handlers()])
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def end_calls(self, code: grpc.StatusCode) -> None:
        """Ends every open AppendRows call, as the server does with one that was idle for long."""
        contexts, self._open = self._open, []
        for context in contexts:
            context.set_code(code)
            context.cancel()

    def rows(self) -> list[dict[str, Any]]:
        return [row for stream in self.streams.values() if stream.committed for row in stream.rows]

    def wait_until(self, what: Callable[[], bool]) -> None:
        with self.changed:
            deadline = time.monotonic() + SAFETY_SECONDS
            while not what():  # some of it does not tell when it changes
                assert time.monotonic() < deadline, "the backend never got there"
                self.changed.wait(0.05)

    def close(self) -> None:
        self._closing.set()
        self._server.stop(None).wait(SAFETY_SECONDS)

    def _handlers(self) -> Any:
        unary, stream = grpc.unary_unary_rpc_method_handler, grpc.stream_stream_rpc_method_handler
        methods = {
            "CreateWriteStream": unary(
                self._create, types.CreateWriteStreamRequest.deserialize, types.WriteStream.serialize
            ),
            "FinalizeWriteStream": unary(
                self._finalize,
                types.FinalizeWriteStreamRequest.deserialize,
                types.FinalizeWriteStreamResponse.serialize,
            ),
            "AppendRows": stream(
                self._append, types.AppendRowsRequest.deserialize, types.AppendRowsResponse.serialize
            ),
        }
        return grpc.method_handlers_generic_handler(_SERVICE, methods)

    def _create(self, request: Any, context: Any) -> Any:
        self.metadata.append(dict(context.invocation_metadata()))
        committed = request.write_stream.type_ == types.WriteStream.Type.COMMITTED
        assert committed or request.write_stream.type_ == types.WriteStream.Type.PENDING
        with self.changed:
            name = f"{request.parent}/streams/{len(self.streams)}"
            self.streams[name] = Stream(request.parent.rpartition("/")[2], committed=committed)
        return types.WriteStream(name=name)

    def _finalize(self, request: Any, context: Any) -> Any:
        with self.changed:
            stream = self.streams[request.name]
            stream.finalized = True
            return types.FinalizeWriteStreamResponse(row_count=len(stream.rows))

    def _append(self, requests: Iterable[Any], context: Any) -> Iterator[Any]:
        self.metadata.append(dict(context.invocation_metadata()))
        self._open.append(context)
        name, schema = "", None
        for request in requests:
            name = request.write_stream or name
            if request.arrow_rows.writer_schema.serialized_schema:
                schema = pa.ipc.read_schema(pa.py_buffer(request.arrow_rows.writer_schema.serialized_schema))
            batch = pa.py_buffer(request.arrow_rows.rows.serialized_record_batch)
            rows = pa.ipc.read_record_batch(batch, schema).to_pylist()
            yield self._answer(name, int(request.offset), rows, context)

    def _answer(self, name: str, offset: int, rows: list[dict[str, Any]], context: Any) -> Any:
        with self.changed:
            stream = self.streams[name]
            append = Append(stream.table, offset, rows, len(self.appends) + 1)
            self.appends.append(append)
            fault = self.fault(append)
            if isinstance(fault, types.AppendRowsResponse):
                return fault
            if isinstance(fault, Aborted) and not fault.after:
                context.abort(fault.code, "as told")
            answer = self._store(stream, offset, rows)
            self.changed.notify_all()
        if isinstance(fault, Aborted):
            context.abort(fault.code, "as told")
        while isinstance(fault, Silent) and context.is_active() and not self._closing.is_set():
            time.sleep(0.01)
        return answer

    def _store(self, stream: Stream, offset: int, rows: list[dict[str, Any]]) -> Any:
        if stream.finalized:
            return refusal(grpc.StatusCode.INVALID_ARGUMENT, Codes.STREAM_FINALIZED)
        if offset < len(stream.rows):
            return refusal(grpc.StatusCode.ALREADY_EXISTS, Codes.OFFSET_ALREADY_EXISTS)
        if offset > len(stream.rows):
            return refusal(grpc.StatusCode.OUT_OF_RANGE, Codes.OFFSET_OUT_OF_RANGE)
        stream.rows += rows
        answer = types.AppendRowsResponse()
        answer.append_result.offset = offset
        return answer


def refusal(code: grpc.StatusCode, storage_code: Any = None, *bad_rows: int) -> Any:
    """An error in the answer itself, the call going on."""
    status = status_pb2.Status(code=code.value[0], message="as told")
    if storage_code is not None:
        detail = any_pb2.Any()
        detail.Pack(types.StorageError.pb(types.StorageError(code=storage_code)))
        status.details.append(detail)
    answer = types.AppendRowsResponse(error=status)
    answer.row_errors = [types.RowError(index=index, message=f"row {index} is bad") for index in bad_rows]
    return answer
