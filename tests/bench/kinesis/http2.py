"""The server's end of one HTTP/2 connection (RFC 9113) without TLS, as a client with prior knowledge opens it.

Bodies of many megabytes go out as views of one bytes object, a frame's head before each: a library that builds and
checks every frame costs more than the rest of the stub. No I/O here: bytes in, requests and buffers out.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from hpack import Decoder, Encoder, HPACKError

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

_END_STREAM, _ACK, _END_HEADERS, _PADDED, _WITH_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
_HEADER_TABLE_SIZE, _MAX_CONCURRENT_STREAMS, _INITIAL_WINDOW_SIZE, _MAX_FRAME_SIZE = 1, 3, 4, 5
_HEAD_BYTES = 9
_DEFAULT_WINDOW = 65_535
_DEFAULT_FRAME_BYTES = 16_384
_STREAMS = 128

type Buffer = bytes | memoryview


class _Kind(IntEnum):
    """Of frames; those that a client may send and a server may ignore have no name here."""

    DATA = 0
    HEADERS = 1
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Http2Error(Exception):
    """The client broke the protocol: the connection cannot go on."""


@dataclass(slots=True)
class Request:
    stream: int
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class _Stream:
    """A request that arrives, and then its answer that leaves."""

    window: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    answer: memoryview | None = None
    sent: int = 0


class Connection:
    """Give it what was read; it returns requests, and `output` what is to be written."""

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._encoder = Encoder()
        self._input = bytearray()
        self._preface = False
        self._streams: dict[int, _Stream] = {}
        self._window = _DEFAULT_WINDOW
        self._stream_window = _DEFAULT_WINDOW
        self._frame_bytes = _DEFAULT_FRAME_BYTES
        self._header_block: tuple[int, bytes, bool] | None = None
        self._output: list[Buffer] = [
            _frame(_Kind.SETTINGS, payload=struct.pack(">HI", _MAX_CONCURRENT_STREAMS, _STREAMS))
        ]

    def receive(self, data: bytes) -> list[Request]:
        """The requests that are complete with these bytes. Raises Http2Error."""
        self._input += data
        try:
            requests = [found for frame in self._frames() if (found := self._take(*frame)) is not None]
        except (HPACKError, struct.error, IndexError, UnicodeDecodeError) as error:
            raise Http2Error(str(error)) from error
        self._send()
        return requests

    def respond(self, request: Request, status: int, content_type: str, body: bytes) -> None:
        """Answer a request; one that the client has given up is dropped. `body` is not copied."""
        stream = self._streams.get(request.stream)
        if stream is None:
            return
        block = self._encoder.encode(
            [
                (":status", str(status)),
                ("content-type", content_type),
                ("content-length", str(len(body))),
                ("x-amzn-requestid", f"{request.stream:08}"),
            ]
        )
        flags = _END_HEADERS if body else _END_HEADERS | _END_STREAM
        self._output.append(_frame(_Kind.HEADERS, flags, request.stream, block))
        if body:
            stream.answer = memoryview(body)
            self._send()
        else:
            del self._streams[request.stream]

    def output(self) -> Sequence[Buffer]:
        """What is to be written, once."""
        output, self._output = self._output, []
        return output

    def _frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        """Kind, flags, stream and payload of each frame that is there in full."""
        if not self._preface:
            if len(self._input) < len(PREFACE):
                return
            if not self._input.startswith(PREFACE):
                raise Http2Error("not HTTP/2 with prior knowledge")
            del self._input[: len(PREFACE)]
            self._preface = True
        while len(self._input) >= _HEAD_BYTES:
            length = int.from_bytes(self._input[:3])
            kind, flags = self._input[3], self._input[4]
            stream = int.from_bytes(self._input[5:9]) & 0x7FFF_FFFF
            if length > _DEFAULT_FRAME_BYTES:
                raise Http2Error(f"a frame of {length} bytes")
            end = _HEAD_BYTES + length
            if len(self._input) < end:
                return
            payload = bytes(self._input[_HEAD_BYTES:end])
            del self._input[:end]
            yield kind, flags, stream, payload

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> Request | None:
        match kind:
            case _Kind.DATA:
                return self._take_data(flags, stream, payload)
            case _Kind.HEADERS:
                return self._take_headers(stream, _unpadded(flags, payload), flags)
            case _Kind.CONTINUATION:
                return self._take_continuation(flags, payload)
            case _Kind.RST_STREAM:
                self._streams.pop(stream, None)
            case _Kind.SETTINGS if not flags & _ACK:
                self._take_settings(payload)
            case _Kind.PING if not flags & _ACK:
                self._output.append(_frame(_Kind.PING, _ACK, payload=payload))
            case _Kind.WINDOW_UPDATE:
                self._widen(stream, int.from_bytes(payload) & 0x7FFF_FFFF)
        return None

    def _take_headers(self, stream: int, block: bytes, flags: int) -> Request | None:
        if flags & _WITH_PRIORITY:
            block = block[5:]
        self._header_block = (stream, block, bool(flags & _END_STREAM))
        return self._headers_end() if flags & _END_HEADERS else None

    def _take_continuation(self, flags: int, payload: bytes) -> Request | None:
        if self._header_block is None:
            raise Http2Error("a continuation of nothing")
        stream, block, ended = self._header_block
        self._header_block = (stream, block + payload, ended)
        return self._headers_end() if flags & _END_HEADERS else None

    def _headers_end(self) -> Request | None:
        assert self._header_block is not None
        (number, block, ended), self._header_block = self._header_block, None
        headers = {str(name): str(value) for name, value in self._decoder.decode(block)}
        stream = self._streams.setdefault(number, _Stream(self._stream_window))
        stream.headers |= headers
        return self._request(number, stream) if ended else None

    def _take_data(self, flags: int, number: int, payload: bytes) -> Request | None:
        stream = self._streams.get(number)
        if payload:
            # requests are small, so that a stream's own window never runs out
            self._output.append(_frame(_Kind.WINDOW_UPDATE, payload=struct.pack(">I", len(payload))))
        if stream is None:
            return None
        stream.body += _unpadded(flags, payload)
        return self._request(number, stream) if flags & _END_STREAM else None

    def _request(self, number: int, stream: _Stream) -> Request:
        return Request(number, stream.headers, bytes(stream.body))

    def _take_settings(self, payload: bytes) -> None:
        for name, value in struct.iter_unpack(">HI", payload):
            if name == _INITIAL_WINDOW_SIZE:
                for stream in self._streams.values():
                    stream.window += value - self._stream_window
                self._stream_window = value
            elif name == _MAX_FRAME_SIZE:
                self._frame_bytes = value
            elif name == _HEADER_TABLE_SIZE:
                self._encoder.header_table_size = min(value, 4096)
        self._output.append(_frame(_Kind.SETTINGS, _ACK))

    def _widen(self, stream: int, by: int) -> None:
        if not stream:
            self._window += by
        elif stream in self._streams:
            self._streams[stream].window += by

    def _send(self) -> None:
        """As much of the answers as the client's windows take, the oldest first."""
        for number, stream in list(self._streams.items()):
            if stream.answer is not None:
                self._send_one(number, stream, stream.answer)

    def _send_one(self, number: int, stream: _Stream, answer: memoryview) -> None:
        while (size := min(self._frame_bytes, self._window, stream.window, len(answer) - stream.sent)) > 0:
            end = stream.sent + size
            flags = _END_STREAM if end == len(answer) else 0
            self._output.append(_frame_head(size, _Kind.DATA, flags, number))
            self._output.append(answer[stream.sent : end])
            stream.sent = end
            stream.window -= size
            self._window -= size
        if stream.sent == len(answer):
            del self._streams[number]


def _frame_head(length: int, kind: int, flags: int, stream: int) -> bytes:
    return struct.pack(">BHBBI", length >> 16, length & 0xFFFF, kind, flags, stream)


def _frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return _frame_head(len(payload), kind, flags, stream) + payload


def _unpadded(flags: int, payload: bytes) -> bytes:
    return payload[1 : len(payload) - payload[0]] if flags & _PADDED else payload
