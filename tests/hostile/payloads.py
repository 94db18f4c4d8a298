"""Builders of hostile payloads: each makes the same bytes of the same mark and size, in a fraction of a second.

Except where it cannot be, a payload is an object with a good key and time, its mark, and the part that is hostile, as
large as asked for: that part is repeated, or the text of `event` is.
"""

import gzip
import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

KEY = b'"player_id":"ab54a98ceb1f0ad2ab54a98ceb1f0ad2"'
TIME = b'"time":"2023-11-14T22:13:20.123Z"'
KEY_AND_TIME = KEY + b"," + TIME
TINY = b'{"a":0},'
FORGED_SHARD = b"shardId-forged"
"""What metadata columns are never to say."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What tells a payload from all others: the members, as JSON without braces, that it holds once."""

    members: bytes

    @classmethod
    def number(cls, number: int) -> "Mark":
        return cls(b'"number":%d' % number)

    @property
    def text(self) -> bytes:
        """The members within a JSON text, with its quotes."""
        return json.dumps(self.members.decode()).encode()


type Builder = Callable[[Mark, int], bytes]
"""Makes a payload of about so many bytes; of more where it is hostile by its size."""


def good(mark: Mark) -> bytes:
    """A log that every backend takes."""
    return b'{%b,"event":"level_up"}' % _members(KEY_AND_TIME, mark)


def padded(part: bytes, *, own: bytes = KEY_AND_TIME) -> Builder:
    """The part as a member, or several, behind a text that is as long as is asked for."""

    def build(mark: Mark, size: int) -> bytes:
        return filled(b'{%b,"event":"' % _members(own, mark), b"x", b'",%b}' % part, size)

    return build


def repeated(head: bytes, unit: bytes, tail: bytes, *, own: bytes = KEY_AND_TIME) -> Builder:
    """The unit as often as is asked for, between a head and a tail, behind these own members and the mark."""

    def build(mark: Mark, size: int) -> bytes:
        return filled(b"{%b,%b" % (_members(own, mark), head), unit, tail + b"}", size)

    return build


def repeated_first(head: bytes, unit: bytes, tail: bytes) -> Builder:
    """The same before them: who reads on from there has to have got past it."""

    def build(mark: Mark, size: int) -> bytes:
        return filled(b"{" + head, unit, b"%b,%b}" % (tail, _members(KEY_AND_TIME, mark)), size)

    return build


def filled(head: bytes, unit: bytes, tail: bytes, size: int) -> bytes:
    """A comma at the end of the last unit is left out."""
    times = max(1, (size - len(head) - len(tail)) // len(unit))
    return head + (unit * times).removesuffix(b",") + tail


# Nesting


def arrays(depth: int) -> Builder:
    """So many levels, the record's own among them."""
    return _nested(b'"note":', b"[", b"", b"]", depth)


def objects(depth: int) -> Builder:
    return _nested(b'"note":', b'{"a":', b"0", b"}", depth)


def both(depth: int) -> Builder:
    """In turns."""

    def build(mark: Mark, size: int) -> bytes:
        pairs, single = divmod(depth - 1, 2)
        value = b"[" * single + b'[{"a":' * pairs + b"0" + b"}]" * pairs + b"]" * single
        return padded(b'"note":' + value)(mark, size)

    return build


def nested_key(depth: int) -> Builder:
    return _nested(b'"player_id":', b"[", b"", b"]", depth, own=TIME)


def nested_time(depth: int) -> Builder:
    return _nested(b'"time":', b"[", b"", b"]", depth, own=KEY)


def _nested(
    name: bytes, opening: bytes, inmost: bytes, closing: bytes, depth: int, *, own: bytes = KEY_AND_TIME
) -> Builder:
    # made when it is asked for: a million levels take megabytes
    def build(mark: Mark, size: int) -> bytes:
        value = opening * (depth - 1) + inmost + closing * (depth - 1)
        return padded(name + value, own=own)(mark, size)

    return build


def array_as_record(mark: Mark, size: int) -> bytes:
    return filled(b"[%b," % mark.text, TINY, b"]", size)


def nested_record(depth: int) -> Builder:
    """Arrays in arrays around a text."""

    def build(mark: Mark, size: int) -> bytes:
        text = filled(mark.text[:-1] + b" ", b"x", b'"', size - 2 * depth)
        return b"[" * depth + text + b"]" * depth

    return build


def text_as_record(mark: Mark, size: int) -> bytes:
    return filled(mark.text[:-1] + b" ", b"x", b'"', size)


# Names and members


def long_name(name_bytes: int) -> Builder:
    def build(mark: Mark, size: int) -> bytes:
        return padded(b'"%b":1' % (b"A" * name_bytes))(mark, size)

    return build


def many_members(mark: Mark, size: int) -> bytes:
    """Half a million names in 10 MiB, with texts as values."""
    head, tail = b"{%b," % mark.members, KEY_AND_TIME + b"}"
    member = b'"%06x":"abcdefgh",'
    count = max(1, (size - len(head) - len(tail)) // len(member % 0))
    return head + b"".join([member % number for number in range(count)]) + tail


# Not JSON


def cut_short(mark: Mark, size: int) -> bytes:
    return filled(b'{%b,"event":"' % _members(KEY_AND_TIME, mark), b"x", b"", size)


def trailing(rest: bytes) -> Builder:
    def build(mark: Mark, size: int) -> bytes:
        return filled(b'{%b,"event":"' % _members(KEY_AND_TIME, mark), b"x", b'"}' + rest, size)

    return build


def with_byte_order_mark(mark: Mark, size: int) -> bytes:
    return b"\xef\xbb\xbf" + padded(b'"n":1')(mark, size - 3)


def in_utf_16(mark: Mark, size: int) -> bytes:
    return padded(b'"n":1')(mark, size // 2 - 1).decode().encode("utf-16")


def white_space(mark: Mark, size: int) -> bytes:
    """Blanks and tabs that tell the mark, then line ends."""
    told = bin(int.from_bytes(mark.members)).encode().translate(bytes.maketrans(b"01b", b" \t\n"))
    return filled(told, b" \t\r\n", b"", size)


def nothing(mark: Mark, size: int) -> bytes:
    return b""


def in_gzip(mark: Mark, size: int) -> bytes:
    """A gzip file that has the mark as its name, of zeros that take no less room for it."""
    flags_name = 8
    head = struct.pack("<2sBBLBB", b"\x1f\x8b", 8, flags_name, 0, 0, 255) + mark.members + b"\0"
    content = bytes(max(1, size - len(head) - 32))
    packer = zlib.compressobj(0, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(content) + packer.flush()
    whole = head + packed + struct.pack("<LL", zlib.crc32(content), len(content))
    assert gzip.decompress(whole) == content
    return whole


def in_cbor(mark: Mark, size: int) -> bytes:
    """A map with a key, a mark and a byte string."""
    map_of_3, text_of_9, text_of_2, text_of_4, text, octets = 0xA3, 0x69, 0x62, 0x64, 0x78, 0x5A
    head = b"%cplayer_id%cab%cmark%c%c%b%cdata" % (
        text_of_9,
        text_of_2,
        text_of_4,
        text,
        len(mark.members),
        mark.members,
        text_of_4,
    )
    content = bytes(max(1, size - len(head) - 6))
    return b"%c%b%c%b%b" % (map_of_3, head, octets, struct.pack(">L", len(content)), content)


# White space


def line_ends(mark: Mark, size: int) -> bytes:
    """Raw line ends around every token."""
    head = b'\r\n{\n%b\r\n,\r%b\n,\r\n"note"\r\n:\n[\r' % (KEY.replace(b":", b"\n:\r\n"), mark.members)
    return filled(head, b'\n{\r"a"\n:\r\n0\r}\n,', b"\r\n]\n\r}\r\n", size)


def _members(own: bytes, mark: Mark) -> bytes:
    return b"%b,%b" % (own, mark.members)
