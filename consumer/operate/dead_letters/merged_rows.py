"""A chunk's object of Parquet with rows appended to it, which says itself which records these are.

Its footer has, under a name of its own, how many rows were there before and a digest of each record that was appended.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pyarrow as pa
from pyarrow import parquet

from consumer.operate.dead_letters.letters import Unreadable
from consumer.operate.dead_letters.merged_object import Addition, digest

_NAME = b"redriven"


class _Mark(msgspec.Struct, frozen=True):
    base_rows: int
    digests: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class MergedRows:
    """`made` is the format of the sink. `table` is None where there is no object; what was appended begins at row
    `base_rows`."""

    made: Any
    table: Any = field(repr=False, default=None)
    base_rows: int = 0
    digests: frozenset[bytes] = frozenset()

    @classmethod
    def read(cls, made: Any, body: bytes) -> MergedRows:
        """Raises Unreadable for what has no rows of these columns."""
        try:
            file = parquet.ParquetFile(pa.BufferReader(body))
            table = file.read()
            if not table.schema.equals(made.schema):
                raise Unreadable("its columns are not those of the settings (s3.schema_file)")
            mark = mark_of(file)
        except (pa.ArrowException, OSError) as error:
            raise Unreadable(str(error)) from error
        base = table.num_rows if mark is None else mark.base_rows
        return cls(made, table, base, frozenset(() if mark is None else mark.digests))

    def missing(self, additions: Sequence[Addition], *, is_newer: bool) -> list[Addition]:
        """As MergedObject has it: a row equal to that of the record as it came tells that it was delivered."""
        wanted = {
            addition.as_it_came: _only_row(addition.as_it_came)
            for addition in additions
            if addition.as_it_came is not None and (addition.payload_is_line or is_newer)
        }
        present = self._base_rows() if wanted else set()
        there = {line for line, row in wanted.items() if row in present}
        return [
            addition
            for addition in additions
            if digest(addition.identity) not in self.digests
            and not (addition.as_it_came in there and (addition.payload_is_line or is_newer))
        ]

    def with_lines(self, additions: Sequence[Addition]) -> MergedRows:
        """The line of each is an object of one row."""
        rows = [parquet.read_table(pa.BufferReader(addition.line)) for addition in additions]
        tables = rows if self.table is None else [self.table, *rows]
        marks = self.digests | {digest(addition.identity) for addition in additions}
        return MergedRows(self.made, pa.concat_tables(tables), self.base_rows, marks)

    def body(self) -> bytes:
        out = io.BytesIO()
        mark = _Mark(self.base_rows, tuple(sorted(self.digests)))
        with self.made.writer(out) as writer:
            writer.write_table(self.table.combine_chunks(), row_group_size=self.made.row_group)
            writer.add_key_value_metadata({_NAME: msgspec.json.encode(mark)})
        return out.getvalue()

    def _base_rows(self) -> set[str]:
        return set() if self.table is None else set(_rows(self.table.slice(0, self.base_rows)))


def mark_of(file: Any) -> _Mark | None:
    """What a file of pyarrow's says of rows that were appended to it. Raises Unreadable."""
    stored = (file.metadata.metadata or {}).get(_NAME)
    try:
        return None if stored is None else msgspec.json.decode(stored, type=_Mark)
    except msgspec.MsgspecError as error:
        raise Unreadable(str(error)) from error


def _only_row(line: bytes) -> str:
    [row] = _rows(parquet.read_table(pa.BufferReader(line)))
    return row


def _rows(table: Any) -> Iterator[str]:
    for batch in table.to_batches(8192):
        yield from map(repr, batch.to_pylist())
