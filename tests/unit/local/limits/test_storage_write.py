"""The Storage Write API refuses, delays and ends calls as Google's does; its methods are played by the test."""

import queue
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import grpc
import pyarrow
import pytest
from google.cloud.bigquery_storage_v1 import types

from consumer.local.limits.meters import Meters
from consumer.local.limits.storage_write import WriteLimits
from consumer.local.limits.table import Limits
from tests.unit.local.limits.clocks import Clock

SERVICE = "/google.cloud.bigquery.storage.v1.BigQueryWrite"
TABLE = "projects/p/datasets/d/tables/t"
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
THREE_DAYS = 3 * 86_400


class Aborted(Exception):
    """What a call has ended with."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message


class Context:
    def abort(self, code: grpc.StatusCode, message: str) -> None:
        raise Aborted(code, message)


@dataclass
class Methods:
    """The service behind: makes streams, counts their rows, and knows which are finalized."""

    streams: int = 0
    appended: list[str] = field(default_factory=list)
    finalized: set[str] = field(default_factory=set)

    def create(self, request: Any, context: Any) -> Any:
        self.streams += 1
        return types.WriteStream(name=f"{request.parent}/streams/{self.streams}")

    def finalize(self, request: Any, context: Any) -> Any:
        self.finalized.add(request.name)
        return types.FinalizeWriteStreamResponse(row_count=len(self.appended))

    def append(self, requests: Iterable[Any], context: Any) -> Iterator[Any]:
        name = ""
        for request in requests:
            name = request.write_stream or name
            if name in self.finalized:
                yield types.AppendRowsResponse(error={"code": 3, "message": "Stream is finalized"})
                continue
            self.appended.append(name)
            yield types.AppendRowsResponse(write_stream=name)

    def handler(self, details: Any) -> Any:
        match details.method.rpartition("/")[2]:
            case "CreateWriteStream":
                return grpc.unary_unary_rpc_method_handler(self.create)
            case "FinalizeWriteStream" | "GetWriteStream":
                return grpc.unary_unary_rpc_method_handler(self.finalize)
            case "AppendRows":
                return grpc.stream_stream_rpc_method_handler(self.append)
        return None


class Google:
    """The interceptor before the methods. Seconds among the requests of a call stand for a time without any."""

    def __init__(self, scale: float = 1.0, **given: float) -> None:
        self.clock = Clock()
        self.methods = Methods()
        limits = Limits(scale=scale, given={name.replace("__", "."): value for name, value in given.items()})
        self.meters = Meters(limits, self.clock)
        self.slept: list[float] = []
        self.tables = {TABLE: {"timePartitioning": {"field": "time", "type": "DAY"}}}
        self.limits = WriteLimits(
            self.meters,
            lambda path: self.tables.get(path, {}),
            get=self._get,
            sleep=self.slept.append,
            wall_clock=NOW.timestamp,
        )

    def _get(self, requests: Any, seconds: float) -> Any:
        request = requests.get(timeout=10)
        if isinstance(request, int):
            self.clock.wait(request)
            raise queue.Empty
        return request

    def method(self, name: str, service: str = SERVICE) -> Any:
        details = SimpleNamespace(method=f"{service}/{name}", invocation_metadata=())
        return self.limits.intercept_service(self.methods.handler, details)

    def create(self) -> str:
        request = types.CreateWriteStreamRequest(parent=TABLE)
        return str(self.method("CreateWriteStream").unary_unary(request, Context()).name)

    def stream(self, *, gone: bool) -> str:
        """One that is gone after three days without a row, or finalized."""
        while True:
            name = self.create()
            if (zlib.crc32(name.encode()) % 2 == 0) is gone:
                return name

    def call(self, *requests: Any) -> Iterator[Any]:
        return iter(self.method("AppendRows").stream_stream(iter(requests), Context()))

    def append(self, name: str) -> Any:
        return next(self.call(types.AppendRowsRequest(write_stream=name)))

    def refused(self, name: str) -> int:
        return int(self.meters.report().get(name, {}).get("refused", 0))


def rows(name: str, *times: datetime | None) -> Any:
    """A request of rows with these times."""
    batch = pyarrow.record_batch({"time": pyarrow.array(times, pyarrow.timestamp("us", "UTC"))})
    request = types.AppendRowsRequest(write_stream=name)
    request.arrow_rows.writer_schema.serialized_schema = batch.schema.serialize().to_pybytes()
    request.arrow_rows.rows.serialized_record_batch = batch.serialize().to_pybytes()
    return request


def test_an_hour_gives_ten_thousand_streams_of_a_project() -> None:
    google = Google(storage_write__creates=2)
    google.create()
    google.create()
    with pytest.raises(Aborted, match="Exceeds 'CreateWriteStream requests' quota, user_id: p") as failure:
        google.create()
    assert failure.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    google.clock.wait(3600)
    google.create()


def test_hours_are_as_short_as_the_scale_says() -> None:
    google = Google(scale=3600, storage_write__creates=1)
    google.create()
    google.clock.wait(1)
    google.create()


def test_fifty_creates_a_second_take_25_seconds() -> None:
    google = Google()
    for _ in range(40):
        google.create()
    assert google.slept == []
    for _ in range(12):
        google.create()
    assert google.slept == [2.5, 5, 7.5, 10, 12.5, 15, 17.5, 20, 22.5, 25, 25, 25]
    assert google.methods.streams == 52


def test_a_stream_with_traffic_lives_on() -> None:
    google = Google()
    name = google.create()
    for _ in range(3):
        google.clock.wait(THREE_DAYS)
        assert not google.append(name).error.code


def test_a_stream_without_a_row_for_three_days_is_gone() -> None:
    google = Google()
    name = google.stream(gone=True)
    google.append(name)
    google.clock.wait(THREE_DAYS + 1)
    for _ in range(2):
        with pytest.raises(Aborted, match=f"Requested entity was not found. Entity: {name}") as failure:
            google.append(name)
        assert failure.value.code is grpc.StatusCode.NOT_FOUND
    for method in ("FinalizeWriteStream", "GetWriteStream"):
        request = types.FinalizeWriteStreamRequest(name=name)
        with pytest.raises(Aborted, match="not found"):
            google.method(method).unary_unary(request, Context())
    assert google.refused("storage_write.idle_stream") == 1
    assert google.methods.appended == [name]


def test_or_it_is_finalized_and_its_rows_can_still_be_counted() -> None:
    google = Google()
    name = google.stream(gone=False)
    google.append(name)
    google.clock.wait(THREE_DAYS + 1)
    assert google.append(name).error.message == "Stream is finalized"
    request = types.FinalizeWriteStreamRequest(name=name)
    assert google.method("FinalizeWriteStream").unary_unary(request, Context()).row_count == 1


def test_a_call_without_a_request_for_ten_minutes_is_aborted() -> None:
    google = Google()
    name = google.create()
    request = types.AppendRowsRequest(write_stream=name)
    answers = google.call(599, request, 300, 299, request, 599, 1)
    next(answers)
    next(answers)
    with pytest.raises(Aborted, match="inactive for 600 seconds. Entity: " + name) as failure:
        next(answers)
    assert failure.value.code is grpc.StatusCode.ABORTED
    assert google.methods.appended == [name, name]
    assert not google.append(name).error.code


def test_a_call_that_the_client_ends_is_over() -> None:
    google = Google()
    assert len(list(google.call(*[types.AppendRowsRequest(write_stream=google.create())] * 3))) == 3


def test_a_broken_connection_ends_the_call() -> None:
    google = Google()

    def requests() -> Iterator[Any]:
        yield types.AppendRowsRequest(write_stream=google.create())
        raise RuntimeError

    assert len(list(google.method("AppendRows").stream_stream(requests(), Context()))) == 1


def test_so_many_calls_are_open_at_once() -> None:
    google = Google(storage_write__connections=2)
    name = google.create()
    request = types.AppendRowsRequest(write_stream=name)
    first, second = google.call(request), google.call(request)
    next(first)
    next(second)
    with pytest.raises(Aborted, match="Exceeds 'Concurrent connections' quota"):
        google.append(name)
    assert list(first) == []
    assert not google.append(name).error.code
    assert google.meters.report()["storage_write.connections"]["most"] == 3


def test_a_request_of_more_than_twenty_megabytes_is_refused() -> None:
    google = Google()
    request = types.AppendRowsRequest(write_stream=google.create())
    request.arrow_rows.rows.serialized_record_batch = bytes(20_000_000)
    with pytest.raises(Aborted, match=r"exceeds the limit: 20000000 bytes\.$") as failure:
        next(google.call(request))
    assert failure.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert google.methods.appended == []


def test_bytes_a_second_are_a_quota_of_the_project() -> None:
    google = Google(storage_write__bytes=60)
    name = google.create()
    google.append(name)
    with pytest.raises(Aborted, match="Exceeds 'AppendRows throughput' quota"):
        google.append(name)
    google.clock.wait(1)
    google.append(name)


def test_rows_of_partitions_that_take_none_are_named_and_nothing_is_stored() -> None:
    google = Google()
    name = google.create()
    good = rows(name, NOW, None, NOW - timedelta(days=3650))
    bad = rows("", NOW, NOW - timedelta(days=3651), NOW + timedelta(days=367))
    first, second, third = google.call(good, bad, good)
    assert not first.error.code
    assert not third.error.code
    assert second.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert [one.index for one in second.row_errors] == [1, 2]
    assert "outside the allowed bounds" in second.row_errors[0].message
    assert google.methods.appended == [name, name]


def test_a_table_without_partitions_takes_every_time() -> None:
    google = Google()
    google.tables.clear()
    assert not next(google.call(rows(google.create(), datetime(1999, 1, 1, tzinfo=UTC)))).error.code


def test_other_services_are_left_alone() -> None:
    google = Google()
    assert google.method("ReadRows") is None
    handler = google.method("CreateWriteStream", "/google.cloud.bigquery.storage.v1.BigQueryRead")
    assert handler.unary_unary == google.methods.create
