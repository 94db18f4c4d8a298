"""Reads the names of methods out of a Java class file (JVM specification, chapter 4), and nothing else."""

import struct

_FIXED_SIZES = {
    3: 4,
    4: 4,
    5: 8,
    6: 8,
    7: 2,
    8: 2,
    9: 4,
    10: 4,
    11: 4,
    12: 4,
    15: 3,
    16: 2,
    17: 4,
    18: 4,
    19: 2,
    20: 2,
}
_UTF8, _LONG, _DOUBLE = 1, 5, 6
_PUBLIC = 0x0001


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def skip(self, size: int) -> bytes:
        self._at += size
        return self._content[self._at - size : self._at]

    def u1(self) -> int:
        return self.skip(1)[0]

    def u2(self) -> int:
        return int(struct.unpack(">H", self.skip(2))[0])

    def u4(self) -> int:
        return int(struct.unpack(">I", self.skip(4))[0])


def public_methods(content: bytes) -> list[tuple[str, str]]:
    """Name and descriptor of each public method of a class."""
    reader = _Reader(content)
    reader.skip(8)
    strings = _strings(reader)
    reader.skip(6)
    reader.skip(2 * reader.u2())
    _members(reader, strings)
    return [(name, descriptor) for flags, name, descriptor in _members(reader, strings) if flags & _PUBLIC]


def _strings(reader: _Reader) -> dict[int, str]:
    strings: dict[int, str] = {}
    count = reader.u2()
    index = 1
    while index < count:
        tag = reader.u1()
        if tag == _UTF8:
            strings[index] = reader.skip(reader.u2()).decode("utf-8", "replace")
        else:
            reader.skip(_FIXED_SIZES[tag])
        index += 2 if tag in (_LONG, _DOUBLE) else 1
    return strings


def _members(reader: _Reader, strings: dict[int, str]) -> list[tuple[int, str, str]]:
    members = []
    for _ in range(reader.u2()):
        flags, name, descriptor = reader.u2(), strings[reader.u2()], strings[reader.u2()]
        members.append((flags, name, descriptor))
        for _ in range(reader.u2()):
            reader.skip(2)
            reader.skip(reader.u4())
    return members
