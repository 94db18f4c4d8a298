"""An AppendRowsRequest around rows that are large; the other messages are plain classes of messages_pb2."""

from consumer.sinks.bigquery.arrow_rows.arrow import Batch
from consumer.sinks.bigquery.storage_write.messages_pb2 import AppendRowsRequest, ArrowRecordBatch

_ArrowData = AppendRowsRequest.ArrowData


def append_rows(*, stream: str, offset: int, schema: bytes, batch: Batch) -> bytes:
    """An AppendRowsRequest as it is sent, `stream` and `schema` left out where they are empty. What is around the
    rows is written by hand, so that they are copied once only.

    https://protobuf.dev/programming-guides/encoding/
    """
    request = AppendRowsRequest(write_stream=stream)
    request.offset.value = offset
    data = _ArrowData()
    if schema:
        data.writer_schema.serialized_schema = schema
    before = data.SerializeToString()
    size = batch.size
    rows = _bytes_head(ArrowRecordBatch.SERIALIZED_RECORD_BATCH_FIELD_NUMBER, size)
    rows = _bytes_head(_ArrowData.ROWS_FIELD_NUMBER, len(rows) + size) + rows
    all_of_it = _bytes_head(AppendRowsRequest.ARROW_ROWS_FIELD_NUMBER, len(before) + len(rows) + size)
    return batch.serialize_after(request.SerializeToString() + all_of_it + before + rows)


def _bytes_head(number: int, size: int) -> bytes:
    """What stands before `size` bytes of a field."""
    head = bytearray([number << 3 | 2])
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head)
