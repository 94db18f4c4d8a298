"""Records from a file as people have them at hand: a line each, or one JSON array; plain or gzip."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import msgspec

MOST_RECORDS = 100_000
MOST_BYTES = 256 * 1024 * 1024
"""What of a file is looked at: its beginning says enough, and it stands in memory."""

_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class SampleError(Exception):
    """The file cannot be read; a sentence for its user."""


@dataclass(frozen=True, slots=True)
class Sample:
    """`numbers` are those of the lines that the records stand in, or of the elements of the array, from 1 on;
    `is_whole` tells that nothing of the file was left out."""

    records: list[bytes]
    numbers: list[int]
    unit: str
    is_whole: bool


def read_sample(name: str) -> Sample:
    """The records of a file, or of standard input for "-", without their line ends; blank lines are none. Raises
    SampleError."""
    try:
        content = _content(name)
    except (OSError, EOFError, zlib.error) as error:
        raise SampleError(f"cannot read {name}: {getattr(error, 'strerror', None) or error}") from error
    content = content.removeprefix(_BYTE_ORDER_MARK)
    is_whole = len(content) <= MOST_BYTES
    single = _single(content) if is_whole else None
    if single is not None:
        records, unit = single
        kept = records[:MOST_RECORDS]
        return Sample(kept, list(range(1, len(kept) + 1)), unit, len(kept) == len(records))
    lines = content.splitlines() if b"\r" in content and b"\n" not in content else content.split(b"\n")
    if not is_whole:
        lines.pop()  # it may be half of one
    found = [(number, line.removesuffix(b"\r")) for number, line in enumerate(lines, 1) if line.strip()]
    kept_lines = found[:MOST_RECORDS]
    numbers = [number for number, _ in kept_lines]
    return Sample([line for _, line in kept_lines], numbers, "line", is_whole and len(found) == len(numbers))


def _content(name: str) -> bytes:
    if name == "-":
        return _read(cast("io.BufferedReader", sys.stdin.buffer))
    with Path(name).open("rb") as file:
        return _read(file)


def _read(file: io.BufferedReader) -> bytes:
    """One byte more than is looked at, where there is more."""
    if file.peek(len(_GZIP_MAGIC))[: len(_GZIP_MAGIC)] != _GZIP_MAGIC:
        return file.read(MOST_BYTES + 1)
    with gzip.GzipFile(fileobj=file) as unpacked:
        return unpacked.read(MOST_BYTES + 1)


def _single(content: bytes) -> tuple[list[bytes], str] | None:
    """Of one JSON value that is the whole file: the elements of an array, or an object over several lines."""
    first = content.lstrip()[:1]
    try:
        if first == b"[":
            return [bytes(item) for item in _decode_items(content)], "element"
        if first == b"{" and b"\n" in content.strip():
            _decode_object(content)
            return [content.strip()], "object"
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return None
