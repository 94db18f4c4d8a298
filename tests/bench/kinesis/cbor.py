"""CBOR (RFC 8949) as far as Kinesis and the AWS SDK for Java use it.

The SDK writes objects and arrays of indefinite length, and moments as tag 1 with milliseconds.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

_EPOCH_TAG = 1
_SIZES = {24: 1, 25: 2, 26: 4, 27: 8}
_FLOATS = {25: ">e", 26: ">f", 27: ">d"}
_INDEFINITE = 31
_CONSTANTS = {20: False, 21: True, 22: None, 23: None}


class Major(IntEnum):
    """The type of an item."""

    UNSIGNED = 0
    NEGATIVE = 1
    BYTES = 2
    TEXT = 3
    ARRAY = 4
    MAP = 5
    TAG = 6
    SIMPLE = 7


class CborError(ValueError):
    """The bytes are not CBOR, or not of the kinds named above."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Milliseconds since the epoch; encoded always in the same number of bytes."""

    milliseconds: int


def encode(value: Any) -> bytes:
    """`value` may hold dicts, sequences, str, bytes, int, bool, None and Moment."""
    return b"".join(_pieces(value))


def head(major: Major, argument: int) -> bytes:
    """What begins an item: its major type, and a number that is its length or its value."""
    if argument < 24:
        return bytes([major << 5 | argument])
    code, size = next((code, size) for code, size in _SIZES.items() if argument < 256**size)
    return bytes([major << 5 | code]) + argument.to_bytes(size)


def decode(data: bytes) -> Any:
    """The one item in `data`; a tag is dropped. Raises CborError."""
    reader = _Reader(data)
    try:
        value = reader.item()
    except (IndexError, UnicodeDecodeError, struct.error, RecursionError) as error:
        raise CborError(f"not CBOR: {error}") from error
    if value is _BREAK or reader.position != len(data):
        raise CborError("not one item")
    return value


def _pieces(value: Any) -> Iterator[bytes]:
    match value:
        case None | bool():
            yield {None: b"\xf6", False: b"\xf4", True: b"\xf5"}[value]
        case int():
            yield head(Major.UNSIGNED, value) if value >= 0 else head(Major.NEGATIVE, -1 - value)
        case str():
            text = value.encode()
            yield head(Major.TEXT, len(text)) + text
        case bytes():
            yield head(Major.BYTES, len(value)) + value
        case Moment():
            yield (
                head(Major.TAG, _EPOCH_TAG)
                + bytes([Major.UNSIGNED << 5 | 27])
                + value.milliseconds.to_bytes(8)
            )
        case Mapping():
            yield head(Major.MAP, len(value))
            for key, member in value.items():
                yield from _pieces(key)
                yield from _pieces(member)
        case Sequence():
            yield head(Major.ARRAY, len(value))
            for member in value:
                yield from _pieces(member)
        case _:
            raise CborError(f"no CBOR for a {type(value).__name__}")


_BREAK = object()


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    def item(self) -> Any:
        first = self._take(1)[0]
        major, short = first >> 5, first & 31
        if major == Major.SIMPLE:
            return self._simple(short)
        argument = self._argument(short)
        match major:
            case Major.UNSIGNED:
                return self._definite(argument)
            case Major.NEGATIVE:
                return -1 - self._definite(argument)
            case Major.BYTES:
                return b"".join(self._strings(argument))
            case Major.TEXT:
                return b"".join(self._strings(argument)).decode()
            case Major.ARRAY:
                return list(self._items(argument))
            case Major.MAP:
                return {key: self._value() for key in self._items(argument)}
        return self._value()

    def _take(self, size: int) -> bytes:
        taken = self._data[self.position : self.position + size]
        if len(taken) < size:
            raise CborError("cut off")
        self.position += size
        return taken

    def _argument(self, short: int) -> int | None:
        """None for an indefinite length."""
        if short < 24:
            return short
        if short == _INDEFINITE:
            return None
        if short not in _SIZES:
            raise CborError("a reserved length")
        return int.from_bytes(self._take(_SIZES[short]))

    def _definite(self, argument: int | None) -> int:
        if argument is None:
            raise CborError("a number without a value")
        return argument

    def _value(self) -> Any:
        value = self.item()
        if value is _BREAK:
            raise CborError("a break in place of a value")
        return value

    def _items(self, count: int | None) -> Iterator[Any]:
        if count is None:
            yield from iter(self.item, _BREAK)
        else:
            for _ in range(count):
                yield self._value()

    def _strings(self, length: int | None) -> Iterator[bytes]:
        if length is not None:
            yield self._take(length)
            return
        for piece in iter(self.item, _BREAK):
            yield piece if isinstance(piece, bytes) else piece.encode()

    def _simple(self, short: int) -> Any:
        if short == _INDEFINITE:
            return _BREAK
        if short in _FLOATS:
            return struct.unpack(_FLOATS[short], self._take(_SIZES[short]))[0]
        if short in _CONSTANTS:
            return _CONSTANTS[short]
        raise CborError("an unknown simple value")
