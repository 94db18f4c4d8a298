"""A chunk's object with records appended to it, which says itself which ones these are.

The content is one gzip member. Behind it stand empty members with an extra field each (RFC 1952, 2.3.1.1), as BGZF
files end with one: how many bytes of the content were there before, and a digest of each record that was appended.
"""

import hashlib
import io
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from isal import isal_zlib

from consumer.operate.dead_letters.letters import Unreadable
from consumer.sinks.json.lines import GZIP_WINDOW_BITS

_HEAD = struct.Struct("<4sIBBH")
"""Magic, method and flags; time; two bytes of no use; the size of the extra field."""
_MAGIC = b"\x1f\x8b\x08\x04"
_FIELD = struct.Struct("<2sHQ")
"""Name and size of the subfield, then the bytes of the content before anything was appended."""
_NAME = b"rd"
_EMPTY = b"\x03\x00" + bytes(8)
"""A deflate stream of nothing, its checksum and its size."""
_DIGEST_BYTES = 8
_MOST_DIGESTS = 1000
"""Of one member: DuckDB reads no header above 32 KiB, and some readers have less room."""


@dataclass(frozen=True, slots=True)
class Addition:
    """A record to be appended: its line, without an end, and who it is within its stream. `as_it_came` is its line
    where the settings take the record without any mending."""

    identity: str
    line: bytes
    as_it_came: bytes | None
    payload_is_line: bool


@dataclass(frozen=True, slots=True)
class MergedObject:
    """`content` is plain text; what was appended begins at `base_bytes`."""

    content: bytes = field(repr=False, default=b"")
    base_bytes: int = 0
    digests: frozenset[bytes] = frozenset()
    level: int = 1

    @classmethod
    def read(cls, body: bytes, *, level: int = 1) -> "MergedObject":
        """To be written at this level of compression. Raises Unreadable for what is not gzip."""
        content: list[bytes] = []
        digests: set[bytes] = set()
        base: int | None = None
        rest = body
        try:
            while rest:
                mark = _mark_of(rest)
                if mark is not None:
                    base, found = mark[0], mark[1]
                    digests.update(found)
                decompressor = zlib.decompressobj(GZIP_WINDOW_BITS)
                content.append(decompressor.decompress(rest))
                if not decompressor.eof:
                    raise Unreadable("its end is missing")
                rest = decompressor.unused_data
        except zlib.error as error:
            raise Unreadable(str(error)) from error
        text = b"".join(content)
        return cls(text, len(text) if base is None else base, frozenset(digests), level)

    def missing(self, additions: Sequence[Addition], *, is_newer: bool) -> list[Addition]:
        """Those that are not in it.

        One is there if it was appended, or if the chunk was delivered under settings that take it. That shows in a line
        equal to its own, since a verdict depends on the record and the settings alone. A payload over several
        lines becomes the line of another record, perhaps: then the object has to be newer than the dead letter, too.
        """
        wanted = {
            addition.as_it_came
            for addition in additions
            if addition.as_it_came is not None and (addition.payload_is_line or is_newer)
        }
        present = self._base_lines(wanted) if wanted else set()
        return [
            addition
            for addition in additions
            if digest(addition.identity) not in self.digests
            and not (addition.as_it_came in present and (addition.payload_is_line or is_newer))
        ]

    def with_lines(self, additions: Sequence[Addition]) -> "MergedObject":
        appended = b"".join([addition.line + b"\n" for addition in additions])
        marks = self.digests | {digest(addition.identity) for addition in additions}
        return MergedObject(self.content + appended, self.base_bytes, marks, self.level)

    def body(self) -> bytes:
        packed = isal_zlib.compress(self.content, self.level, GZIP_WINDOW_BITS)
        return b"".join([packed, *_members(self.base_bytes, sorted(self.digests))])

    def _base_lines(self, wanted: set[bytes]) -> set[bytes]:
        """Those of these lines that were there before anything was appended."""
        base = io.BytesIO(self.content[: self.base_bytes])
        return {line for line in (each.removesuffix(b"\n") for each in base) if line in wanted}


def digest(identity: str) -> bytes:
    """Among the records of one chunk it takes no more to tell them apart."""
    return hashlib.blake2b(identity.encode(), digest_size=_DIGEST_BYTES).digest()


def _members(base_bytes: int, digests: Sequence[bytes]) -> Iterable[bytes]:
    for begin in range(0, len(digests), _MOST_DIGESTS):
        some = b"".join(digests[begin : begin + _MOST_DIGESTS])
        extra = _FIELD.pack(_NAME, 8 + len(some), base_bytes) + some
        yield _HEAD.pack(_MAGIC, 0, 0, 255, len(extra)) + extra + _EMPTY


def _mark_of(member: bytes) -> tuple[int, list[bytes]] | None:
    """What an empty member of ours says; None for any other."""
    if len(member) < _HEAD.size + _FIELD.size or not member.startswith(_MAGIC):
        return None
    size = _HEAD.unpack_from(member)[4]
    name, field_size, base_bytes = _FIELD.unpack_from(member, _HEAD.size)
    if name != _NAME or field_size + 4 != size:
        return None
    begin = _HEAD.size + _FIELD.size
    found = member[begin : _HEAD.size + size]
    return base_bytes, [found[at : at + _DIGEST_BYTES] for at in range(0, len(found), _DIGEST_BYTES)]
