"""FlatBuffers, as far as Arrow's messages need them: tables, strings and vectors, written from front to back.

https://flatbuffers.dev/internals
"""

import struct
from collections.abc import Callable, Sequence

type Part = Callable[["FlatBuffer"], int]
"""Writes what a field refers to, behind all there is; returns where that begins."""

type Field = tuple[str, int] | Part | None
"""A number with its format (as `struct` names it), what is referred to, or nothing: a field at its default."""

_LARGEST = 8
_OFFSET = "I"
_OFFSET_SIZE = 4


def build(root: Part) -> bytes:
    """A whole buffer; its size is a multiple of 8."""
    buffer = FlatBuffer()
    buffer.refer(buffer.append(_OFFSET, 0), root)
    buffer.align(_LARGEST)
    return bytes(buffer.data)


def table(*fields: Field) -> Part:
    """By the numbers of the fields in the schema, from 0 on."""

    def write(buffer: FlatBuffer) -> int:
        places, size = _places(fields)
        described = struct.pack(f"<{2 + len(fields)}H", 4 + 2 * len(fields), size, *places)
        # the table stands behind its description, where the largest numbers are aligned
        while (len(buffer.data) + len(described)) % _LARGEST:
            buffer.data.append(0)
        begin = len(buffer.data) + len(described)
        buffer.data += described + struct.pack("<i", len(described)) + bytes(size - _OFFSET_SIZE)
        for place, field in zip(places, fields, strict=True):
            if isinstance(field, tuple):
                struct.pack_into(f"<{field[0]}", buffer.data, begin + place, field[1])
        for place, field in zip(places, fields, strict=True):
            if callable(field):
                buffer.refer(begin + place, field)
        return begin

    return write


def text(value: str) -> Part:
    def write(buffer: FlatBuffer) -> int:
        encoded = value.encode()
        begin = buffer.append(_OFFSET, len(encoded))
        buffer.data += encoded + b"\0"
        return begin

    return write


def vector(*parts: Part) -> Part:
    """Of tables."""

    def write(buffer: FlatBuffer) -> int:
        begin = buffer.append(_OFFSET, len(parts))
        places = [buffer.append(_OFFSET, 0) for _ in parts]
        for place, part in zip(places, parts, strict=True):
            buffer.refer(place, part)
        return begin

    return write


def pairs(values: Sequence[tuple[int, int]]) -> Part:
    """A vector of structures of two 64-bit numbers."""

    def write(buffer: FlatBuffer) -> int:
        buffer.align(_LARGEST, before=_OFFSET_SIZE)
        begin = buffer.append(_OFFSET, len(values))
        buffer.data += struct.pack(f"<{2 * len(values)}q", *(number for pair in values for number in pair))
        return begin

    return write


class FlatBuffer:
    """What is written so far; places are counted from its beginning."""

    def __init__(self) -> None:
        self.data = bytearray()

    def align(self, size: int, *, before: int = 0) -> None:
        """What comes `before` bytes from here stands at a multiple of `size`."""
        self.data += bytes(-(len(self.data) + before) % size)

    def append(self, kind: str, value: int) -> int:
        """The place of a number."""
        self.align(struct.calcsize(kind))
        place = len(self.data)
        self.data += struct.pack(f"<{kind}", value)
        return place

    def refer(self, place: int, part: Part) -> None:
        """Write a part, and put its distance to `place`."""
        struct.pack_into(f"<{_OFFSET}", self.data, place, part(self) - place)


def _places(fields: Sequence[Field]) -> tuple[list[int], int]:
    """Where in the table each field stands, 0 for one that does not, and the table's size."""
    end, places = _OFFSET_SIZE, []
    for field in fields:
        if field is None:
            places.append(0)
            continue
        size = struct.calcsize(field[0]) if isinstance(field, tuple) else _OFFSET_SIZE
        end += -end % size
        places.append(end)
        end += size
    return places, end
