"""Setting one member of a JSON object, while all others keep their spelling."""

import json
import re

import msgspec

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_NULL = "null"

_skip_space = re.compile(r"[ \t\r\n]*").match
# parse_int: the values are only measured, and Python refuses to convert integers of more than 4,300 digits
_scan = json.JSONDecoder(parse_int=float).raw_decode


def set_member(payload: bytes, name: str, value: bytes, *, replace: bool) -> bytes:
    """The object with member `name` set to the JSON text `value`; without `replace` only where it is missing or
    null. `payload` is a JSON object in UTF-8. Of members with the same name the last one counts."""
    try:
        members = _decode(payload)
    except msgspec.DecodeError:  # half of a surrogate pair in some text: JSON, but not for this decoder
        return _set_in_text(payload.decode(), name, value.decode(), replace=replace)
    if replace or bytes(members.get(name, b"null")) == b"null":
        members[name] = msgspec.Raw(value)
    return _encode(members)


def _set_in_text(text: str, name: str, value: str, *, replace: bool) -> bytes:
    members = _members(text)
    if replace or members.get(name, _NULL) == _NULL:
        members[name] = value
    # json.dumps, since it can write such a text: as an escape
    return ("{" + ",".join(f"{json.dumps(key)}:{raw}" for key, raw in members.items()) + "}").encode()


def _members(text: str) -> dict[str, str]:
    members: dict[str, str] = {}
    place = _after_space(text, _after_space(text, 0) + 1)
    while text[place] != "}":
        key, place = _scan(text, place)
        begin = _after_space(text, _after_space(text, place) + 1)
        _, end = _scan(text, begin)
        members[key] = text[begin:end]
        place = _after_space(text, end)
        if text[place] == ",":
            place = _after_space(text, place + 1)
    return members


def _after_space(text: str, place: int) -> int:
    match = _skip_space(text, place)
    return match.end() if match else place
