"""The layer counts what goes over the wire, and changes nothing of it."""

import asyncio
import json
from typing import Any

import pytest

from consumer.local.bill.layer import CONTROL_PATH, Exchange, MeterLayer
from consumer.local.bill.meter import Meter
from consumer.local.faults.connection import Message, Receive, Scope, Send
from tests.unit.local.bill.embedded import ask


def scope(method: str = "POST", path: str = "/a/b", query: bytes = b"", **headers: str) -> Scope:
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }


async def echo(asked: Scope, receive: Receive, send: Send) -> None:
    """Answers with what it was sent, in pieces."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message.get("more_body", False)
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    for piece in (body[:3], body[3:]):
        await send({"type": "http.response.body", "body": piece, "more_body": piece != body[3:]})


def test_bytes_are_those_of_http_1() -> None:
    seen: list[Exchange] = []
    layer = MeterLayer(echo, Meter(), seen.append)
    asked = scope("POST", "/a/b", b"c=d", host="example", user_agent="kinesis-consumer")
    answer = asyncio.run(ask(layer, asked, b"0123456789"))
    assert answer == (201, {"content-length": "10"}, b"0123456789")
    [exchange] = seen
    request = b"POST /a/b?c=d HTTP/1.1\r\nhost: example\r\nuser-agent: kinesis-consumer\r\n\r\n0123456789"
    assert exchange.sent_bytes() == len(request)
    assert exchange.received_bytes() == len(b"HTTP/1.1 201 OK\r\ncontent-length: 10\r\n\r\n0123456789")


def test_an_exchange_counts_though_the_application_fails_before_it_answers() -> None:
    seen: list[Exchange] = []

    async def fails(asked: Scope, receive: Receive, send: Send) -> None:
        await receive()
        raise ConnectionError

    with pytest.raises(ConnectionError):
        asyncio.run(ask(MeterLayer(fails, Meter(), seen.append), scope(), b"0123"))
    assert [(exchange.status, exchange.body) for exchange in seen] == [(0, b"0123")]


def test_counts_are_told_and_begun_anew() -> None:
    meter = Meter()
    layer = MeterLayer(echo, meter, lambda exchange: meter.add(requests=1))
    asyncio.run(ask(layer, scope(), b""))
    for method in ("GET", "DELETE"):
        status, _, body = asyncio.run(ask(layer, scope(method, CONTROL_PATH), b""))
        assert (status, json.loads(body)) == (200, {"requests": 1})
    assert meter.counts() == {}


def test_what_only_the_embedded_services_know_and_what_is_no_request_pass_uncounted() -> None:
    seen: list[Exchange] = []
    passed: list[Any] = []

    async def application(asked: Scope, receive: Receive, send: Send) -> None:
        passed.append(asked)

    async def nothing() -> Message:
        raise AssertionError

    layer = MeterLayer(application, Meter(), seen.append)
    asked_for = [
        {"type": "lifespan"},
        *(scope(path=path) for path in ("/_faults/slow", "/_limits", "/_rows")),
    ]
    for asked in asked_for:
        asyncio.run(layer(asked, nothing, lambda message: nothing()))  # type: ignore[arg-type, return-value]
    assert (passed, seen) == (asked_for, [])


def test_a_stream_of_events_counts_piece_by_piece_and_is_not_kept() -> None:
    meter = Meter()
    seen: list[Exchange] = []
    counted: list[float] = []

    async def events(asked: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/vnd.amazon.eventstream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for _ in range(3):
            await send({"type": "http.response.body", "body": b"event", "more_body": True})
            counted.append(meter.counts()["kinesis_fanout_bytes"])

    asyncio.run(ask(MeterLayer(events, meter, seen.append), scope(), b""))
    assert counted == [5, 10, 15]
    assert [exchange.answer for exchange in seen] == [[]]
