"""Members of a JSON object where they stand: found and replaced without reading any value.

Everything here takes payloads that a judge has found to be fine.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from consumer.sinks.json.rule import text_end

_encode = msgspec.json.Encoder().encode
_decode_text = msgspec.json.Decoder(str).decode
_NULL = b"null"

_SPACE = rb"[ \t\n\r]*+"
_opening = re.compile(rb"%b\{%b" % (_SPACE, _SPACE)).match
_plain_member = re.compile(
    rb'"([^"\\]*+)"%b:%b(?:("[^"\\]*+"|[^"\\\[\]{}, \t\n\r]++)|(?=["\[{]))' % (_SPACE, _SPACE)
).match
_colon = re.compile(rb"%b:%b" % (_SPACE, _SPACE)).match
_scalar = re.compile(rb"[^,\]} \t\n\r]++").match
_between = re.compile(rb"%b,?%b" % (_SPACE, _SPACE)).match
_item = re.compile(rb"%b\[%b" % (_SPACE, _SPACE)).match
_next_separator = re.compile(rb'[",\[{]').search
_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_FLAT = rb'[\[{](?:[^"\[\]{}]++|%b)*+[\]}]' % _STRING
_flat_container = re.compile(_FLAT, re.DOTALL).match
_inside_container = re.compile(rb'(?:[^"\[\]{}]++|%b|%b)*+' % (_STRING, _FLAT), re.DOTALL).match
"""What stands there but for containers that have others in them."""
_RAW_NAME_BYTES = 6
"""An escape of six bytes may stand for one."""


class Member(NamedTuple):
    """Offsets in the payload: of the name's quote, of the value, and past the value. `raw_name` is what stands between
    the quotes."""

    raw_name: bytes
    begin: int
    value: int
    end: int


def kind_of(payload: bytes) -> str:
    """What JSON calls the value."""
    return _KINDS.get(payload.lstrip()[:1], "number")


_KINDS = {b"{": "object", b"[": "array", b'"': "string", b"t": "boolean", b"f": "boolean", b"n": "null"}


def members(text: bytes) -> Iterator[Member]:
    """Those of an object, in their order, however often a name is there."""
    opening = _opening(text)
    assert opening is not None, "it is an object"
    place = opening.end()
    while text[place : place + 1] != b"}":
        begin = place
        found = _plain_member(text, begin)
        if found is not None and found[2] is not None:
            raw_name, value, place = found[1], found.start(2), found.end()
        else:
            name_end = text_end(text, begin)
            raw_name = text[begin + 1 : name_end - 1]
            value = _end(_colon(text, name_end))
            place = value_end(text, value)
        yield Member(raw_name, begin, value, place)
        place = _end(_between(text, place))


def items(text: bytes) -> Iterator[bytes]:
    """The values of an array, as they are spelled."""
    place = _end(_item(text))
    while text[place : place + 1] != b"]":
        end = value_end(text, place)
        yield text[place:end]
        place = _end(_between(text, end))


def value_end(text: bytes, place: int) -> int:
    """Past the value that begins at a place."""
    first = text[place : place + 1]
    if first == b'"':
        return text_end(text, place)
    if first not in (b"{", b"["):
        return _end(_scalar(text, place))
    flat = _flat_container(text, place)
    if flat is not None:
        return flat.end()
    depth, place = 1, place + 1
    while depth:
        place = _end(_inside_container(text, place))
        depth += 1 if text[place] in b"[{" else -1
        place += 1
    return place


def count_values(value: bytes, most: int) -> int:
    """Elements and members in an array or an object, at all levels; about as many values as reading it makes. It stops
    once there are more than `most`."""
    count = 1
    place = 0
    while count <= most:
        mark = _next_separator(value, place)
        if mark is None:
            return count
        place = mark.end()
        if mark[0] == b'"':
            place = text_end(value, mark.start())
        else:
            count += 1
    return count


def name_of(raw: bytes) -> str:
    """A name without its escapes; half of a surrogate pair stays one."""
    if b"\\" not in raw:
        return raw.decode()
    return text_of(b'"%b"' % raw)


def text_of(quoted: bytes | memoryview) -> str:
    """What a JSON text says; half of a surrogate pair stays one."""
    try:
        return _decode_text(quoted)
    except msgspec.DecodeError:
        return str(json.loads(bytes(quoted)))


def is_named(member: Member, name: str, encoded: bytes) -> bool:
    """`encoded` is the name in UTF-8."""
    raw = member.raw_name
    if b"\\" not in raw:
        return raw == encoded
    return len(raw) <= _RAW_NAME_BYTES * len(encoded) and name_of(raw) == name


def set_member(payload: bytes, name: str, value: bytes, *, replace: bool) -> bytes:
    """The object with member `name` set to the JSON text `value`; without `replace` only where it is missing or null.
    Of members with the same name the last one counts, and it alone is left; all others keep their bytes."""
    encoded = name.encode()
    last, count = None, 0
    for member in members(payload):
        if is_named(member, name, encoded):
            last = member
            count += 1
    if last is None:
        return _appended(payload, b"%b:%b" % (_encode(name), value))
    place = last.begin
    if count > 1:
        payload = with_members(payload, lambda each: each.begin == place or not is_named(each, name, encoded))
        return set_member(payload, name, value, replace=replace)
    if replace or payload[last.value : last.end] == _NULL:
        return payload[: last.value] + value + payload[last.end :]
    return payload


def with_members(payload: bytes, keep: Callable[[Member], bool]) -> bytes:
    """The object with those of its members alone."""
    kept = bytearray(b"{")
    for member in members(payload):
        if keep(member):
            kept += payload[member.begin : member.end]
            kept += b","
    if len(kept) == 1:
        return b"{}"
    kept[-1:] = b"}"
    return bytes(kept)


def _appended(payload: bytes, member: bytes) -> bytes:
    body = payload[: payload.rindex(b"}")].rstrip()
    return b"%b%b%b}" % (body, b"" if body.endswith(b"{") else b",", member)


def _end(found: "re.Match[bytes] | None") -> int:
    assert found is not None, "the payload was judged"
    return found.end()


_ESCAPES = [(b"\\", rb"\\"), (b'"', rb"\""), (b"\t", rb"\t"), (b"\n", rb"\n"), (b"\r", rb"\r")]
"""Of JSON the characters that cannot stand in a JSON text; white space is all there is of control characters."""


def json_text(value: bytes) -> msgspec.Raw:
    """A JSON value as a JSON text that holds it. On the bytes: a str takes four bytes for each character of a record
    that has one emoji."""
    for character, escape in _ESCAPES:
        value = value.replace(character, escape)
    return msgspec.Raw(b'"%b"' % value)
