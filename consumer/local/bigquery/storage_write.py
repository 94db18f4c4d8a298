"""local-bigquery's Storage Write API, corrected where a client that counts rows would lose or double some.

As it comes, appends to one stream run beside each other and beside its end, so that the check of the offset says
little; a request with bad rows stores the good ones all the same; errors lack BigQuery's own codes; and sixteen
open calls are all that it serves, the next one waits for ever. Faults can be set as for REST.
"""

import concurrent.futures
import dataclasses
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import grpc
from google.cloud.bigquery_storage_v1 import types
from google.protobuf import any_pb2
from local_bigquery.catalog import tables
from local_bigquery.engine import database
from local_bigquery.errors import BigQueryError
from local_bigquery.grpc import server, write
from local_bigquery.grpc.read import StorageError

from consumer.local.bigquery import insert_all
from consumer.local.faults.requests import RequestHead
from consumer.local.faults.rules import Action, Answer, Delay, LoseAnswer, Rules, first_hit

_TABLE_SECONDS = 2.0
_MOST_CALLS = 1024
"""Each open AppendRows call keeps a thread."""

_COMMITTED = types.WriteStream.Type.COMMITTED
_SERVICE = "google.cloud.bigquery.storage.v1.BigQueryWrite"
_TYPE_PREFIX = "type.googleapis.com"
_CODES = types.StorageError.StorageErrorCode
_STORAGE_CODES = {
    grpc.StatusCode.ALREADY_EXISTS: _CODES.OFFSET_ALREADY_EXISTS,
    grpc.StatusCode.OUT_OF_RANGE: _CODES.OFFSET_OUT_OF_RANGE,
}
_HTTP_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
}

_tables: dict[tuple[str, str, str], "_Table"] = {}
_locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


class _Table:
    """What a row is held against; looked up once in a while, since it costs half of an append's time."""

    def __init__(self, reference: tuple[str, str, str]) -> None:
        self.name = tables.name(*reference)
        self.columns = tables.columns(*reference)
        self.read_at = time.monotonic()
        with database.cursor() as cursor:
            relation = cursor.sql(f"SELECT * FROM {self.name} LIMIT 0")
            self.schema = {
                column.casefold(): (column, kind)
                for column, kind in zip(relation.columns, relation.types, strict=True)
            }
        self._required = [field.name for field in self.columns if field.mode == "REQUIRED"]

    def fault(self, row: dict[str, Any]) -> str | None:
        unknown = [name for name in row if name.casefold() not in self.schema]
        if unknown:
            return f"no such field: {unknown[0]}."
        missing = [name for name in self._required if row.get(name) is None]
        return f"Missing required field: {missing[0]}." if missing else None


def _table(reference: tuple[str, str, str]) -> _Table:
    known = _tables.get(reference)
    if known is None or time.monotonic() - known.read_at > _TABLE_SECONDS:
        known = _tables[reference] = _Table(reference)
    return known


def resource_of(path: str) -> dict[str, Any]:
    """The table of a path `projects/P/datasets/D/tables/T`, as the REST API shows it; empty where there is none."""
    _, project, _, dataset, _, table = path.split("/")
    try:
        loaded = tables.load(project, dataset, table)
    except BigQueryError:
        return {}
    resource: dict[str, Any] = loaded.model_dump(mode="json", exclude_none=True)
    return resource


def store(stream: Any, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Insert all rows or none; returns the errors of those that are at fault. Of a stream that is still to be committed
    the rows are only looked at."""
    table = _table(stream.table)
    faults = [_invalid(place, text) for place, row in enumerate(rows) if (text := table.fault(row))]
    if faults or not rows:
        return faults
    if stream.committed is None:
        return [failure for place, row in enumerate(rows) if (failure := _failure(table, place, row))]
    try:
        insert_all.execute(table.name, table.schema, rows)
    except insert_all.DATA_ERRORS as error:
        failures = [failure for place, row in enumerate(rows) if (failure := _failure(table, place, row))]
        # what only the rows together cannot do is the fault of the first
        return failures or [_invalid(0, str(error))]
    return []


def _failure(table: _Table, place: int, row: dict[str, Any]) -> dict[str, Any] | None:
    """Why a row will not go in alone; it is not stored."""
    with database.cursor() as cursor:
        cursor.begin()
        try:
            insert_all.execute(table.name, table.schema, [row], cursor)
        except insert_all.DATA_ERRORS as error:
            return _invalid(place, str(error))
        finally:
            cursor.rollback()
    return None


def _invalid(place: int, message: str) -> dict[str, Any]:
    return {"index": place, "errors": [{"reason": "invalid", "message": message}]}


def _status(code: grpc.StatusCode, message: str) -> Any:
    """A status with BigQuery's own code in its details."""
    status = _plain_status(code, message)
    storage_code = _CODES.STREAM_FINALIZED if "finalized" in message else _STORAGE_CODES.get(code)
    if storage_code is not None:
        error = types.StorageError(code=storage_code, error_message=message)
        detail = any_pb2.Any()
        detail.Pack(types.StorageError.pb(error), type_url_prefix=_TYPE_PREFIX)
        status.details.append(detail)
    return status


def _append(stream: Any, rows: list[dict[str, Any]], offset: int | None) -> Any:
    """Rows of any stream, not only of a committed one, are held against the table when they come."""
    if stream.type == _COMMITTED:
        return _plain_append(stream, rows, offset)
    # what `store` knows it by; nobody here commits such a stream later
    return _plain_append(dataclasses.replace(stream, type=_COMMITTED, committed=None), rows, offset)


def _one_at_a_time[R](work: Callable[..., R], name_of: Callable[[Any], str]) -> Callable[..., R]:
    def locked(first: Any, *rest: Any) -> R:
        with _locks[name_of(first)]:
            return work(first, *rest)

    return locked


class Faults:
    """The rules of the service, for gRPC: the operation is the method's name, the path the table's or stream's."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    def before(self, operation: str, path: str) -> Action | None:
        """The fault of a call, once it has had its effect on what comes before the work. Raises StorageError."""
        if not self._rules:
            return None
        request = RequestHead(service="bigquery", operation=operation, path=f"/{path}/")
        hit = first_hit(self._rules.candidates(request, time.monotonic()), b"")
        if hit is None or isinstance(hit.action, LoseAnswer):
            return None if hit is None else hit.action
        if isinstance(hit.action, Delay):
            time.sleep(hit.action.seconds)
            return None
        raise _error(hit.action)

    def unary(self, operation: str, work: Callable[[Any], Any], path_of: Callable[[Any], str]) -> Any:
        def call(request: Any) -> Any:
            action = self.before(operation, path_of(request))
            answer = work(request)
            if action is not None:
                raise _reset()
            return answer

        return call

    def append(self, requests: Iterable[Any]) -> Iterator[Any]:
        """AppendRows, with faults for single requests."""
        name = ""
        decode: Any = None
        for request in requests:
            name = request.write_stream or name
            action = self.before("AppendRows", name)
            stream = write._stream(name)
            decode = write._decoder(request) or decode
            rows = decode(request, _table(stream.table).columns)
            answer = write._append(stream, rows, request.offset if "offset" in request else None)
            if action is not None:
                raise _reset()
            yield answer


def _error(action: Action) -> StorageError:
    if not isinstance(action, Answer):
        return _reset()
    if "Exceeded" in action.code:
        return StorageError(grpc.StatusCode.RESOURCE_EXHAUSTED, action.message)
    return StorageError(_HTTP_CODES.get(action.status, grpc.StatusCode.INTERNAL), action.message)


def _reset() -> StorageError:
    return StorageError(grpc.StatusCode.UNAVAILABLE, "connection reset")


_plain_status = write._status
_plain_append = write._append


def install() -> None:
    """Make local-bigquery's appends what Google's are."""
    write._status = _status
    write._insert = store
    write._append = _one_at_a_time(_append, lambda stream: str(stream.name))
    write.finalize = _one_at_a_time(write.finalize, lambda request: str(request.name))


def serve(
    host: str, rules: Rules, *, interceptors: Sequence[grpc.ServerInterceptor] = ()
) -> tuple[grpc.Server, int]:
    """Read and write APIs on a free port."""
    faults = Faults(rules)
    services = {name: dict(methods) for name, methods in server.SERVICES.items()}
    services[_SERVICE] |= {
        "AppendRows": server._streaming(
            faults.append, types.AppendRowsRequest, types.AppendRowsResponse, bidirectional=True
        ),
        "CreateWriteStream": server._unary(
            faults.unary("CreateWriteStream", write.create, lambda request: request.parent),
            types.CreateWriteStreamRequest,
            types.WriteStream,
        ),
        "FinalizeWriteStream": server._unary(
            faults.unary("FinalizeWriteStream", write.finalize, lambda request: request.name),
            types.FinalizeWriteStreamRequest,
            types.FinalizeWriteStreamResponse,
        ),
    }
    pool = concurrent.futures.ThreadPoolExecutor(max_workers=_MOST_CALLS)
    running = grpc.server(pool, interceptors=interceptors, options=[("grpc.max_receive_message_length", -1)])
    running.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(name, methods) for name, methods in services.items()]
    )
    port = running.add_insecure_port(f"{host}:0")
    running.start()
    return running, port
