"""The server's end of HTTP/2, with h2 as the client."""

from collections.abc import Sequence

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
import pytest

from tests.bench.kinesis.http2 import PREFACE, Connection, Http2Error, Request

HEADERS = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/"),
    (":authority", "kinesis"),
    ("x-amz-target", "Kinesis_20131202.GetRecords"),
]
BODY = bytes(range(256)) * 1000


class Client:
    """An h2 client whose bytes go straight to a server under test."""

    def __init__(self, settings: dict[h2.settings.SettingCodes, int] | None = None) -> None:
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.server = Connection()
        self.bodies: dict[int, bytearray] = {}
        self.headers: dict[int, dict[str, str]] = {}
        self.ended: list[int] = []
        self.others: list[h2.events.Event] = []
        self.acknowledges = True
        if settings:
            self.h2.local_settings = h2.settings.Settings(client=True, initial_values=settings)
        self.h2.initiate_connection()
        self.exchange()

    def exchange(self, *, piece_bytes: int = 1 << 20) -> list[Request]:
        """Let both sides say all that they have to say."""
        requests: list[Request] = []
        while True:
            sent = self.h2.data_to_send()
            for start in range(0, len(sent), piece_bytes):
                requests += self.server.receive(sent[start : start + piece_bytes])
            answer = b"".join(self.server.output())
            if not sent and not answer:
                return requests
            self._take(self.h2.receive_data(answer))

    def ask(self, body: bytes = b"", *, piece_bytes: int = 1 << 20) -> list[Request]:
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, HEADERS, end_stream=not body)
        if body:
            self.h2.send_data(stream, body, end_stream=True)
        return self.exchange(piece_bytes=piece_bytes)

    def _take(self, events: Sequence[h2.events.Event]) -> None:
        for event in events:
            match event:
                case h2.events.ResponseReceived(stream_id=int(stream), headers=headers):
                    assert headers is not None
                    self.headers[stream] = {str(name): str(value) for name, value in headers}
                case h2.events.DataReceived(stream_id=int(stream), data=data):
                    assert data is not None
                    self.bodies.setdefault(stream, bytearray()).extend(data)
                    if self.acknowledges:
                        self.h2.acknowledge_received_data(event.flow_controlled_length or 0, stream)
                case h2.events.StreamEnded(stream_id=int(stream)):
                    self.ended.append(stream)
                case _:
                    self.others.append(event)


@pytest.mark.parametrize("piece_bytes", [1, 7, 1 << 20])
def test_a_request_is_told_once_it_is_complete(piece_bytes: int) -> None:
    client = Client()
    (request,) = client.ask(b"question", piece_bytes=piece_bytes)
    assert request.headers["x-amz-target"] == "Kinesis_20131202.GetRecords"
    assert request.body == b"question"


def test_an_answer_arrives_with_status_type_and_length() -> None:
    client = Client()
    (request,) = client.ask(b"question")
    client.server.respond(request, 200, "application/x-amz-cbor-1.1", BODY)
    client.exchange()
    assert client.headers[1][":status"] == "200"
    assert client.headers[1]["content-type"] == "application/x-amz-cbor-1.1"
    assert client.headers[1]["content-length"] == str(len(BODY))
    assert client.bodies[1] == BODY
    assert client.ended == [1]


def test_an_answer_without_a_body_ends_with_its_headers() -> None:
    client = Client()
    (request,) = client.ask()
    client.server.respond(request, 400, "text/plain", b"")
    client.exchange()
    assert client.headers[1][":status"] == "400"
    assert client.ended == [1]


def test_no_more_is_sent_than_the_client_has_room_for() -> None:
    client = Client({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1000})
    client.acknowledges = False
    (request,) = client.ask(b"question")
    client.server.respond(request, 200, "x", BODY)
    client.exchange()
    assert client.bodies[1] == BODY[:1000]
    client.h2.increment_flow_control_window(500, 1)
    client.exchange()
    assert client.bodies[1] == BODY[:1500]
    client.h2.increment_flow_control_window(len(BODY), 1)
    client.exchange()
    assert client.bodies[1] == BODY[:65_535], "the connection's window is what all streams share"
    client.h2.increment_flow_control_window(len(BODY))
    client.exchange()
    assert client.bodies[1] == BODY


def test_a_window_that_settings_widen_counts_for_an_answer_under_way() -> None:
    client = Client({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1000})
    client.acknowledges = False
    (request,) = client.ask(b"question")
    client.server.respond(request, 200, "x", BODY)
    client.exchange()
    client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 3000})
    client.exchange()
    assert client.bodies[1] == BODY[:3000]


def test_frames_are_as_long_as_the_client_takes_them() -> None:
    client = Client({h2.settings.SettingCodes.MAX_FRAME_SIZE: 32_768})
    (request,) = client.ask(b"question")
    client.server.respond(request, 200, "x", BODY)
    lengths = [len(piece) for piece in client.server.output() if isinstance(piece, memoryview)]
    assert lengths == [32_768, 65_535 - 32_768]


def test_requests_side_by_side_get_their_own_answers() -> None:
    client = Client()
    (first,) = client.ask(b"first")
    (second,) = client.ask(b"second")
    client.server.respond(second, 200, "x", b"to the second")
    client.server.respond(first, 200, "x", BODY)
    client.exchange()
    assert client.bodies == {1: BODY, 3: b"to the second"}
    assert client.ended == [3, 1]


def test_many_requests_do_not_use_up_the_servers_window() -> None:
    client = Client()
    for _ in range(10):
        (request,) = client.ask(b"x" * 16_000)
        client.server.respond(request, 200, "x", b"done")
    client.exchange()
    assert len(client.ended) == 10


def test_an_answer_to_a_request_that_was_given_up_is_dropped() -> None:
    client = Client()
    (request,) = client.ask(b"question")
    client.h2.reset_stream(1, h2.errors.ErrorCodes.CANCEL)
    client.exchange()
    client.server.respond(request, 200, "x", BODY)
    assert client.server.output() == []


def test_a_ping_is_answered() -> None:
    client = Client()
    client.h2.ping(b"12345678")
    client.exchange()
    assert [event.ping_data for event in client.others if isinstance(event, h2.events.PingAckReceived)] == [
        b"12345678"
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"POST / HTTP/1.1\r\nHost: kinesis\r\n\r\n",
        PREFACE + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01",
        PREFACE + b"\x00\x00\x01\x01\x05\x00\x00\x00\x01\xff",
        PREFACE + b"\x00\x00\x00\x09\x04\x00\x00\x00\x01",
        PREFACE + b"\x00\x00\x05\x04\x00\x00\x00\x00\x00hello",
    ],
)
def test_what_is_not_http_2_is_refused(data: bytes) -> None:
    with pytest.raises(Http2Error):
        Connection().receive(data)
