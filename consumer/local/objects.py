"""What stands in a delivered object, whatever its format."""

import json

from isal import igzip
from pyarrow import input_stream, parquet, py_buffer

_GZIP, _ZSTANDARD, _PARQUET = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1"
"""What they begin with."""

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str).encode


def lines_of_object(body: bytes) -> bytes:
    """Lines, each with its end: as they were delivered, or one for each row of Parquet. That is the record where a
    column `log` holds it, or the row's columns in JSON. Whatever else it is, it is left as it is."""
    if body.startswith(_GZIP):
        return bytes(igzip.decompress(body))
    if body.startswith(_ZSTANDARD):
        with input_stream(py_buffer(body), compression="zstd") as stream:
            return bytes(stream.read())
    if not body.startswith(_PARQUET):
        return body
    table = parquet.read_table(py_buffer(body))
    if table.column_names[-1] == "log":
        rows = [each.encode() for each in table["log"].to_pylist()]
    else:
        rows = [_encode(row).encode() for row in table.to_pylist()]
    return b"".join([row + b"\n" for row in rows])
