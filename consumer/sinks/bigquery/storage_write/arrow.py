"""Rows as Arrow record batches, in the types that BigQuery takes for its own.

https://cloud.google.com/bigquery/docs/write-api#arrow_format
"""

from array import array
from collections.abc import Sequence
from itertools import accumulate

import pyarrow as pa

_TIMESTAMP = pa.timestamp("us", tz="UTC")


class LogEncoder:
    """Columns of `row = log`: STRING, TIMESTAMP and JSON, the last as text."""

    def __init__(self, *, key_column: str, time_column: str) -> None:
        self._fields = pa.schema(
            [
                pa.field(key_column, pa.string()),
                pa.field(time_column, _TIMESTAMP, nullable=False),
                pa.field("log", pa.string()),
            ]
        )
        self.schema: bytes = self._fields.serialize().to_pybytes()

    def batch(self, keys: Sequence[str | None], times: Sequence[str], payloads: Sequence[bytes]) -> bytes:
        """`times` are RFC 3339 in UTC, `payloads` valid UTF-8."""
        columns = [pa.array(keys, pa.string()), timestamps(times), texts(payloads)]
        serialized: bytes = pa.record_batch(columns, schema=self._fields).serialize().to_pybytes()
        return serialized


def timestamps(times: Sequence[str]) -> pa.Array:
    return pa.array(times, pa.string()).cast(_TIMESTAMP)


def texts(payloads: Sequence[bytes]) -> pa.Array:
    """A text column of bytes that are known to be UTF-8: checking them again is most of a row's cost."""
    offsets = array("i", accumulate(map(len, payloads), initial=0))
    return pa.StringArray.from_buffers(len(payloads), pa.py_buffer(offsets), pa.py_buffer(b"".join(payloads)))
