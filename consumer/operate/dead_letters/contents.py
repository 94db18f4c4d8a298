"""What stands in an object of lines or of Parquet, piece by piece."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

from isal import isal_zlib

from consumer.operate.dead_letters.letters import Unreadable
from consumer.sinks.json.lines import GZIP_WINDOW_BITS

LINES = ("ndjson.gz", "ndjson.zst")
"""Formats of a record a line."""

_READ_BYTES = 1 << 18
_BLOCK_BYTES = 1 << 20


def blocks(file: BinaryIO, form: str) -> Iterator[bytes]:
    """Whole lines of an object of one of `LINES`, about a megabyte at a time. Raises Unreadable."""
    rest = b""
    for piece in _decompressed(iter(lambda: file.read(_READ_BYTES), b""), form):
        rest += piece
        if len(rest) >= _BLOCK_BYTES:
            end = rest.rfind(b"\n") + 1
            if end:
                yield rest[:end]
                rest = rest[end:]
    if not rest:
        return
    if not rest.endswith(b"\n"):
        raise Unreadable("its last line has no end")
    yield rest


def batches(file: BinaryIO, columns: list[str] | None = None) -> Iterator[Any]:
    """The rows of an object of Parquet as batches of pyarrow's, or some columns of them. Raises Unreadable."""
    import pyarrow as pa  # for those alone who have such objects: it takes memory, and starts threads
    from pyarrow import parquet

    try:
        yield from parquet.ParquetFile(file).iter_batches(batch_size=8192, columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise Unreadable(str(error)) from error


def _decompressed(pieces: Iterable[bytes], form: str) -> Iterator[bytes]:
    """Of members or frames that stand one after the other."""
    new, errors = _decompressor(form)
    begun = False
    try:
        decompressor = new()
        for piece in pieces:
            rest = piece
            while rest:
                begun = True
                yield decompressor.decompress(rest)
                if not decompressor.eof:
                    break
                rest, begun = decompressor.unused_data, False
                decompressor = new()
    except errors as error:
        raise Unreadable(str(error)) from error
    if begun:
        raise Unreadable("its end is missing")


def _decompressor(form: str) -> tuple[Callable[[], Any], tuple[type[Exception], ...]]:
    """What makes one, and what it raises."""
    if form == "ndjson.gz":
        errors: Any = isal_zlib.error  # a class, for which its stub has an instance
        return lambda: isal_zlib.decompressobj(GZIP_WINDOW_BITS), (zlib.error, errors)
    from zstandard import ZstdDecompressor, ZstdError

    return lambda: ZstdDecompressor().decompressobj(), (ZstdError,)
