"""Most payloads are found to be fine without a look at each token: what stands in for the C library's first look."""

import re
from itertools import accumulate

import msgspec

from consumer.sinks.json.rule import BIGQUERY_DEPTH, Limits, first_not_utf8, has_half_surrogate

_is_long_number = re.compile(rb"[0-9]{200}|[0-9][eE][+-]?[0-9]{3}").search
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_STEPS = bytes.maketrans(b"[{]}", b"\x02\x02\x00\x00")
_WINDOW_BYTES = 64 * 1024
_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode


def is_surely_fine(payload: bytes, limits: Limits) -> bool:
    """False where `judge` has to look."""
    if not payload or not _is_surely_shallow(payload, min(limits.max_depth, BIGQUERY_DEPTH)):
        return False
    try:
        _decode_raw(payload)
    except msgspec.MsgspecError:
        return False
    if not payload.isascii() and first_not_utf8(payload) <= len(payload):
        return False
    if _may_have_long_name(payload, limits.max_name_bytes):
        return False
    if limits.unicode_only and has_half_surrogate(payload):
        return False
    return not (limits.doubles_only and _is_long_number(payload))


def _may_have_long_name(payload: bytes, most: int) -> bool:
    if len(payload) <= most:
        return False
    if rb"\"" in payload:
        return True
    place = 0
    while len(payload) - place > most:
        quote = payload.rfind(b'"', place, place + most + 1)
        if quote < 0:
            return True
        place = quote + 1
    return False


def _is_surely_shallow(payload: bytes, levels: int) -> bool:
    """Whether a JSON value has at most so many levels. Of what is no JSON the answer tells how many a parser meets at
    most before it finds out: up to there texts are told from brackets."""
    if payload.count(b"[") + payload.count(b"{") <= levels:
        return True
    text = payload.replace(rb"\\", b"").replace(rb"\"", b"") if b"\\" in payload else payload
    depth, is_in_text = 0, False
    for begin in range(0, len(text), _WINDOW_BYTES):
        pieces = text[begin : begin + _WINDOW_BYTES].split(b'"')
        brackets = b"".join(pieces[is_in_text::2]).translate(_STEPS, _NOT_BRACKETS)
        is_in_text ^= len(pieces) % 2 == 0
        depths = list(accumulate(map((-1).__add__, brackets), initial=depth))
        if max(depths) > levels:
            return False
        depth = depths[-1]
    return True
