"""Event streams, read by botocore."""

import pytest
from botocore.eventstream import ChecksumMismatch, EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from consumer.local.aws.event_stream import encode, event

NAMES = st.text(st.characters(codec="ascii", exclude_categories=["C"]), min_size=1, max_size=50)


@given(headers=st.dictionaries(NAMES, st.text(max_size=200), max_size=5), payload=st.binary(max_size=500))
def test_messages_are_what_botocore_reads(headers: dict[str, str], payload: bytes) -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(encode(headers, payload) + event("Kind", b"{}"))
    first, second = list(buffer)
    assert (first.headers, first.payload) == (headers, payload)
    assert (second.headers[":event-type"], second.payload) == ("Kind", b"{}")


def test_a_byte_that_changes_is_seen() -> None:
    message = bytearray(event("Kind", b'{"Records":[]}'))
    message[-6] ^= 1
    buffer = EventStreamBuffer()
    buffer.add_data(bytes(message))
    with pytest.raises(ChecksumMismatch):
        list(buffer)
