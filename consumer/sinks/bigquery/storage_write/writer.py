"""The Storage Write API over gRPC: one call an answer, no hidden repeats."""

import math
import os
import queue
import threading
import time
from collections.abc import Sequence
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

import grpc

from consumer.sinks.bigquery.api.compression import WORTH_IT_BYTES, pack
from consumer.sinks.bigquery.api.token import BearerToken
from consumer.sinks.bigquery.arrow_rows.arrow import Batch
from consumer.sinks.bigquery.storage_write import messages_pb2 as messages
from consumer.sinks.bigquery.storage_write.answers import CallFailed
from consumer.sinks.bigquery.storage_write.calls import Appends, Unary, check, failures
from consumer.sinks.bigquery.storage_write.messages import append_rows
from consumer.sinks.bigquery.storage_write.pace import Pace
from consumer.sinks.bigquery.storage_write.packed import Packed, allow_packed
from consumer.sinks.http.connection import ANSWER_BYTES
from consumer.sinks.http.proxies import http_proxy_of

DEFAULT_ENDPOINT = "https://bigquerystorage.googleapis.com"

_OWN_PROXY = "grpc_proxy"
_SERVICE = "/google.cloud.bigquery.storage.v1.BigQueryWrite/"
_STREAMS_A_CHANNEL = 50
"""Servers take about 100 concurrent streams on one HTTP/2 connection; gRPC queues what is beyond without a word."""

_IDLE_SECONDS = 540.0
"""The server ends a call that was idle for ten minutes, and then the next request on it fails.
https://github.com/googleapis/python-bigquery-storage/issues/593"""

CHANNEL_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", ANSWER_BYTES),
    ("grpc.use_local_subchannel_pool", 1),
    # one attempt a call: repeating is the delivery's task
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5000),
    # a connection on which nothing comes back any more is given up, as Google's own clients do it
    ("grpc.keepalive_time_ms", 45_000),
    ("grpc.keepalive_timeout_ms", 15_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
]


class Writer(Protocol):
    """What the sink asks of the Storage Write API. Calls block; they raise CallFailed, TransientError or SetupError."""

    def create(self, table_path: str, *, committed: bool = True) -> str:
        """A new stream; its name. Of one that is not COMMITTED, no row is ever seen."""

    def finalize(self, streams: Sequence[str], *, seconds: float = math.inf) -> dict[str, int]:
        """No stream takes rows from here on; how many each has. Repeating it gives the same. Waits for `seconds`, or as
        long as any call may take."""

    def append(self, stream: str, offset: int, schema: bytes, batch: Batch) -> None:
        """Rows at an offset; returns once they are written."""

    def forget(self, stream: str) -> None:
        """No more appends to it from here."""


class GrpcWriter:
    """One gRPC call for each stream that is appended to, held open."""

    def __init__(
        self,
        *,
        endpoint: str | None,
        token: BearerToken,
        connect_timeout_seconds: float,
        read_timeout_seconds: float,
        compresses: bool = False,
        idle_seconds: float = _IDLE_SECONDS,
    ) -> None:
        """Rows are packed where the writer `compresses`. A call on which nothing was appended for `idle_seconds` is
        closed."""
        self._pace = Pace()
        self._compresses = compresses
        if compresses:
            allow_packed()
        self._idle_seconds = idle_seconds
        self._endpoint = urlsplit(endpoint or DEFAULT_ENDPOINT)
        self._token = token
        self._unary_seconds = connect_timeout_seconds + read_timeout_seconds
        self._read_seconds = read_timeout_seconds
        self._channels: list[Any] = []
        self._appends: dict[str, Appends] = {}
        self._watched = False

    def create(self, table_path: str, *, committed: bool = True) -> str:
        kinds = messages.WriteStream
        request = messages.CreateWriteStreamRequest(parent=table_path)
        request.write_stream.type = kinds.COMMITTED if committed else kinds.PENDING

        def made() -> str:
            answer = self._unary("CreateWriteStream", request, messages.WriteStream, parent=table_path)
            return str(self._answer_of(answer).name)

        return self._pace.make(made)

    def finalize(self, streams: Sequence[str], *, seconds: float = math.inf) -> dict[str, int]:
        calls = {
            stream: self._unary(
                "FinalizeWriteStream",
                messages.FinalizeWriteStreamRequest(name=stream),
                messages.FinalizeWriteStreamResponse,
                seconds,
                name=stream,
            )
            for stream in streams
        }
        return {stream: int(self._answer_of(call).row_count) for stream, call in calls.items()}

    def append(self, stream: str, offset: int, schema: bytes, batch: Batch) -> None:
        appends = self._appends.get(stream)
        if appends is not None and not appends.begin():
            self.forget(stream)
            appends = None
        if appends is None:
            appends = self._appends[stream] = self._open(stream)
            # both only on a connection's first request
            request = append_rows(stream=stream, offset=offset, schema=schema, batch=batch)
        else:
            request = append_rows(stream="", offset=offset, schema=b"", batch=batch)
        packs = self._compresses and len(request) >= WORTH_IT_BYTES
        appends.put(Packed(pack(request)) if packs else request)
        # they are copied, and gRPC copies them again: what is large should not be here several times meanwhile
        del batch, request
        try:
            with failures():
                answer = appends.answer()
            check(answer, offset)
        except BaseException:
            if appends.timed_out:
                self._replace(appends.channel)
            self.forget(stream)
            raise

    def forget(self, stream: str) -> None:
        appends = self._appends.pop(stream, None)
        if appends is not None:
            appends.close()

    def _open(self, stream: str) -> Appends:
        metadata = self._metadata(write_stream=stream)
        channel = self._channel(len(self._appends) // _STREAMS_A_CHANNEL)
        method = channel.stream_stream(f"{_SERVICE}AppendRows", None, messages.AppendRowsResponse.FromString)
        requests: queue.SimpleQueue[bytes | Packed | None] = queue.SimpleQueue()
        self._watch()
        compression = grpc.Compression.Gzip if self._compresses else None
        call = method(iter(requests.get, None), metadata=metadata, compression=compression)
        return Appends(requests, call, self._read_seconds, channel)

    def _watch(self) -> None:
        """One thread for the times of all calls: a timer for each request costs more than the rest of the request."""
        if not self._watched:
            self._watched = True
            threading.Thread(target=self._look_after_calls, daemon=True).start()

    def _look_after_calls(self) -> None:
        while True:
            time.sleep(min(1.0, self._read_seconds / 4, self._idle_seconds / 4))
            for appends in list(self._appends.values()):
                appends.cancel_if_late()
                appends.close_if_idle(self._idle_seconds)

    def _unary(
        self, operation: str, request: Any, answer: Any, seconds: float = math.inf, /, **routing: str
    ) -> Unary:
        channel = self._channel(0)
        method = channel.unary_unary(
            f"{_SERVICE}{operation}", type(request).SerializeToString, answer.FromString
        )
        timeout = min(self._unary_seconds, seconds)
        return Unary(method.future(request, timeout=timeout, metadata=self._metadata(**routing)), channel)

    def _answer_of(self, unary: Unary) -> Any:
        try:
            return unary.answer()
        except CallFailed as failure:
            if failure.code == "DEADLINE_EXCEEDED":
                self._replace(unary.channel)
            raise

    def _metadata(self, **routing: str) -> list[tuple[str, str]]:
        """The routing header is what sends a request to the region of its table."""
        routes = "&".join(f"{name}={quote(value, safe='')}" for name, value in routing.items())
        headers = self._token.headers() | {"x-goog-request-params": routes}
        return [(name.lower(), value) for name, value in headers.items()]

    def _channel(self, place: int) -> Any:
        while len(self._channels) <= place:
            self._channels.append(self._new_channel())
        return self._channels[place]

    def _replace(self, channel: Any) -> None:
        """Nothing may come back on its connection ever again. Calls that go on keep it."""
        if channel in self._channels:
            self._channels[self._channels.index(channel)] = self._new_channel()

    def _new_channel(self) -> Any:
        """Raises SetupError for a proxy that is none."""
        target = self._endpoint.netloc
        options = [*CHANNEL_OPTIONS, *_proxy_options(self._endpoint.geturl())]
        if self._endpoint.scheme == "http":
            return grpc.insecure_channel(target, options)
        target = target if self._endpoint.port else f"{target}:443"
        return grpc.secure_channel(target, grpc.ssl_channel_credentials(), options)


def _proxy_options(url: str) -> list[tuple[str, str | int]]:
    """The proxy that every other request has. gRPC by itself reads the variables in lower case alone, takes http_proxy
    for all that is not in https_proxy, and knows no `*` in no_proxy. What is set for it alone, counts more."""
    if os.environ.get(_OWN_PROXY):
        return []
    proxy = http_proxy_of(url)
    return [("grpc.enable_http_proxy", 0)] if proxy is None else [("grpc.http_proxy", proxy.url())]
