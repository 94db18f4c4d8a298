"""The messages of google.cloud.bigquery.storage.v1 that writing needs, field numbers and all.

Google's package of the same classes costs each shard process 38 MB, for the clients that come with it.
https://cloud.google.com/bigquery/docs/reference/storage/rpc/google.cloud.bigquery.storage.v1
"""

from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

from consumer.sinks.bigquery.storage_write.rows.arrow import Batch

_PACKAGE = "consumer.bigquery.storage"
_SCALARS = {
    "string": descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
    "bytes": descriptor_pb2.FieldDescriptorProto.TYPE_BYTES,
    "int32": descriptor_pb2.FieldDescriptorProto.TYPE_INT32,
    "int64": descriptor_pb2.FieldDescriptorProto.TYPE_INT64,
}
_INT64 = "google.protobuf.Int64Value"

# Fields as (number, name, type); a type with [] is repeated. Enums travel as int32 does.
_MESSAGES = {
    "Status": [(1, "code", "int32"), (2, "message", "string"), (3, "details", "google.protobuf.Any[]")],
    "StorageError": [(1, "code", "int32"), (2, "entity", "string"), (3, "error_message", "string")],
    "WriteStream": [(1, "name", "string"), (2, "type", "int32")],
    "CreateWriteStreamRequest": [(1, "parent", "string"), (2, "write_stream", "WriteStream")],
    "FinalizeWriteStreamRequest": [(1, "name", "string")],
    "FinalizeWriteStreamResponse": [(1, "row_count", "int64")],
    "ArrowSchema": [(1, "serialized_schema", "bytes")],
    "ArrowRecordBatch": [(1, "serialized_record_batch", "bytes")],
    "ArrowData": [(1, "writer_schema", "ArrowSchema"), (2, "rows", "ArrowRecordBatch")],
    "AppendRowsRequest": [
        (1, "write_stream", "string"),
        (2, "offset", _INT64),
        (5, "arrow_rows", "ArrowData"),
    ],
    "AppendResult": [(1, "offset", _INT64)],
    "RowError": [(1, "index", "int64"), (2, "code", "int32"), (3, "message", "string")],
    "AppendRowsResponse": [
        (1, "append_result", "AppendResult"),
        (2, "error", "Status"),
        (4, "row_errors", "RowError[]"),
    ],
}


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="consumer/bigquery/storage.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[any_pb2.DESCRIPTOR.name, wrappers_pb2.DESCRIPTOR.name],
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, field_name, kind in fields:
            field = message.field.add(name=field_name, number=number)
            field.label = field.LABEL_REPEATED if kind.endswith("[]") else field.LABEL_OPTIONAL
            _set_type(field, kind.removesuffix("[]"))
    return file


def _set_type(field: Any, kind: str) -> None:
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
        return
    field.type = field.TYPE_MESSAGE
    field.type_name = f".{kind}" if "." in kind else f".{_PACKAGE}.{kind}"


def _classes() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    for known in (any_pb2, wrappers_pb2):
        pool.AddSerializedFile(known.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(_file().SerializeToString())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in _MESSAGES
    }


_CLASSES = _classes()
Status = _CLASSES["Status"]
StorageError = _CLASSES["StorageError"]
CreateWriteStreamRequest = _CLASSES["CreateWriteStreamRequest"]
FinalizeWriteStreamRequest = _CLASSES["FinalizeWriteStreamRequest"]
FinalizeWriteStreamResponse = _CLASSES["FinalizeWriteStreamResponse"]
WriteStream = _CLASSES["WriteStream"]
ArrowData = _CLASSES["ArrowData"]
AppendRowsRequest = _CLASSES["AppendRowsRequest"]
AppendRowsResponse = _CLASSES["AppendRowsResponse"]

COMMITTED, PENDING = 1, 2
"""WriteStream.Type: rows are there for queries as soon as they are acknowledged, or once the stream is committed."""

_NUMBERS = {name: {field: number for number, field, _ in fields} for name, fields in _MESSAGES.items()}


def append_rows(*, stream: str, offset: int, schema: bytes, batch: Batch) -> bytes:
    """An AppendRowsRequest as it is sent, `stream` and `schema` left out where they are empty. What is around the
    rows is written by hand, so that they are copied once only.

    https://protobuf.dev/programming-guides/encoding/
    """
    request = AppendRowsRequest(write_stream=stream)
    request.offset.value = offset
    data = ArrowData()
    if schema:
        data.writer_schema.serialized_schema = schema
    before = data.SerializeToString()
    size = batch.size
    rows = _bytes_head(_NUMBERS["ArrowRecordBatch"]["serialized_record_batch"], size)
    rows = _bytes_head(_NUMBERS["ArrowData"]["rows"], len(rows) + size) + rows
    all_of_it = _bytes_head(_NUMBERS["AppendRowsRequest"]["arrow_rows"], len(before) + len(rows) + size)
    return batch.serialize_after(request.SerializeToString() + all_of_it + before + rows)


def _bytes_head(number: int, size: int) -> bytes:
    """What stands before `size` bytes of a field."""
    head = bytearray([number << 3 | 2])
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head)
