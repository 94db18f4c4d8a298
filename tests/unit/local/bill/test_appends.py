"""What AppendRows would cost, and the bytes that gRPC sends for it, over a real channel."""

import contextlib
import json
import socket
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pyarrow as pa
import pytest
from google.cloud.bigquery_storage_v1 import types

from consumer.local.bill.appends import Appends
from consumer.local.bill.bigquery import Tables
from consumer.local.bill.meter import Meter
from consumer.local.bill.relay import Relay

METHOD = "/google.cloud.bigquery.storage.v1.BigQueryWrite/AppendRows"
STREAM = "projects/p/datasets/d/tables/t/streams/s"
SCHEMA = pa.schema([("log", pa.string()), ("n", pa.int64())])
TABLE = {
    "tableReference": {"tableId": "t"},
    "schema": {"fields": [{"name": "log", "type": "JSON"}, {"name": "n", "type": "INTEGER"}]},
}


def answer_to(request: Any) -> types.AppendRowsResponse:
    """Refuses rows at offset 7, and those at offset 8 one by one."""
    if request.offset == 7:
        return types.AppendRowsResponse(error={"code": 6})
    if request.offset == 8:
        return types.AppendRowsResponse(row_errors=[{"index": 0, "message": "bad"}])
    return types.AppendRowsResponse(append_result={})


@contextlib.contextmanager
def serving(meter: Meter) -> Iterator[int]:
    """The port at which AppendRows is answered and counted."""
    tables = Tables()
    tables.learn(json.dumps(TABLE).encode())
    server = grpc.server(ThreadPoolExecutor(2), interceptors=[Appends(meter, tables)])

    def append(requests: Iterable[Any], context: Any) -> Iterator[Any]:
        yield from map(answer_to, requests)

    service, _, name = METHOD.lstrip("/").partition("/")
    handler = grpc.stream_stream_rpc_method_handler(
        append, types.AppendRowsRequest.deserialize, types.AppendRowsResponse.serialize
    )
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {name: handler})])
    relay = Relay("127.0.0.1", server.add_insecure_port("127.0.0.1:0"), meter)
    server.start()
    try:
        yield relay.port
    finally:
        relay.close()
        server.stop(None).wait()


def rows(*logs: str) -> bytes:
    batch = pa.record_batch([list(logs), list(range(len(logs)))], schema=SCHEMA)
    return bytes(batch.serialize())


def request(packed: bytes, *, offset: int = 0, first: bool = False) -> types.AppendRowsRequest:
    """The first of a call names the stream and the columns."""
    arrow: dict[str, Any] = {"rows": {"serialized_record_batch": packed}}
    if first:
        arrow["writer_schema"] = {"serialized_schema": bytes(SCHEMA.serialize())}
    named = {"write_stream": STREAM} if first else {}
    return types.AppendRowsRequest(arrow_rows=arrow, offset=offset, **named)


def append(meter: Meter, *requests: types.AppendRowsRequest, compression: Any = None) -> list[Any]:
    with (
        serving(meter) as port,
        grpc.insecure_channel(f"127.0.0.1:{port}", compression=compression) as channel,
    ):
        call = channel.stream_stream(
            METHOD,
            request_serializer=types.AppendRowsRequest.serialize,
            response_deserializer=types.AppendRowsResponse.deserialize,
        )
        return list(call(iter(requests), timeout=20))


def test_rows_are_billed_by_their_logical_size_without_a_minimum() -> None:
    meter = Meter()
    answers = append(meter, request(rows("abc", "d"), first=True), request(rows("e"), offset=2))
    assert len(answers) == 2
    counts = meter.counts()
    assert counts["storage_write_rows"] == 3
    assert counts["storage_write_bytes"] == counts["bigquery_stored_bytes"] == 5 + 3 * 8


@pytest.mark.parametrize("offset", [7, 8])
def test_what_is_refused_costs_nothing(offset: int) -> None:
    meter = Meter()
    append(meter, request(rows("abc"), first=True), request(rows("abc"), offset=offset), request(rows("e")))
    assert meter.counts()["storage_write_rows"] == 2


def test_sent_bytes_are_those_of_the_wire_compressed_or_not() -> None:
    sent = {}
    packed = rows(*["the same text again and again " * 20] * 200)
    for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
        meter = Meter()
        append(meter, request(packed, first=True), compression=compression)
        sent[compression] = meter.counts()["google_sent_bytes"]
        assert meter.counts()["storage_write_rows"] == 200
    assert sent[grpc.Compression.NoCompression] > len(packed)
    assert sent[grpc.Compression.Gzip] < len(packed) / 5


def test_a_relay_passes_both_ways_on_and_counts_every_byte_and_each_end() -> None:
    meter = Meter()
    with socket.create_server(("127.0.0.1", 0)) as server:
        relay = Relay("127.0.0.1", server.getsockname()[1], meter)
        with socket.create_connection(("127.0.0.1", relay.port), timeout=20) as client:
            served, _ = server.accept()
            with served:
                served.settimeout(20)
                client.sendall(b"x" * 100_000)
                client.shutdown(socket.SHUT_WR)
                with served.makefile("rb") as heard:
                    assert len(heard.read()) == 100_000  # up to the end, which is passed on
                served.sendall(b"y" * 10)
                served.shutdown(socket.SHUT_WR)
                with client.makefile("rb") as answered:
                    assert answered.read() == b"y" * 10
        relay.close()
    assert meter.counts() == {"google_sent_bytes": 100_000, "google_received_bytes": 10}
