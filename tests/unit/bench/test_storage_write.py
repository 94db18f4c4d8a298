"""The discarding Storage Write API: its offsets are Google's, and it counts what it takes."""

import json
from collections.abc import Iterator
from typing import Any

import grpc
import pyarrow as pa
import pytest
from google.cloud.bigquery_storage_v1 import types

from tests.bench.counts import Behaviour, Counts
from tests.bench.inputs import payload
from tests.bench.storage_write import StorageWrite

SERVICE = "/google.cloud.bigquery.storage.v1.BigQueryWrite/"
TABLE = "projects/p/datasets/d/tables/t"
LOG = pa.schema([("player_id", pa.string()), ("log", pa.string())])
FIELDS = pa.schema([("note", pa.string()), ("number", pa.int64())])


class Api:
    """A client of a running server, whose counts are at hand."""

    def __init__(self) -> None:
        self.counts = Counts(Behaviour())
        self._server, port = StorageWrite(lambda: self.counts).serve()
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}")

    def close(self) -> None:
        self._channel.close()
        self._server.stop(None).wait()

    def create(self) -> str:
        request = types.CreateWriteStreamRequest(parent=TABLE)
        return str(self._unary("CreateWriteStream", request, types.WriteStream).name)

    def finalize(self, stream: str) -> int:
        request = types.FinalizeWriteStreamRequest(name=stream)
        return int(self._unary("FinalizeWriteStream", request, types.FinalizeWriteStreamResponse).row_count)

    def append(self, stream: str, *offsets_and_batches: tuple[int, pa.RecordBatch]) -> list[Any]:
        """The answers to one call's requests; names of stream and columns are only in the first one."""
        requests = []
        for place, (offset, batch) in enumerate(offsets_and_batches):
            request = types.AppendRowsRequest(offset=offset)
            request.arrow_rows.rows.serialized_record_batch = batch.serialize().to_pybytes()
            if place == 0:
                request.write_stream = stream
                request.arrow_rows.writer_schema.serialized_schema = batch.schema.serialize().to_pybytes()
            requests.append(request)
        method = self._channel.stream_stream(
            f"{SERVICE}AppendRows", types.AppendRowsRequest.serialize, types.AppendRowsResponse.deserialize
        )
        return list(method(iter(requests)))

    def arrived(self) -> dict[str, int]:
        counted: dict[str, int] = json.loads(self.counts.as_json())
        return counted

    def _unary(self, operation: str, request: Any, answer: Any) -> Any:
        method = self._channel.unary_unary(
            f"{SERVICE}{operation}", type(request).serialize, answer.deserialize
        )
        return method(request)


@pytest.fixture
def api() -> Iterator[Api]:
    made = Api()
    yield made
    made.close()


def logs(*numbers: int) -> pa.RecordBatch:
    texts = [payload(number, 700).decode() for number in numbers]
    return pa.record_batch([pa.array(["a"] * len(texts)), pa.array(texts)], schema=LOG)


def test_records_are_counted_by_the_numbers_in_their_texts_or_of_their_own(api: Api) -> None:
    answers = api.append(api.create(), (0, logs(1, 2)), (2, logs(3)))
    assert [answer.append_result.offset for answer in answers] == [0, 2]
    assert (api.arrived()["records"], api.arrived()["number_sum"]) == (3, 3 * 10**11 + 6)
    fields = pa.record_batch([pa.array(["a", "b"]), pa.array([7, 8])], schema=FIELDS)
    api.append(api.create(), (0, fields))
    assert (api.arrived()["records"], api.arrived()["number_sum"]) == (5, 3 * 10**11 + 6 + 15)
    assert api.arrived()["requests"] == 3


def test_rows_are_taken_at_the_next_offset_only_and_counted_once(api: Api) -> None:
    again, beyond, fitting = api.append(stream := api.create(), (0, logs(1, 2)), (0, logs(1)), (3, logs(3)))[
        1:
    ] + api.append(stream, (2, logs(3)))
    assert again.error.code == grpc.StatusCode.ALREADY_EXISTS.value[0]
    assert beyond.error.code == grpc.StatusCode.OUT_OF_RANGE.value[0]
    assert fitting.append_result.offset == 2
    assert api.arrived()["records"] == 3


def test_a_finalized_stream_tells_its_rows_and_takes_no_more(api: Api) -> None:
    stream = api.create()
    api.append(stream, (0, logs(1, 2)))
    assert (api.finalize(stream), api.finalize(stream)) == (2, 2)
    [answer] = api.append(stream, (2, logs(3)))
    assert "finalized" in answer.error.message
    assert api.arrived()["records"] == 2


def test_streams_outlive_the_counts(api: Api) -> None:
    stream = api.create()
    api.append(stream, (0, logs(1, 2)))
    api.counts = Counts(Behaviour())
    api.append(stream, (2, logs(3)))
    assert (api.arrived()["records"], api.finalize(stream)) == (1, 3)


def test_in_an_outage_everything_is_unavailable(api: Api) -> None:
    stream = api.create()
    api.counts = Counts(Behaviour(outage=True))
    for call in (api.create, lambda: api.finalize(stream), lambda: api.append(stream, (0, logs(1)))):
        with pytest.raises(grpc.RpcError) as error:
            call()
        assert error.value.code() is grpc.StatusCode.UNAVAILABLE
    assert (api.arrived()["refused"], api.arrived()["records"]) == (3, 0)


def test_a_stream_that_nobody_has_made_is_not_found(api: Api) -> None:
    with pytest.raises(grpc.RpcError) as error:
        api.append(f"{TABLE}/streams/1", (0, logs(1)))
    assert error.value.code() is grpc.StatusCode.NOT_FOUND
