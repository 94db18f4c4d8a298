"""Whether a payload is one JSON value within limits of our own: the verdict that everything else rests on.

It is decided on the bytes alone, from left to right, without recursion and without building any value, so that it is
the same in every process, thread, stack and version of Python, and whatever stands beside the payload. Every decoder
that comes after it meets at most `max_depth` levels.

The C library has the same rule in `judge.c`; property tests hold the two against each other, and both against Python's
own parser.
"""

import re
from dataclasses import dataclass
from typing import Literal

type FaultReason = Literal["not_json", "too_deep", "long_name", "not_unicode", "bad_number"]

REASONS: tuple[FaultReason, ...] = ("not_json", "too_deep", "long_name", "not_unicode", "bad_number")
"""As judge.c numbers them, from 1 on."""

NO_LIMIT = 2**63 - 1
LEAST_DEPTH = 64
LEAST_NAME_BYTES = 65_536
_QUOTED_BYTES = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a payload has to keep to beside RFC 8259.

    `max_depth` counts arrays and objects around a value, `max_name_bytes` the bytes of a member's name as they stand
    between its quotes. `unicode_only` refuses escapes that are half of a surrogate pair, `doubles_only` numbers beyond
    the range of double precision.
    """

    max_depth: int
    max_name_bytes: int = NO_LIMIT
    unicode_only: bool = False
    doubles_only: bool = False


BIGQUERY_DEPTH = 500
"""Levels of a JSON column: https://cloud.google.com/bigquery/docs/json-data#limitations"""

BIGQUERY = Limits(max_depth=BIGQUERY_DEPTH, max_name_bytes=65_536, unicode_only=True, doubles_only=True)
"""What a JSON column takes, as docs/bigquery.md tells. The length of names is a limit of our own."""


@dataclass(frozen=True, slots=True)
class Fault:
    """The first thing wrong with a payload, and the offset in bytes of the token that is."""

    reason: FaultReason
    offset: int

    def detail(self, payload: bytes, limits: Limits) -> str:
        """What to tell whoever looks for the cause."""
        if not payload:
            return "empty payload"
        at = f"at byte {self.offset}"
        near = f"near {_quoted(payload, self.offset)}" if self.offset < len(payload) else "where it ends"
        match self.reason:
            case "not_json":
                return f"not JSON {at}, {near}"
            case "too_deep":
                return f"nested more than {limits.max_depth} levels deep {at}"
            case "long_name":
                return f"a name of more than {limits.max_name_bytes} bytes {at}, {near}"
            case "not_unicode":
                return f"half of a surrogate pair in the text {at}, {near}"
            case "bad_number":
                return f"a number beyond double precision {at}, {near}"


def _quoted(payload: bytes, offset: int) -> str:
    return repr(payload[offset : offset + _QUOTED_BYTES].decode("utf-8", "replace"))


_SPACE = rb"[ \t\n\r]*+"
_TEXT = rb'"[^"\\\x00-\x1f]*+"'
_NUMBER = rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?"
_value = re.compile(rb"%b(?:(%b)|(%b)|(true|false|null)|([\[{])|(\"))" % (_SPACE, _TEXT, _NUMBER)).match
_name = re.compile(rb"%b(?:(%b)|(\"))" % (_SPACE, _TEXT)).match
_colon = re.compile(rb"%b:" % _SPACE).match
_behind_value = re.compile(rb"%b([,\]}])" % _SPACE).match
_skip_space = re.compile(_SPACE).match
_plain_characters = re.compile(rb'[^"\\\x00-\x1f]*+').match
# a bounded number at once: the matcher keeps memory for each repetition of a group
_escapes = re.compile(rb'(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})){1,100}').match
_surrogates = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F])|.)", re.DOTALL
).finditer

TEXT, NUMBER, WORD, OPENING, ESCAPED_TEXT = range(1, 6)
_ARRAY, _OBJECT = b"[", b"{"


def judge(payload: bytes, limits: Limits) -> Fault | None:
    """The first fault of the payload, None where there is none. In the order of its bytes, token by token; of one
    token first that it is no JSON."""
    return _Judging(payload, limits).run()


class _Judging:
    """One payload."""

    def __init__(self, payload: bytes, limits: Limits) -> None:
        self._text = payload
        self._limits = limits
        self._not_utf8 = first_not_utf8(payload)
        self._open = bytearray()  # the brackets around the place, outermost first

    def run(self) -> Fault | None:
        text, opened = self._text, self._open
        place = 0
        wants_name = False
        while True:
            if wants_name:
                place, fault = self._read_name(place)
                if fault:
                    return fault
            place, fault, is_opened = self._read_value(place)
            if fault:
                return fault
            if is_opened:
                wants_name = opened[-1:] == _OBJECT
                closing = _skip(text, place)
                if text[closing : closing + 1] != _closing_of(opened):
                    continue
                place = closing + 1
                opened.pop()
            while opened:
                found = _behind_value(text, place)
                if found is None:
                    return self._no_json(place)
                if found[1] == b",":
                    place = found.end()
                    wants_name = opened[-1:] == _OBJECT
                    break
                if found[1] != _closing_of(opened):
                    return Fault("not_json", found.start(1))
                place = found.end()
                opened.pop()
            else:
                end = _skip(text, place)
                return None if end == len(text) else Fault("not_json", end)

    def _no_json(self, place: int) -> Fault:
        return Fault("not_json", _skip(self._text, place))

    def _read_name(self, place: int) -> tuple[int, Fault | None]:
        """Past a name and its colon."""
        found = _name(self._text, place)
        if found is None:
            return place, self._no_json(place)
        begin = found.start(found.lastindex or 0)
        end, fault = self._text_end(begin, found.end(), is_plain=found.lastindex == TEXT)
        if fault is None and end - begin - 2 > self._limits.max_name_bytes:
            fault = Fault("long_name", begin)
        if fault:
            return end, fault
        colon = _colon(self._text, end)
        return (end, self._no_json(end)) if colon is None else (colon.end(), None)

    def _read_value(self, place: int) -> tuple[int, Fault | None, bool]:
        """Past a value, or past the bracket that one begins with, which the last of the three tells."""
        found = _value(self._text, place)
        if found is None:
            return place, self._no_json(place), False
        kind, end = found.lastindex or 0, found.end()
        begin = found.start(kind)
        fault = None
        if kind in (TEXT, ESCAPED_TEXT):
            end, fault = self._text_end(begin, end, is_plain=kind == TEXT)
        elif kind == NUMBER:
            if self._limits.doubles_only and is_beyond_doubles(found[kind]):
                fault = Fault("bad_number", begin)
        elif kind == OPENING:
            if len(self._open) == self._limits.max_depth:
                return end, Fault("too_deep", begin), False
            self._open += found[kind]
        return end, fault, kind == OPENING

    def _text_end(self, begin: int, end: int, *, is_plain: bool) -> tuple[int, Fault | None]:
        if not is_plain:
            end = text_end(self._text, begin)
        if end < 0 or begin < self._not_utf8 < end:
            return begin, Fault("not_json", begin)
        if not is_plain and self._limits.unicode_only and has_half_surrogate(self._text[begin:end]):
            return end, Fault("not_unicode", begin)
        return end, None


def text_end(text: bytes, begin: int) -> int:
    """Past a JSON text whose opening quote is at `begin`; -1 where it is none."""
    place = begin + 1
    while True:
        found = _plain_characters(text, place)
        assert found is not None, "it matches nothing, too"
        place = found.end()
        if text[place : place + 1] == b'"':
            return place + 1
        escapes = _escapes(text, place)
        if escapes is None:
            return -1
        place = escapes.end()


def has_half_surrogate(text: bytes) -> bool:
    """Whether an escape is half of a surrogate pair, in a JSON text, or anywhere in a JSON value."""
    if b"\\ud" not in text and b"\\uD" not in text:
        return False
    return any(found[1] for found in _surrogates(text))


_LARGEST_DOUBLE = 1797693134862315807
"""The first digits of the least number that double precision rounds to infinity."""
_LARGEST_ORDER = 308
_PLAIN_DIGITS = 200
_EXPONENT_DIGITS = 9
_parts = re.compile(rb"-?([0-9]++)(?:\.([0-9]++))?(?:[eE]([+-]?)0*+([0-9]*+))?").fullmatch


def is_beyond_doubles(number: bytes) -> bool:
    """Whether a JSON number is beyond the range of double precision. Too small ones are not: they are 0."""
    if len(number) <= _PLAIN_DIGITS and b"e" not in number and b"E" not in number:
        return False
    found = _parts(number)
    assert found is not None, "it is a number"
    whole, fraction, sign, exponent = found.groups(b"")
    digits = whole + fraction
    significant = digits.lstrip(b"0")
    if not significant:
        return False
    # payloads have less than 10^9 bytes, so the sign of a longer exponent decides
    power = int(exponent or b"0") if len(exponent) <= _EXPONENT_DIGITS else 10**_EXPONENT_DIGITS
    order = len(whole) - 1 - (len(digits) - len(significant)) + (-power if sign == b"-" else power)
    if order != _LARGEST_ORDER:
        return order > _LARGEST_ORDER
    return int(significant[:19].ljust(19, b"0")) >= _LARGEST_DOUBLE


def _skip(text: bytes, place: int) -> int:
    found = _skip_space(text, place)
    return found.end() if found else place


def _closing_of(opened: bytearray) -> bytes:
    return b"}" if opened[-1:] == _OBJECT else b"]"


def first_not_utf8(payload: bytes) -> int:
    """Offset of the first byte that is no UTF-8; past the end where there is none."""
    if payload.isascii():
        return len(payload) + 1
    try:
        payload.decode()
    except UnicodeDecodeError as error:
        return error.start
    return len(payload) + 1
