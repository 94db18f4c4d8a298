"""Wire format against Google's own reading and writing of it."""

import pytest
from google.cloud.bigquery_storage_v1 import types
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.protobuf import bytes_field, fields, number_field, number_within, within

BYTES = st.binary(max_size=300)
OFFSETS = st.integers(0, 2**63 - 1)


@given(name=st.text(max_size=300), offset=OFFSETS, schema=BYTES, batch=BYTES)
def test_what_google_writes_is_read(name: str, offset: int, schema: bytes, batch: bytes) -> None:
    request = types.AppendRowsRequest(write_stream=name, offset=offset)
    request.arrow_rows.writer_schema.serialized_schema = schema
    request.arrow_rows.rows.serialized_record_batch = batch
    message = types.AppendRowsRequest.serialize(request)
    assert bytes(within(message, 1)).decode() == name
    assert number_within(within(message, 2), 1) == offset
    assert within(message, 5, 1, 1) == schema
    assert within(message, 5, 2, 1) == batch


@given(offset=OFFSETS)
def test_google_reads_what_is_written(offset: int) -> None:
    message = bytes_field(1, bytes_field(1, number_field(1, offset)))
    assert types.AppendRowsResponse.deserialize(message).append_result.offset == offset


def test_fields_of_every_kind_are_passed_over() -> None:
    message = bytes.fromhex("09 0102030405060708 15 01020304 1a 03 616263 20 05")
    eight, four = bytes(range(1, 9)), bytes(range(1, 5))
    assert list(fields(message)) == [(1, eight), (2, four), (3, b"abc"), (4, 5)]


@pytest.mark.parametrize("message", ["0b", "08", "08ff"])
def test_what_is_no_message_is_refused(message: str) -> None:
    with pytest.raises(ValueError, match=r"wire type 3|ends within"):
        list(fields(bytes.fromhex(message)))


def test_a_field_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="not bytes"):
        within(number_field(1, 5), 1)
    with pytest.raises(ValueError, match="no number"):
        number_within(bytes_field(1, b"x"), 1)
