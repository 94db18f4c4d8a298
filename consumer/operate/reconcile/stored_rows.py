"""Rows of objects of Parquet, as far as a look needs them: the record, or its key and its time."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, NamedTuple

from consumer.operate.dead_letters.contents import batches
from consumer.operate.dead_letters.letters import Unreadable

_RECORD = "log"


class Row(NamedTuple):
    """`time_us` is the record's own time in microseconds since the epoch, or its arrival where it has none; `content`
    is equal for equal rows, and empty where it was not asked for."""

    key: str | None
    time_us: int
    content: str


class RowReader:
    """With a schema file the columns of key and time tell of a record, without one a column has all of it."""

    def __init__(self, *, key: str, time: str, has_schema: bool) -> None:
        self._key = key
        self._time = time
        self._has_schema = has_schema

    def rows(self, body: bytes, *, whole: bool) -> list[bytes] | list[Row]:
        """Payloads, or rows, but for those that a redrive has appended. `whole` asks for their contents. Raises
        Unreadable."""
        from pyarrow import BufferReader, parquet

        from consumer.operate.dead_letters.merged_rows import mark_of

        try:
            file = parquet.ParquetFile(BufferReader(body))
        except (ValueError, OSError) as error:  # what pyarrow raises for what is no Parquet
            raise Unreadable(str(error)) from error
        mark = mark_of(file)
        base = file.metadata.num_rows if mark is None else mark.base_rows
        wanted = [self._key, self._time] if self._has_schema else [_RECORD]
        missing = [name for name in wanted if name not in file.schema_arrow.names]
        if missing:
            raise Unreadable(f"it has no column {missing[0]} (s3.schema_file)")
        columns = None if whole and self._has_schema else wanted
        found = batches(io.BytesIO(body), columns)
        if self._has_schema:
            return list(self._told(found, whole=whole))[:base]
        return [log.encode() for batch in found for log in batch.column(_RECORD).to_pylist()][:base]

    def _told(self, found: Iterator[Any], *, whole: bool) -> Iterator[Row]:
        for batch in found:
            keys = batch.column(self._key).to_pylist()
            times = batch.column(self._time).cast("timestamp[us]").cast("int64").to_pylist()
            contents = map(repr, batch.to_pylist()) if whole else [""] * len(keys)
            yield from map(Row, keys, times, contents)
