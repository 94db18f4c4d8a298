"""Rows as Arrow record batches, in the types that BigQuery takes for its own.

https://cloud.google.com/bigquery/docs/write-api#arrow_format
"""

from array import array
from collections.abc import Buffer, Iterable, Sequence
from functools import lru_cache
from itertools import accumulate

import pyarrow as pa

# what casts: it takes a tenth of a second, which no chunk should wait for
import pyarrow.compute

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

    def batch(self, keys: Sequence[str | None], times: Sequence[str], payloads: Sequence[bytes]) -> Buffer:
        """`times` are RFC 3339 in UTC, `payloads` valid UTF-8."""
        columns = [key_cells(keys), timestamps(times), texts(payloads)]
        serialized: Buffer = pa.record_batch(columns, schema=self._fields).serialize()
        return serialized


def key_cells(keys: Sequence[str | None]) -> pa.Array:
    try:
        return ascii_texts(keys)  # type: ignore[arg-type]
    except (TypeError, UnicodeEncodeError):  # one that is missing, or has letters of other alphabets
        return pa.array(keys, pa.string())


def timestamps(times: Sequence[str]) -> pa.Array:
    return ascii_texts(times).cast(_TIMESTAMP)


def ascii_texts(values: Sequence[str]) -> pa.Array:
    """A text column; raises TypeError for what is no text, UnicodeEncodeError for what is not ASCII."""
    joined = "".join(values).encode("ascii")
    lengths = set(map(len, values))
    offsets = _even(lengths.pop(), len(values)) if len(lengths) == 1 else _offsets(map(len, values))
    return pa.StringArray.from_buffers(len(values), offsets, pa.py_buffer(joined))


def texts(payloads: Sequence[bytes]) -> pa.Array:
    """A text column of bytes that are known to be UTF-8: checking them again is most of a row's cost."""
    offsets = _offsets(map(len, payloads))
    return pa.StringArray.from_buffers(len(payloads), offsets, pa.py_buffer(b"".join(payloads)))


def _offsets(lengths: Iterable[int]) -> pa.Buffer:
    """Where each value begins, and where the last one ends."""
    return pa.py_buffer(array("i", list(accumulate(lengths, initial=0))))


@lru_cache(maxsize=64)
def _even(length: int, count: int) -> pa.Buffer:
    """`_offsets` of so many values of one length: keys and times are often alike, and so is the number of rows."""
    return pa.py_buffer(array("i", range(0, length * count + 1, length))) if length else _offsets([0] * count)
