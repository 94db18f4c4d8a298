"""Arrow's IPC messages, in the types that BigQuery takes for its own.

Written here, since pyarrow costs each shard process 80 MB.
https://cloud.google.com/bigquery/docs/write-api#arrow_format, https://arrow.apache.org/docs/format/Columnar.html,
https://github.com/apache/arrow/tree/main/format
"""

import datetime
import struct
from array import array
from collections.abc import Buffer, Iterable, Sequence
from itertools import accumulate
from typing import Protocol

from consumer.settings.schema import Column
from consumer.sinks.bigquery.arrow_rows.flatbuffer import Part, build, pairs, table, text, vector

LARGEST_OFFSET = 2**31 - 1
"""Of a text's end in its column."""

_VERSION_5 = ("h", 4)
_SCHEMA, _RECORD_BATCH = ("B", 1), ("B", 3)
_BITS_64, _SIGNED, _DOUBLE, _DAYS, _MICROSECONDS = ("i", 64), ("?", True), ("h", 2), ("h", 0), ("h", 2)
_DIGITS, _SCALE, _LIST = ("i", 38), ("i", 9), ("B", 12)
_ALIGNMENT = 8
CELL_BYTES = {
    **dict.fromkeys(("STRING", "GEOGRAPHY", "JSON", "BYTES", "DATE"), 4),
    **dict.fromkeys(("INTEGER", "FLOAT", "TIMESTAMP", "DATETIME", "TIME"), 8),
    "BOOLEAN": 1,
    "NUMERIC": 16,
    "BIGNUMERIC": 32,
}
_EPOCH = datetime.datetime.fromtimestamp(0, datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)


class Batch(Protocol):
    """A record batch in Arrow's IPC format, which is large, and so written only once it is known where to."""

    @property
    def size(self) -> int:
        """In bytes."""

    def serialize_after(self, head: bytes) -> bytes:
        """What comes before it, and then the batch."""


class Pieces:
    """A batch that is there, in pieces."""

    def __init__(self, *pieces: Buffer) -> None:
        self._pieces = pieces
        self.size = sum(memoryview(piece).nbytes for piece in pieces)

    def serialize_after(self, head: bytes) -> bytes:
        return b"".join([head, *self._pieces])


def schema_of(columns: Sequence[Column]) -> bytes:
    """Of columns without fields of their own. JSON is text."""
    return _message(_SCHEMA, table(None, vector(*map(_field, columns))), body_bytes=0)


def _types() -> dict[str, tuple[tuple[str, int], Part]]:
    """By BigQuery's names: the number in Arrow's union of types, and what is said of the type."""
    utf8 = ("B", 5), table()
    return {
        "STRING": utf8,
        "GEOGRAPHY": utf8,
        "JSON": utf8,
        "INTEGER": (("B", 2), table(_BITS_64, _SIGNED)),
        "FLOAT": (("B", 3), table(_DOUBLE)),
        "BOOLEAN": (("B", 6), table()),
        "DATE": (("B", 8), table(_DAYS)),
        "TIMESTAMP": (("B", 10), table(_MICROSECONDS, text("UTC"))),
        "NUMERIC": (("B", 7), table(_DIGITS, _SCALE)),
    }


def cells_bytes(columns: Sequence[Column]) -> int:
    """What a row takes in a batch beside its texts, even where all of its cells are null: the columns of a table may
    have many times the bytes of a record that names none of them."""
    return sum(1 + _cell_bytes(column) for column in columns)


def _cell_bytes(column: Column) -> int:
    if column.mode == "REPEATED":
        return CELL_BYTES["STRING"]  # both have offsets
    return cells_bytes(column.fields) if column.fields else CELL_BYTES[column.type]


def batch_head(
    rows: int, nodes: Sequence[tuple[int, int]], buffers: Sequence[int]
) -> tuple[bytes, list[int], int]:
    """What stands before the buffers of a batch, where each of them begins behind it, and how many bytes they have
    with their padding. `nodes` are how many cells each column has, and how many of them are null, followed by the same
    of the values where the cells are arrays; `buffers` are the sizes of the buffers."""
    begins, end = [], 0
    for size in buffers:
        begins.append(end)
        end += size + -size % _ALIGNMENT
    batch = table(("q", rows), pairs(nodes), pairs(list(zip(begins, buffers, strict=True))))
    return _message(_RECORD_BATCH, batch, body_bytes=end), begins, end


def log_batch_head(
    *,
    rows: int,
    missing_keys: int,
    key_bytes: int,
    log_bytes: int,
    more_nulls: Sequence[int] = (),
    more_buffers: Sequence[int] = (),
) -> tuple[bytes, int]:
    """What stands before the buffers of a batch, and how many bytes these have with their padding: which keys there
    are, if any is missing; where each key begins and the last one ends; the keys; the times; the same two of the
    logs; and what further columns have."""
    bits = (rows + 7) // 8 if missing_keys else 0
    offsets = 4 * (rows + 1)
    buffers = (bits, offsets, key_bytes, 0, 8 * rows, 0, offsets, log_bytes)
    nodes = [(rows, nulls) for nulls in (missing_keys, 0, 0, *more_nulls)]
    head, _, body_bytes = batch_head(rows, nodes, (*buffers, *more_buffers))
    return head, body_bytes


def log_batch(
    keys: Sequence[str | None],
    times: "array[int]",
    payloads: Sequence[bytes],
    *,
    more_nulls: Sequence[int] = (),
    more_buffers: Sequence[int] = (),
    more_body: bytes = b"",
) -> Batch:
    """`times` are microseconds since 1970, 8 bytes each; `payloads` valid UTF-8; `more_body` is what further columns
    have, as log_batch_head is told of them."""
    texts = [(key or "").encode() for key in keys]
    missing = sum(key is None for key in keys)
    key_bytes, log_bytes = sum(map(len, texts)), sum(map(len, payloads))
    head, _ = log_batch_head(
        rows=len(keys),
        missing_keys=missing,
        key_bytes=key_bytes,
        log_bytes=log_bytes,
        more_nulls=more_nulls,
        more_buffers=more_buffers,
    )
    pieces = [head]
    if missing:
        bits = sum(1 << place for place, key in enumerate(keys) if key is not None)
        pieces += padded([bits.to_bytes((len(keys) + 7) // 8, "little")])
    pieces += padded([_offsets(texts)])
    pieces += padded(texts)
    pieces.append(times.tobytes())
    pieces += padded([_offsets(payloads)])
    pieces += padded(payloads)
    return Pieces(*pieces, more_body)


def _message(kind: tuple[str, int], header: Part, *, body_bytes: int) -> bytes:
    """https://arrow.apache.org/docs/format/Columnar.html#encapsulated-message-format"""
    metadata = build(table(_VERSION_5, kind, header, ("q", body_bytes)))
    return struct.pack("<Ii", 0xFFFFFFFF, len(metadata)) + metadata


def _field(column: Column) -> Part:
    kind, described = _types()[column.type]
    children = vector()
    if column.mode == "REPEATED":
        kind, described, children = _LIST, table(), vector(_field(Column("item", column.type)))
    return table(text(column.name), ("?", column.mode != "REQUIRED"), kind, described, None, children)


def _offsets(values: Iterable[bytes]) -> bytes:
    """Where each value begins, and where the last one ends."""
    return array("i", accumulate(map(len, values), initial=0)).tobytes()


def padded(pieces: Sequence[bytes]) -> list[bytes]:
    """The pieces of a buffer, and zeros up to where the next one may begin."""
    return [*pieces, bytes(-sum(map(len, pieces)) % _ALIGNMENT)]


def micros_of(time: str) -> int:
    """Of an RFC 3339 time, since 1970."""
    return (datetime.datetime.fromisoformat(time) - _EPOCH) // _MICROSECOND
