"""The messages, against Google's own package: what one writes the other reads."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.cloud.bigquery_storage_v1 import types
from google.rpc import status_pb2
from hypothesis import given
from hypothesis import strategies as st

from consumer.sinks.bigquery.arrow_rows.arrow import Pieces
from consumer.sinks.bigquery.storage_write import messages_pb2
from consumer.sinks.bigquery.storage_write.answers import StorageCode
from consumer.sinks.bigquery.storage_write.messages import append_rows

ROOT = Path(__file__).parents[5]
PROTO = Path("consumer/sinks/bigquery/storage_write/messages.proto")
PAIRS = {
    "AppendRowsRequest": types.AppendRowsRequest.pb().DESCRIPTOR,
    "AppendRowsResponse": types.AppendRowsResponse.pb().DESCRIPTOR,
    "CreateWriteStreamRequest": types.CreateWriteStreamRequest.pb().DESCRIPTOR,
    "FinalizeWriteStreamRequest": types.FinalizeWriteStreamRequest.pb().DESCRIPTOR,
    "FinalizeWriteStreamResponse": types.FinalizeWriteStreamResponse.pb().DESCRIPTOR,
    "StorageError": types.StorageError.pb().DESCRIPTOR,
    "WriteStream": types.WriteStream.pb().DESCRIPTOR,
    "Status": status_pb2.Status.DESCRIPTOR,
}


def shape(descriptor: Any, mine: Any) -> dict[int, object]:
    """By number: name, kind and, for messages, the shape of the fields of `descriptor` that `mine` has too."""
    theirs = {field.number: field for field in descriptor.fields}
    found: dict[int, object] = {}
    for field in mine.fields:
        their = theirs[field.number]
        inner = None if field.message_type is None else shape(their.message_type, field.message_type)
        # an enum travels as an int32; Google's package calls a field type_
        kind = field.TYPE_INT32 if their.type == field.TYPE_ENUM else their.type
        found[field.number] = (their.name.rstrip("_"), kind, their.is_repeated, inner)
    return found


def test_the_classes_are_those_of_the_proto_file(tmp_path: Path) -> None:
    protoc = [sys.executable, "-m", "grpc_tools.protoc", "-I.", f"--python_out={tmp_path}", str(PROTO)]
    subprocess.run(protoc, cwd=ROOT, check=True)
    made = PROTO.with_name("messages_pb2.py")
    assert (tmp_path / made).read_text() == (ROOT / made).read_text(), f"make it anew, as {PROTO} says"


@pytest.mark.parametrize("name", PAIRS)
def test_the_fields_are_googles(name: str) -> None:
    mine = getattr(messages_pb2, name).DESCRIPTOR
    assert shape(PAIRS[name], mine) == shape(mine, mine)


def test_the_codes_are_googles() -> None:
    codes: Any = types.StorageError.StorageErrorCode
    assert {code.name: code.value for code in StorageCode} == {
        code.name: int(codes[code.name]) for code in StorageCode
    }
    theirs: Any = types.WriteStream.Type
    mine = dict(messages_pb2.WriteStream.Type.items())
    assert mine == {name: int(theirs[name]) for name in mine}


@given(
    stream=st.text(max_size=300),
    offset=st.integers(0, 2**63 - 1),
    schema=st.binary(max_size=300),
    batch=st.one_of(st.binary(max_size=300), st.integers(10_000, 3_000_000).map(bytes)),
)
def test_a_request_arrives_as_it_was_meant(stream: str, offset: int, schema: bytes, batch: bytes) -> None:
    made = append_rows(stream=stream, offset=offset, schema=schema, batch=Pieces(batch))
    read = types.AppendRowsRequest.deserialize(made)
    assert "offset" in read
    assert (read.write_stream, read.offset) == (stream, offset)
    assert read.arrow_rows.writer_schema.serialized_schema == schema
    assert read.arrow_rows.rows.serialized_record_batch == batch
