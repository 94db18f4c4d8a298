"""gRPC calls against a real server that answers as Google documents."""

from array import array
from collections.abc import Iterator
from urllib.parse import urlsplit

import grpc
import pytest
from google.auth.credentials import AnonymousCredentials

from consumer.domain.errors import SetupError
from consumer.settings import load
from consumer.settings.schema import Column
from consumer.sinks.bigquery.api import compression
from consumer.sinks.bigquery.api.token import BearerToken
from consumer.sinks.bigquery.arrow_rows.arrow import Batch, log_batch, schema_of
from consumer.sinks.bigquery.storage_write.answers import CallFailed, RowFault, delivery_error
from consumer.sinks.bigquery.storage_write.writer import GrpcWriter
from consumer.sinks.http.connection import ANSWER_BYTES
from tests.functional.harness.freezing_proxy import freezing_proxy
from tests.functional.harness.storage_write_stub import (
    Aborted,
    Codes,
    Fault,
    Silent,
    StorageWriteStub,
    refusal,
)
from tests.unit.sinks.bigquery.forward_proxy import ForwardProxy, forward_proxy

TABLE = "projects/p/datasets/d/tables/t"
SCHEMA = schema_of(
    [Column("player_id", "STRING"), Column("time", "TIMESTAMP", "REQUIRED"), Column("log", "JSON")]
)
Code = grpc.StatusCode


@pytest.fixture(scope="module")
def google() -> Iterator[StorageWriteStub]:
    stub = StorageWriteStub()
    yield stub
    stub.close()


@pytest.fixture
def writer(google: StorageWriteStub) -> GrpcWriter:
    google.fault = lambda append: None
    return writer_to(google.url)


@pytest.fixture
def hasty_writer(google: StorageWriteStub) -> GrpcWriter:
    """For what is never answered."""
    google.fault = lambda append: None
    return writer_to(google.url, seconds=1.0)


def writer_to(
    url: str, *, idle_seconds: float = 540.0, compresses: bool = False, seconds: float = 30.0
) -> GrpcWriter:
    timeouts = {"connect_timeout_seconds": seconds, "read_timeout_seconds": seconds}
    return GrpcWriter(
        endpoint=url,
        token=BearerToken(AnonymousCredentials, **timeouts),
        idle_seconds=idle_seconds,
        compresses=compresses,
        **timeouts,
    )


def batch(*keys: str) -> Batch:
    return log_batch(keys, array("q", [1_767_323_045_678_000] * len(keys)), [b"{}"] * len(keys))


def append(writer: GrpcWriter, stream: str, offset: int, *keys: str) -> None:
    writer.append(stream, offset, SCHEMA, batch(*keys))


def test_rows_are_appended_and_counted(writer: GrpcWriter, google: StorageWriteStub) -> None:
    stream = writer.create(TABLE)
    append(writer, stream, 0, "a", "b")
    append(writer, stream, 2, "c")
    assert [row["player_id"] for row in google.streams[stream].rows] == ["a", "b", "c"]
    assert writer.finalize([stream]) == writer.finalize([stream]) == {stream: 3}


def test_packed_rows_arrive_in_a_fraction_of_their_bytes(google: StorageWriteStub) -> None:
    """gRPC for Python has no way to say that a message is packed: an upgrade that breaks ours fails here."""
    google.fault = lambda append: None
    with freezing_proxy(google.url) as counting:
        sent = {}
        for compresses in (False, True):
            writer = writer_to(counting.url, compresses=compresses)
            stream = writer.create(TABLE)
            before = counting.sent_bytes
            keys = [f"player-{number % 7}" for number in range(5000)]
            append(writer, stream, 0, *keys)
            append(writer, stream, 5000, "small")
            assert [row["player_id"] for row in google.streams[stream].rows] == [*keys, "small"]
            sent[compresses] = counting.sent_bytes - before
    assert 10_000 < sent[True] * 5 < sent[False]


@pytest.mark.parametrize(
    ("chosen", "compresses"),
    [
        ({}, True),
        ({"bigquery.api_endpoint": "http://127.0.0.1:1"}, True),
        ({"bigquery.storage_endpoint": "http://127.0.0.1:1"}, False),
        ({"bigquery.storage_endpoint": "http://127.0.0.1:1", "bigquery.compression": "gzip"}, True),
        ({"bigquery.compression": "none"}, False),
    ],
)
def test_googles_own_endpoint_is_sent_packed_rows(chosen: dict[str, str], compresses: bool) -> None:
    places = {"bigquery.project": "project", "bigquery.dataset": "dataset", "deadletter.bucket": "bucket"}
    settings = load("bigquery", overrides=places | chosen)
    assert compression.compresses(settings, "bigquery.storage_endpoint") is compresses


def test_many_streams_are_finalized_at_once(writer: GrpcWriter) -> None:
    streams = [writer.create(TABLE) for _ in range(3)]
    append(writer, streams[1], 0, "a")
    assert writer.finalize(streams) == dict(zip(streams, [0, 1, 0], strict=True))
    assert writer.finalize([]) == {}


@pytest.mark.parametrize(
    ("fault", "code", "storage_code"),
    [
        (Aborted(Code.UNAVAILABLE), "UNAVAILABLE", 0),
        (Aborted(Code.RESOURCE_EXHAUSTED), "RESOURCE_EXHAUSTED", 0),
        (Aborted(Code.PERMISSION_DENIED), "PERMISSION_DENIED", 0),
        (Aborted(Code.INTERNAL, after=True), "INTERNAL", 0),
        (Silent(), "DEADLINE_EXCEEDED", 0),
        (refusal(Code.INTERNAL), "INTERNAL", 0),
        (refusal(Code.NOT_FOUND, Codes.TABLE_NOT_FOUND), "NOT_FOUND", 1),
        (refusal(Code.INVALID_ARGUMENT, Codes.STREAM_FINALIZED), "INVALID_ARGUMENT", 6),
    ],
)
def test_a_failure_is_told_by_its_codes_and_the_next_append_goes_through(
    fault: Fault, code: str, storage_code: int, hasty_writer: GrpcWriter, google: StorageWriteStub
) -> None:
    writer = hasty_writer
    stream = writer.create(TABLE)
    google.fault = lambda append: fault
    with pytest.raises(CallFailed) as failure:
        append(writer, stream, 0, "a")
    assert (failure.value.code, failure.value.storage_code) == (code, storage_code)
    google.fault = lambda append: None
    append(writer, stream, len(google.streams[stream].rows), "b")
    assert google.streams[stream].rows[-1]["player_id"] == "b"


def test_a_call_that_the_server_has_ended_is_not_written_on(
    writer: GrpcWriter, google: StorageWriteStub
) -> None:
    stream = writer.create(TABLE)
    append(writer, stream, 0, "a")
    google.end_calls(Code.ABORTED)
    call = writer._appends[stream].call
    google.wait_until(lambda: not call.is_active())
    append(writer, stream, 1, "b")
    assert [row["player_id"] for row in google.streams[stream].rows] == ["a", "b"]
    assert len(google.appends) >= 2


def test_an_idle_call_is_closed_and_the_next_append_opens_another(google: StorageWriteStub) -> None:
    google.fault = lambda append: None
    writer = writer_to(google.url, idle_seconds=0.05)
    stream = writer.create(TABLE)
    append(writer, stream, 0, "a")
    call = writer._appends[stream].call
    google.wait_until(lambda: not call.is_active())
    append(writer, stream, 1, "b")
    assert len(google.streams[stream].rows) == 2


def test_after_a_time_out_another_connection_is_made(
    hasty_writer: GrpcWriter, google: StorageWriteStub
) -> None:
    writer = hasty_writer
    stream = writer.create(TABLE)
    append(writer, stream, 0, "a")
    before = writer._channels[0]
    google.fault = lambda append: Silent()
    with pytest.raises(CallFailed, match="DEADLINE_EXCEEDED"):
        append(writer, stream, 1, "b")
    assert writer._channels[0] is not before
    google.fault = lambda append: None
    append(writer, stream, 2, "c")
    assert [row["player_id"] for row in google.streams[stream].rows] == ["a", "b", "c"]


def test_a_stream_is_made_over_another_connection_where_one_is_frozen(google: StorageWriteStub) -> None:
    with freezing_proxy(google.url) as proxy:
        writer = writer_to(proxy.url, seconds=1.0)
        stream = writer.create(TABLE)
        proxy.freeze()
        with pytest.raises(CallFailed, match="DEADLINE_EXCEEDED"):
            writer.create(TABLE)
        assert writer.create(TABLE) != stream
        proxy.freeze()
        with pytest.raises(CallFailed, match="DEADLINE_EXCEEDED"):
            writer.finalize([stream])
        assert writer.finalize([stream]) == {stream: 0}


def test_offsets_are_the_servers_to_judge(writer: GrpcWriter) -> None:
    stream = writer.create(TABLE)
    append(writer, stream, 0, "a")
    with pytest.raises(CallFailed, match="ALREADY_EXISTS") as exists:
        append(writer, stream, 0, "a")
    assert exists.value.storage_code == Codes.OFFSET_ALREADY_EXISTS
    with pytest.raises(CallFailed, match="OUT_OF_RANGE"):
        append(writer, stream, 2, "a")


def test_bad_rows_come_by_index(writer: GrpcWriter, google: StorageWriteStub) -> None:
    stream = writer.create(TABLE)
    google.fault = lambda append: refusal(Code.INVALID_ARGUMENT, None, 1)
    with pytest.raises(CallFailed) as failure:
        append(writer, stream, 0, "a", "b")
    assert failure.value.rows == (RowFault(1, "row 1 is bad"),)


def test_an_answer_without_end_is_not_taken(writer: GrpcWriter, google: StorageWriteStub) -> None:
    stream = writer.create(TABLE)
    answer = refusal(Code.INVALID_ARGUMENT, None, 0)
    answer.row_errors[0].message = "x" * (ANSWER_BYTES + 1)
    google.fault = lambda append: answer
    with pytest.raises(CallFailed, match="larger than max"):
        append(writer, stream, 0, "a")


def test_nobody_at_the_endpoint_is_unavailable() -> None:
    with pytest.raises(CallFailed, match="UNAVAILABLE"):
        writer_to("http://127.0.0.1:1").create(TABLE)


@pytest.fixture
def proxy() -> Iterator[ForwardProxy]:
    with forward_proxy() as running:
        yield running


def elsewhere(google: StorageWriteStub) -> str:
    """An address that only a proxy can reach."""
    return f"http://storage.example:{urlsplit(google.url).port}"


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_the_proxy_is_that_of_all_other_requests(
    google: StorageWriteStub, proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, f"http://me:s%3Acret@{proxy.address}")
    google.fault = lambda append: None
    writer = writer_to(elsewhere(google))
    stream = writer.create(TABLE)
    append(writer, stream, 0, "a")
    assert [row["player_id"] for row in google.streams[stream].rows] == ["a"]
    asked = proxy.seen[0]
    assert (asked.method, asked.target) == ("CONNECT", elsewhere(google).removeprefix("http://"))
    assert asked.headers["proxy-authorization"] == "Basic bWU6czpjcmV0"


@pytest.mark.parametrize(
    "variables",
    [
        {"HTTP_PROXY": "", "https_proxy": "{}"},
        {"http_proxy": "{}", "NO_PROXY": "127.0.0.1"},
        {"http_proxy": "{}", "no_proxy": "*"},
    ],
)
def test_what_is_asked_directly_by_all_others_is_asked_directly(
    google: StorageWriteStub,
    proxy: ForwardProxy,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(proxy.url))
    assert writer_to(google.url).create(TABLE)
    assert proxy.seen == []


def test_a_proxy_for_grpc_alone_counts_more(
    google: StorageWriteStub, proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("grpc_proxy", proxy.url)
    assert writer_to(elsewhere(google)).create(TABLE)
    assert proxy.seen


def test_a_proxy_that_refuses_asks_for_a_person(
    google: StorageWriteStub, proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    proxy.answer = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    with pytest.raises(CallFailed) as failure:
        writer_to(elsewhere(google)).create(TABLE)
    error = delivery_error(failure.value, "t")
    assert isinstance(error, SetupError)
    assert error.setting == "HTTPS_PROXY"
