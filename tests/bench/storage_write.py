"""BigQuery's Storage Write API that keeps nothing of the rows but their number, so that offsets are as Google's.

Messages are read as bytes, with Google's field numbers:
https://cloud.google.com/bigquery/docs/reference/storage/rpc/google.cloud.bigquery.storage.v1
"""

import concurrent.futures
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc

from tests.bench.counts import Counts, numbers_in
from tests.bench.protobuf import bytes_field, number_field, number_within, within

_SERVICE = "google.cloud.bigquery.storage.v1.BigQueryWrite"
_MOST_CALLS = 1024
"""Each open AppendRows call keeps a thread."""

_NUMBER, _LOG = "number", "log"
"""The columns in which a record's number may be: as itself, or in the record's text."""


@dataclass(slots=True)
class _Stream:
    rows: int = 0
    finalized: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, slots=True)
class _Append:
    offset: int
    batch: Any
    size_bytes: int


type Take = Callable[[Counts, Any, int], None]
"""What becomes of an Arrow batch that came in so many bytes."""


def count_rows(counts: Counts, batch: Any, size_bytes: int) -> None:
    """The rows are counted, and their numbers added up."""
    counts.take(size_bytes, batch.num_rows, partial(_numbers, batch))


class StorageWrite:
    """Streams live as long as this does; `counts` tells where to count at the moment."""

    def __init__(self, counts: Callable[[], Counts], take: Take = count_rows) -> None:
        self._counts = counts
        self._take = take
        self._streams: dict[str, _Stream] = {}
        self._names = itertools.count()

    def serve(self) -> tuple[Any, int]:
        """A running server, and its port."""
        pool = concurrent.futures.ThreadPoolExecutor(max_workers=_MOST_CALLS)
        server = grpc.server(pool, options=[("grpc.max_receive_message_length", -1)])
        unary, stream = grpc.unary_unary_rpc_method_handler, grpc.stream_stream_rpc_method_handler
        methods = {
            "CreateWriteStream": unary(self._create),
            "FinalizeWriteStream": unary(self._finalize),
            "AppendRows": stream(self._append),
        }
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(_SERVICE, methods)])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        return server, port

    def _create(self, request: bytes, context: Any) -> bytes:
        self._admit(context)
        name = f"{_text(within(request, 1))}/streams/{next(self._names)}"
        self._streams[name] = _Stream()
        return bytes_field(1, name.encode())

    def _finalize(self, request: bytes, context: Any) -> bytes:
        self._admit(context)
        stream = self._stream(_text(within(request, 1)), context)
        with stream.lock:
            stream.finalized = True
            return number_field(1, stream.rows)

    def _append(self, requests: Iterable[bytes], context: Any) -> Iterator[bytes]:
        name, schema = "", None
        for request in requests:
            name = _text(within(request, 1)) or name
            schema = _schema(within(request, 5, 1, 1)) or schema
            counts = self._admit(context)
            yield self._store(self._stream(name, context), _read(request, schema), counts)

    def _admit(self, context: Any) -> Counts:
        """Where to count the request. Ends the call in an outage."""
        counts = self._counts()
        counts.wait()
        if counts.behaviour.outage:
            counts.add(requests=1, refused=1)
            context.abort(grpc.StatusCode.UNAVAILABLE, "an outage")
        return counts

    def _stream(self, name: str, context: Any) -> _Stream:
        stream = self._streams.get(name)
        if stream is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"stream not found: {name}")
            raise AssertionError("a call that was aborted goes on")
        return stream

    def _store(self, stream: _Stream, append: _Append, counts: Counts) -> bytes:
        with stream.lock:
            if stream.finalized:
                return _refusal(grpc.StatusCode.INVALID_ARGUMENT, "the stream is finalized")
            if append.offset < stream.rows:
                return _refusal(grpc.StatusCode.ALREADY_EXISTS, f"offset {append.offset} is written")
            if append.offset > stream.rows:
                return _refusal(grpc.StatusCode.OUT_OF_RANGE, f"offset {append.offset} of {stream.rows} rows")
            stream.rows += append.batch.num_rows
        self._take(counts, append.batch, append.size_bytes)
        return bytes_field(1, bytes_field(1, number_field(1, append.offset)))


def _read(request: bytes, schema: Any) -> _Append:
    import pyarrow as pa  # only those who write by this API have to wait for it

    offset = number_within(within(request, 2), 1)
    batch = pa.ipc.read_record_batch(pa.py_buffer(within(request, 5, 2, 1)), schema)
    return _Append(offset, batch, len(request))


def _numbers(batch: Any) -> list[int]:
    if _NUMBER in batch.schema.names:
        numbers: list[int] = batch.column(_NUMBER).to_pylist()
        return numbers
    _, _, text = batch.column(_LOG).buffers()
    return numbers_in(memoryview(text))


def _schema(serialized: memoryview) -> Any:
    if not serialized:
        return None
    import pyarrow as pa

    return pa.ipc.read_schema(pa.py_buffer(serialized))


def _refusal(code: grpc.StatusCode, message: str) -> bytes:
    """An error in the answer itself, the call going on."""
    number: int = code.value[0]
    return bytes_field(2, number_field(1, number) + bytes_field(2, message.encode()))


def _text(value: memoryview) -> str:
    return str(value, "utf-8")
