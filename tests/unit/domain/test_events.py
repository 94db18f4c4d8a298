import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.events import MAX_DATAGRAM_BYTES, EventError, LogEvent, StatusEvent, decode, encode

ANY_TEXT = st.text(st.characters(), max_size=20000)


def test_an_event_arrives_as_it_was_sent() -> None:
    log = LogEvent(
        level="WARNING",
        shard="shardId-000000000000",
        pid=7,
        message="größer\n",
        name="shard_held",
        fields={"n": 1, "s": "ß"},
    )
    status = StatusEvent(
        shard="shardId-000000000000", pid=7, state="running", counters={"records": 3}, retrying="503"
    )
    assert decode(encode(log)) == log
    assert decode(encode(status)) == status


@given(text=ANY_TEXT)
def test_no_text_makes_an_event_too_long_or_unreadable(text: str) -> None:
    for event in (
        LogEvent(level="INFO", shard="s", pid=1, message=text),
        StatusEvent(shard="s", pid=1, state="running", retrying=text, held=text),
    ):
        datagram = encode(event)
        assert len(datagram) <= MAX_DATAGRAM_BYTES
        assert type(decode(datagram)) is type(event)


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"type":"other"}',
        b'{"type":"log","level":"LOUD","shard":"s","pid":1,"message":"m"}',
        b'{"type":"log","level":"INFO","shard":"s","pid":"1","message":"m"}',
        b'{"type":"log","level":"INFO","shard":"s","pid":1,"message":"\xff"}',
        b'{"type":"status","shard":"s","pid":1}',
    ],
)
def test_what_is_no_event_is_refused(datagram: bytes) -> None:
    with pytest.raises(EventError):
        decode(datagram)
