"""What objects are rewritten as: lines as lines, anything as Parquet.

A batch is some records of one object, whole lines (bytes) or rows (a batch of pyarrow's). The same records, given in
the same batches, are the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, Protocol

from consumer.domain.columns import Records
from consumer.domain.dead_letters import Rejection
from consumer.domain.records import Record
from consumer.operate.dead_letters.contents import LINES, batches, blocks
from consumer.operate.dead_letters.letters import Unreadable
from consumer.settings import Settings
from consumer.sinks.s3.build import format_of
from consumer.sinks.s3.ndjson import Ndjson

PARQUET = "parquet"

_PIECE_BYTES = 1 << 20
"""What a compressor is given at once: how its input is cut shows in its output."""
_MOST_GROUP_BYTES = 128 << 20
"""Of a row group in memory."""


class Writer(Protocol):
    """One object, which is complete once it is closed. The file stays open, and has to, until then."""

    def add(self, batch: Any) -> None: ...

    def close(self) -> None: ...


class Form(Protocol):
    """A format that objects are rewritten as."""

    @property
    def name(self) -> str:
        """As `s3.format` has it."""

    @property
    def content_type(self) -> str: ...

    def batches(self, file: BinaryIO, form: str, arrival_ms: int) -> Iterator[Any]:
        """Of an object of some format, with the arrival of records that do not tell their time. Raises Unreadable."""

    def size(self, batch: Any) -> int:
        """How many records these are."""

    def digests(self, batch: Any) -> list[bytes]:
        """Of each record, by its content."""

    def chosen(self, batch: Any, places: Sequence[int]) -> Any:
        """The records at these places."""

    def writer(self, file: BinaryIO) -> Writer: ...


def form_of(settings: Settings) -> Form:
    """That of `s3.format`."""
    made = format_of(settings, "")
    return LineForm(made) if isinstance(made, Ndjson) else ParquetForm(made)


class LineForm:
    """A record a line."""

    def __init__(self, made: Ndjson) -> None:
        self._new_compressor = made.compressor
        self.name, self.content_type = made.extension, made.content_type

    def batches(self, file: BinaryIO, form: str, arrival_ms: int) -> Iterator[bytes]:
        return blocks(file, form)

    def size(self, batch: bytes) -> int:
        return batch.count(b"\n")

    def digests(self, batch: bytes) -> list[bytes]:
        return [_digest(line) for line in _lines(batch)]

    def chosen(self, batch: bytes, places: Sequence[int]) -> bytes:
        lines = _lines(batch)
        return b"".join([lines[place] + b"\n" for place in places])

    def writer(self, file: BinaryIO) -> LineWriter:
        return LineWriter(file, self._new_compressor())


class LineWriter:
    """Gives its compressor pieces of one size."""

    def __init__(self, file: BinaryIO, compressor: Any) -> None:
        self._file = file
        self._compressor = compressor
        self._rest = bytearray()

    def add(self, batch: bytes) -> None:
        self._rest += batch
        begin = 0
        while len(self._rest) - begin >= _PIECE_BYTES:
            self._file.write(self._compressor.compress(bytes(self._rest[begin : begin + _PIECE_BYTES])))
            begin += _PIECE_BYTES
        del self._rest[:begin]

    def close(self) -> None:
        self._file.write(self._compressor.compress(bytes(self._rest)))
        self._file.write(self._compressor.flush())


class ParquetForm:
    """A row a record, in the columns of the settings."""

    name = PARQUET

    def __init__(self, made: Any) -> None:
        """`made` is the format of the sink."""
        self._made = made
        self.content_type = made.content_type

    def batches(self, file: BinaryIO, form: str, arrival_ms: int) -> Iterator[Any]:
        if form in LINES:
            return self._of_lines(file, form, arrival_ms)
        return (self._fitted(batch) for batch in batches(file))

    def size(self, batch: Any) -> int:
        rows: int = batch.num_rows
        return rows

    def digests(self, batch: Any) -> list[bytes]:
        return [_digest(repr(row).encode("utf-8", "surrogatepass")) for row in batch.to_pylist()]

    def chosen(self, batch: Any, places: Sequence[int]) -> Any:
        import pyarrow as pa

        return batch.take(pa.array(places, pa.int64()))

    def writer(self, file: BinaryIO) -> ParquetWriter:
        return ParquetWriter(self._made, file)

    def _of_lines(self, file: BinaryIO, form: str, arrival_ms: int) -> Iterator[Any]:
        """By the rules of delivery. A line that makes no row makes the object unreadable: nothing may be left out."""
        number = 0
        for block in blocks(file, form):
            lines = _lines(block)
            records = Records.of(Record(line, "", "0", 0, arrival_ms) for line in lines)
            rejections: list[Rejection] = []
            batch = self._made.batch(records, range(len(records)), rejections)
            if rejections:
                first = min(rejections, key=lambda one: one.index)
                raise Unreadable(
                    f"its line {number + first.index + 1} makes no row: {first.reason}, {first.detail}"
                )
            number += len(lines)
            yield batch

    def _fitted(self, batch: Any) -> Any:
        """With the columns of the settings: those that came later are null."""
        import pyarrow as pa

        schema = self._made.schema
        for field in batch.schema:
            place = schema.get_field_index(field.name)
            if place < 0 or schema.field(place).type != field.type:
                raise Unreadable(
                    f"its column {field.name} ({field.type}) is none of the settings' (s3.schema_file)"
                )
        columns = []
        for field in schema:
            place = batch.schema.get_field_index(field.name)
            if place < 0 and not field.nullable:
                raise Unreadable(f"it has no column {field.name} (s3.schema_file)")
            columns.append(batch.column(place) if place >= 0 else pa.nulls(batch.num_rows, field.type))
        return pa.RecordBatch.from_arrays(columns, schema=schema)


class ParquetWriter:
    """Cuts row groups by rows, or by the memory that they take."""

    def __init__(self, made: Any, file: BinaryIO) -> None:
        self._writer = made.writer(file)
        self._most_rows = made.row_group
        self._open: list[Any] = []
        self._rows = self._bytes = 0

    def add(self, batch: Any) -> None:
        self._open.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._bytes >= _MOST_GROUP_BYTES:
            self._write(self._rows)
        elif self._rows >= self._most_rows:
            self._write(self._rows // self._most_rows * self._most_rows)

    def close(self) -> None:
        if self._rows:
            self._write(self._rows)
        self._writer.close()

    def _write(self, rows: int) -> None:
        import pyarrow as pa

        table = pa.Table.from_batches(self._open).combine_chunks()  # how it is cut shows in the bytes
        self._writer.write_table(table.slice(0, rows), row_group_size=self._most_rows)
        rest = table.slice(rows)
        self._open = rest.to_batches()
        self._rows, self._bytes = rest.num_rows, rest.nbytes


def _lines(block: bytes) -> list[bytes]:
    return block.split(b"\n")[:-1]


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()
