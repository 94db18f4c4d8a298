"""The Storage Write API as far as it limits: a gRPC interceptor before its methods.

Quotas of streams, bytes and connections, the size of a request, streams that nobody has written to for days, calls
on which no request has come for minutes, and rows of partitions that take none.
"""

import collections
import contextlib
import queue
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import grpc
import pyarrow
from google.cloud.bigquery_storage_v1 import types

from consumer.local.limits.meters import Meters
from consumer.local.limits.partitions import Partitioning, out_of_bounds, outside_message, partitioning_of

_MOST_SECONDS_LATE = 25.0
_SECONDS_A_CREATE = 2.5
"""Latency is what it should be at 40 creates a second, and 25 s at 50."""
_TABLE_SECONDS = 10.0
_LOOK_SECONDS = 0.2
"""How often an idle call looks at the clock, which can be put ahead."""
_BAD_ROWS = (
    "Errors found while processing rows. Please refer to the row_errors field for details. The list may not be complete"
    " because of the size limitations."
)

type Requests = queue.SimpleQueue[Any]
type Get = Callable[[Requests, float], Any]
"""The next request of a call; raises queue.Empty when none has come for so many seconds."""


def _get(requests: Requests, seconds: float) -> Any:
    return requests.get(timeout=seconds)


class WriteLimits(grpc.ServerInterceptor):  # type: ignore[misc]
    """The rules. `table_of` gives the resource of a table by its path; `get` and `sleep` are for tests."""

    def __init__(
        self,
        meters: Meters,
        table_of: Callable[[str], Mapping[str, Any]],
        *,
        get: Get = _get,
        sleep: Callable[[float], Any] = time.sleep,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._meters = meters
        self._table_of = table_of
        self._get = get
        self._sleep = sleep
        self._wall_clock = wall_clock
        self._lock = threading.Lock()
        self._last_used: dict[str, float] = {}
        self._expired: set[str] = set()
        self._open = 0
        self._partitionings: dict[str, tuple[float, Partitioning | None]] = {}

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        handler = continuation(details)
        service, _, method = details.method.rpartition("/")
        if handler is None or not service.endswith("BigQueryWrite"):
            return handler

        def finalize(name: str, context: Any) -> None:
            other = _Details(f"{service}/FinalizeWriteStream", details.invocation_metadata)
            continuation(other).unary_unary(types.FinalizeWriteStreamRequest(name=name), context)

        match method:
            case "CreateWriteStream":
                return _replace(handler, unary_unary=lambda *of: self._create(handler, *of))
            case "GetWriteStream" | "FinalizeWriteStream":
                return _replace(handler, unary_unary=lambda *of: self._of_stream(handler, finalize, *of))
            case "AppendRows":
                return _replace(handler, stream_stream=lambda *of: self._append(handler, finalize, *of))
        return handler

    def _create(self, handler: Any, request: Any, context: Any) -> Any:
        project = _project(request.parent)
        if self._meters.take(("storage_write.creates", project, 1)):
            _abort_by_quota(context, "CreateWriteStream requests", project, request.parent)
        self._meters.add("storage_write.fast_creates", project)
        above = self._meters.used("storage_write.fast_creates", project) - self._meters.value(
            "storage_write.fast_creates"
        )
        if above > 0:
            self._meters.refuse("storage_write.fast_creates")
            self._sleep(min(above * _SECONDS_A_CREATE, _MOST_SECONDS_LATE))
        stream = handler.unary_unary(request, context)
        self._touch(stream.name)
        return stream

    def _of_stream(
        self, handler: Any, finalize: Callable[[str, Any], None], request: Any, context: Any
    ) -> Any:
        self._refuse_expired(request.name, finalize, context)
        return handler.unary_unary(request, context)

    def _touch(self, name: str) -> None:
        with self._lock:
            self._last_used[name] = self._meters.clock()

    def _refuse_expired(self, name: str, finalize: Callable[[str, Any], None], context: Any) -> None:
        """End the call for a stream that is gone; one that counts as finalized is."""
        with self._lock:
            now = self._meters.clock()
            idle = now - self._last_used.get(name, now)
            expires = name not in self._expired and idle > self._meters.value("storage_write.idle_stream")
            if expires:
                self._expired.add(name)
            expired = name in self._expired
        if expires:
            self._meters.refuse("storage_write.idle_stream")
            if not _is_gone(name):
                finalize(name, context)
        if expired and _is_gone(name):
            context.abort(grpc.StatusCode.NOT_FOUND, f"Requested entity was not found. Entity: {name}")

    # AppendRows

    def _append(
        self, handler: Any, finalize: Callable[[str, Any], None], requests: Any, context: Any
    ) -> Iterator[Any]:
        with self._lock:
            self._open += 1
            count = self._open
        try:
            self._meters.level("storage_write.connections", count)
            yield from self._answers(handler, finalize, requests, context, count)
        finally:
            with self._lock:
                self._open -= 1

    def _answers(
        self, handler: Any, finalize: Callable[[str, Any], None], requests: Any, context: Any, open_calls: int
    ) -> Iterator[Any]:
        name, schema = "", None
        passed: list[Any] = []
        answers = handler.stream_stream(iter(passed.pop, None), context)
        for request in self._until_idle(requests, context):
            name = request.write_stream or name
            project = _project(name)
            if open_calls > self._meters.value("storage_write.connections"):
                self._meters.refuse("storage_write.connections")
                _abort_by_quota(context, "Concurrent connections", project, name)
            self._refuse_large(request, project, name, context)
            self._refuse_expired(name, finalize, context)
            schema = request.arrow_rows.writer_schema.serialized_schema or schema
            if schema and (faults := self._outside(name, schema, request)):
                yield _refused(name, faults)
                continue
            self._touch(name)
            passed.append(request)
            yield next(answers)
        answers.close()

    def _until_idle(self, requests: Any, context: Any) -> Iterator[Any]:
        """The requests of a call, which ends by ABORTED where none comes for too long."""
        waiting: Requests = queue.SimpleQueue()
        end = object()

        def read() -> None:
            # gRPC raises an exception of no class of its own where the call has ended
            with contextlib.suppress(Exception):
                for request in requests:
                    waiting.put(request)
            waiting.put(end)

        threading.Thread(target=read, daemon=True).start()
        name, clock, longest = "", self._meters.clock, self._meters.value("storage_write.idle_call")
        ends_at = clock() + longest
        while True:
            try:
                request = self._get(waiting, min(longest, _LOOK_SECONDS))
            except queue.Empty:
                if clock() < ends_at:
                    continue
                self._meters.refuse("storage_write.idle_call")
                context.abort(
                    grpc.StatusCode.ABORTED,
                    f"Closing the stream because it has been inactive for 600 seconds. Entity: {name}",
                )
            if request is end:
                return
            name = request.write_stream or name
            yield request
            ends_at = clock() + longest

    def _refuse_large(self, request: Any, project: str, name: str, context: Any) -> None:
        size, most = (
            types.AppendRowsRequest.pb(request).ByteSize(),
            self._meters.value("storage_write.request_bytes"),
        )
        if size > most:
            self._meters.refuse("storage_write.request_bytes")
            context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, f"Request payload size exceeds the limit: {most:.0f} bytes."
            )
        if self._meters.take(("storage_write.bytes", project, size)):
            _abort_by_quota(context, "AppendRows throughput", project, name)

    def _outside(self, name: str, schema: bytes, request: Any) -> dict[int, str]:
        """What is wrong with rows of partitions that take none, by their places."""
        partitioning = self._partitioning(name.partition("/streams/")[0])
        batch = request.arrow_rows.rows.serialized_record_batch
        if partitioning is None or not batch:
            return {}
        read = pyarrow.ipc.read_record_batch(batch, pyarrow.ipc.read_schema(pyarrow.py_buffer(schema)))
        if partitioning.field not in read.schema.names:
            return {}
        bounds = {
            "past_days": self._meters.value("insert_all.past_days"),
            "future_days": self._meters.value("insert_all.future_days"),
        }
        now = datetime.fromtimestamp(self._wall_clock(), UTC)
        faults: dict[int, str] = {}
        for place, value in enumerate(read.column(partitioning.field).to_pylist()):
            moment = partitioning.time_of({partitioning.field: str(value)})
            if moment is not None and out_of_bounds(moment, now=now, **bounds):
                self._meters.refuse("insert_all.past_days" if moment < now else "insert_all.future_days")
                faults[place] = outside_message(partitioning.field, moment, name, **bounds)
        return faults

    def _partitioning(self, path: str) -> Partitioning | None:
        known = self._partitionings.get(path)
        if known is None or self._meters.clock() - known[0] > _TABLE_SECONDS:
            known = self._meters.clock(), partitioning_of(self._table_of(path))
            self._partitionings[path] = known
        return known[1]


_Details = collections.namedtuple("_Details", ("method", "invocation_metadata"))


def _replace(handler: Any, **behaviour: Any) -> Any:
    return handler._replace(**behaviour)


def _is_gone(name: str) -> bool:
    """Half of the streams, always the same."""
    return zlib.crc32(name.encode()) % 2 == 0


def _project(path: str) -> str:
    return path.partition("projects/")[2].partition("/")[0]


def _abort_by_quota(context: Any, quota: str, project: str, entity: str) -> None:
    context.abort(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        f"Exceeds '{quota}' quota, user_id: {project} (status: INSUFFICIENT_TOKENS), you can issue a raise quota"
        " request through Google Cloud Console. Be sure to include this full error message in the request description."
        f" Entity: {entity}",
    )


def _refused(name: str, faults: Mapping[int, str]) -> Any:
    """Nothing of the request is stored."""
    answer = types.AppendRowsResponse(write_stream=name)
    answer.error = {
        "code": grpc.StatusCode.INVALID_ARGUMENT.value[0],
        "message": f"{_BAD_ROWS} Entity: {name}",
    }
    answer.row_errors = [
        types.RowError(index=place, code=types.RowError.RowErrorCode.FIELDS_ERROR, message=message)
        for place, message in faults.items()
    ]
    return answer
