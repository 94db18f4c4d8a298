"""NDJSON: a record a line, bytes as they came, compressed."""

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from isal import isal_zlib

from consumer.domain.columns import PART_RECORDS, Records
from consumer.domain.dead_letters import Rejection
from consumer.domain.unread_times import Unread
from consumer.sinks.json.lines import GZIP_WINDOW_BITS, Lines
from consumer.sinks.s3.chosen_lines import ChosenLines

type _Slice = tuple[bytearray, "array[int]", Sequence[int]]
"""Payloads with a line end after each, their sizes, and their indices in the chunk."""


class Ndjson:
    """Made by `gzip` and `zstandard`."""

    @classmethod
    def gzip(cls, lines: Lines, *, level: int) -> "Ndjson":
        """`level` is ISA-L's, from 0 to 3."""
        return cls(
            lines,
            lambda: isal_zlib.compressobj(level, isal_zlib.DEFLATED, GZIP_WINDOW_BITS),
            extension="ndjson.gz",
            content_type="application/gzip",
        )

    @classmethod
    def zstandard(cls, lines: Lines, *, level: int) -> "Ndjson":
        # not in Python before 3.14, and there it is the host's: this one is locked with the daemon
        from zstandard import ZstdCompressor

        return cls(
            lines,
            ZstdCompressor(level=level, write_checksum=True).compressobj,
            extension="ndjson.zst",
            content_type="application/zstd",
        )

    def __init__(
        self, lines: Lines, compressor: Callable[[], Any], *, extension: str, content_type: str
    ) -> None:
        self.extension, self.content_type = extension, content_type
        self._lines = lines
        self.compressor = compressor

    def body(
        self, records: Records, lines: ChosenLines, chosen: Sequence[int] | None, rejections: list[Rejection]
    ) -> tuple[bytearray, int]:
        """See ObjectFormat.

        The compressor is given part by part, and these are cut by number of records, so that the same records are
        the same bytes, whenever and by whomever they are written: how its input is cut shows in its output. Within a
        part it is cut where a record is no line as it came.
        """
        compressor = self.compressor()
        body = bytearray()
        count = 0
        for text, sizes, places in _slices(records) if chosen is None else _chosen_slices(lines, chosen):
            count += len(sizes)
            for piece, found in self._lines.of(text, sizes):
                body += compressor.compress(piece)
                rejections += [replace(each, index=places[each.index]) for each in found]
                count -= len(found)
        body += compressor.flush()
        return body, count

    def take_unread(self) -> Unread | None:
        return None


def _slices(records: Records) -> Iterator[_Slice]:
    start = 0
    for part in records.parts:
        yield part.text, part.sizes, range(start, start + len(part))
        start += len(part)


def _chosen_slices(lines: ChosenLines, chosen: Sequence[int]) -> Iterator[_Slice]:
    for start in range(0, len(chosen), PART_RECORDS):
        places = chosen[start : start + PART_RECORDS]
        yield *lines.at(places), places
