"""Protocol Buffers on the wire, as far as the discarding backend reads and writes them.

By hand, since the large fields are to be looked at where they are. https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator

_VARINT = 0
_BYTES = 2
_FIXED_BYTES = {1: 8, 5: 4}

type Value = int | bytes | memoryview


def fields(message: bytes | memoryview) -> Iterator[tuple[int, Value]]:
    """Number and value of each field; what has another message in it comes as its bytes. Raises ValueError."""
    view = memoryview(message)
    place = 0
    while place < len(view):
        tag, place = _read_varint(view, place)
        kind = tag & 7
        value: Value
        if kind == _VARINT:
            value, place = _read_varint(view, place)
        elif kind == _BYTES:
            size, place = _read_varint(view, place)
            value, place = view[place : place + size], place + size
        elif kind in _FIXED_BYTES:
            size = _FIXED_BYTES[kind]
            value, place = view[place : place + size], place + size
        else:
            raise ValueError(f"wire type {kind}")
        yield tag >> 3, value


def within(message: Value, *path: int) -> memoryview:
    """The field at the end of a path of numbers, each within the one before; the last of several, empty if missing.
    Raises ValueError."""
    found = _view(message)
    for number in path:
        inner = [value for each, value in fields(found) if each == number]
        found = _view(inner[-1] if inner else b"")
    return found


def number_within(message: Value, number: int) -> int:
    """A field that is a number, 0 if it is missing. Raises ValueError."""
    found = [value for each, value in fields(_view(message)) if each == number]
    last = found[-1] if found else 0
    if not isinstance(last, int):
        raise ValueError(f"field {number} is no number")
    return last


def number_field(number: int, value: int) -> bytes:
    """`value` is not negative."""
    return _varint(number << 3 | _VARINT) + _varint(value)


def bytes_field(number: int, value: bytes) -> bytes:
    """For texts and for messages as well."""
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value


def _view(value: Value) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number, not bytes")
    return memoryview(value)


def _read_varint(view: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if place >= len(view):
            raise ValueError("the message ends within a number")
        byte = view[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7


def _varint(value: int) -> bytes:
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    return bytes(digits)
