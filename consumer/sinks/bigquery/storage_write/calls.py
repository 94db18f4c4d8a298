"""Calls of the Storage Write API that are under way, and what their answers say."""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from consumer.sinks.bigquery.storage_write import messages_pb2 as messages
from consumer.sinks.bigquery.storage_write.answers import CallFailed, RowFault
from consumer.sinks.bigquery.storage_write.packed import Packed

_DETAILS = "grpc-status-details-bin"


@dataclass(slots=True)
class Unary:
    """A call with one answer, on a channel."""

    future: Any
    channel: Any

    def answer(self) -> Any:
        """Blocks."""
        with failures():
            return self.future.result()


@dataclass(slots=True)
class Appends:
    """An AppendRows call on a channel; one request at a time, which is to be answered within `seconds`. Another thread
    looks after it meanwhile."""

    requests: Any
    call: Any
    seconds: float
    channel: Any
    deadline: float = math.inf
    timed_out: bool = False
    busy: bool = True
    used_at: float = field(default_factory=time.monotonic)
    lock: Any = field(default_factory=threading.Lock)

    def begin(self) -> bool:
        """Whether a request can be put: not once the call has ended, whoever has ended it. A request that is put on
        such a call fails, and nobody can tell whether its rows were written."""
        with self.lock:
            self.busy = bool(self.call.is_active())
            return self.busy

    def put(self, request: bytes | Packed) -> None:
        self.deadline = time.monotonic() + self.seconds
        self.requests.put(request)

    def answer(self) -> Any:
        """To the request that was put. Blocks."""
        try:
            return next(self.call)
        except StopIteration:
            raise CallFailed(code="UNAVAILABLE", message="the server has closed the connection") from None
        except grpc.RpcError as error:
            if self.timed_out:
                raise CallFailed(
                    code="DEADLINE_EXCEEDED", message=f"no answer in {self.seconds:g} s"
                ) from error
            raise
        finally:
            self.deadline = math.inf
            self.used_at = time.monotonic()
            self.busy = False

    def close(self) -> None:
        self.requests.put(None)
        self.call.cancel()

    def close_if_idle(self, seconds: float) -> None:
        """To be called by another thread now and then."""
        with self.lock:
            if not self.busy and time.monotonic() - self.used_at > seconds:
                self.close()

    def cancel_if_late(self) -> None:
        """The same."""
        if time.monotonic() > self.deadline:
            self.timed_out = True
            self.call.cancel()


@contextmanager
def failures() -> Iterator[None]:
    """gRPC's errors as CallFailed."""
    try:
        yield
    except grpc.RpcError as error:
        call: Any = error
        raise CallFailed(
            code=call.code().name, message=str(call.details()), storage_code=_storage_code(_details(call))
        ) from error


def _details(call: Any) -> Any:
    for name, value in call.trailing_metadata() or ():
        if name == _DETAILS:
            return messages.Status.FromString(value).details
    return ()


def _storage_code(details: Any) -> int:
    """BigQuery's own code beside gRPC's; 0 where there is none."""
    for detail in details:
        if detail.type_url.endswith("/google.cloud.bigquery.storage.v1.StorageError"):
            return int(messages.StorageError.FromString(detail.value).code)
    return 0


_CODE_NAMES: dict[int, str] = {code.value[0]: code.name for code in grpc.StatusCode}


def check(answer: Any, offset: int) -> None:
    """Raises CallFailed unless the rows were written at the offset."""
    if answer.HasField("error"):
        error = answer.error
        faults = tuple(RowFault(int(one.index), str(one.message)) for one in answer.row_errors)
        raise CallFailed(
            code=_CODE_NAMES.get(error.code, "UNKNOWN"),
            message=error.message,
            storage_code=_storage_code(error.details),
            rows=faults,
        )
    if not answer.HasField("append_result"):
        raise CallFailed(code="UNKNOWN", message="neither a result nor an error")
    result = answer.append_result
    if result.HasField("offset") and result.offset.value != offset:
        raise CallFailed(
            code="DATA_LOSS", message=f"rows for offset {offset} were written at {result.offset.value}"
        )
