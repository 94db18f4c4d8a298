"""The kinds of hostile payloads, and what may become of each at S3 and at BigQuery.

A record is either delivered or becomes a dead letter; the outcomes of a kind are "delivered" and the reasons that a
dead letter of it may have. Where several stand, the daemon is free to choose among them, once for each record.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from consumer.settings.table import Backend
from tests.hostile import payloads as make
from tests.hostile.payloads import Builder

SMALL_BYTES, LARGE_BYTES = 20_000, 10 * 1024 * 1024
"""Sizes to try: many fit into a message; the largest record that Kinesis takes."""

_MOST_SMALL_BYTES = 4 * SMALL_BYTES
_LARGE_ROW_BYTES = 4_000_000
"""From here on a row may be too large for a request, where as much again goes into escapes."""

DELIVERED = "delivered"
_TAKEN = frozenset({DELIVERED})
_NOT_JSON = frozenset({"not_json"})
_TOO_DEEP = frozenset({"too_deep"})
_BAD_KEY = frozenset({"bad_key"})
_NO_KEY = frozenset({"no_key"})
_NOT_AN_OBJECT = frozenset({"not_an_object"})
_NOT_UNICODE = frozenset({"not_unicode"})
_BAD_NUMBER = frozenset({"bad_number"})
_LONG_NAME = frozenset({"long_name"})
_REPEATED = frozenset({"repeated_field"})

_DEEP = 9_989
"""As deep as msgspec goes in a process that has just begun, and no longer does a little later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What of a backend's settings has a say in the outcome. With `fields` the record's fields are columns: what does
    not fit into them may be rejected, whatever else it is."""

    backend: Backend
    fields: bool = False
    key_digits: int = 1


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to be hostile. `least_bytes` is about its size where less is asked for; 0 where there is none such.

    Payloads of different marks differ, unless it `has_no_mark`.
    """

    name: str
    build: Builder
    bigquery: frozenset[str] = _TAKEN
    s3: frozenset[str] = _TAKEN
    least_bytes: int = 0
    has_no_mark: bool = False

    @property
    def is_about_tables(self) -> bool:
        """Whether its key may choose no table, and so how many digits do has a say."""
        return bool(self.bigquery & (_NO_KEY | _BAD_KEY))

    def outcomes(self, shape: Shape, size: int) -> frozenset[str]:
        """What may become of a record of this kind and of about this size."""
        if shape.backend == "s3":
            return self.s3
        may = self.bigquery
        if shape.key_digits == 0 and self.is_about_tables:
            may |= _TAKEN
        if shape.fields and DELIVERED in may:
            may |= {"rejected", "too_many_values"}
        if max(size, self.least_bytes) > _LARGE_ROW_BYTES:
            may |= {"too_large"}
        return may


def kinds_of(size: int) -> list[Kind]:
    """Those to try at about this size: what takes far more than the small size to be hostile is left to larger ones."""
    return [kind for kind in KINDS.values() if size > SMALL_BYTES or kind.least_bytes <= _MOST_SMALL_BYTES]


def _nesting() -> Iterator[Kind]:
    for name, nested, level_bytes in (
        ("arrays", make.arrays, 2),
        ("objects", make.objects, 6),
        ("both", make.both, 4),
    ):
        for depth in (100, 500):
            yield Kind(f"{name}-{depth}", nested(depth))
        for depth in (501, _DEEP, 100_000, 1_000_000):
            yield Kind(f"{name}-{depth}", nested(depth), _TOO_DEEP, _TOO_DEEP, depth * level_bytes)
    yield Kind("key-deep", make.nested_key(_DEEP), _TOO_DEEP | _BAD_KEY, _TOO_DEEP, 2 * _DEEP)
    yield Kind("time-deep", make.nested_time(_DEEP), _TOO_DEEP, _TOO_DEEP, 2 * _DEEP)
    yield Kind("record-deep", make.nested_record(_DEEP), _TOO_DEEP | _NOT_AN_OBJECT, _TOO_DEEP, 2 * _DEEP)
    for name, unit in (("arrays", b"["), ("objects", b'{"a":'), ("both", b'[{"a":')):
        unclosed = make.repeated(b'"note":', unit, b"")
        yield Kind(f"{name}-unclosed", unclosed, _NOT_JSON | _TOO_DEEP, _NOT_JSON | _TOO_DEEP)
    yield Kind("arrays-closed-too-often", make.repeated(b'"note":[', b"]", b""), _NOT_JSON, _NOT_JSON)


def _keys() -> Iterator[Kind]:
    maybe = _TAKEN | _BAD_KEY
    yield Kind("key-array", make.repeated(b'"player_id":[', make.TINY, b"]", own=make.TIME), _BAD_KEY)
    yield Kind("key-object", make.repeated(b'"player_id":{', b'"a":{},', b"}", own=make.TIME), _BAD_KEY)
    yield Kind(
        "key-number", make.repeated(b'"player_id":1', b"7", b"", own=make.TIME), _BAD_KEY | _BAD_NUMBER
    )
    yield Kind("key-text", make.repeated(b'"player_id":"', b"abcdef01", b'"', own=make.TIME), maybe)
    yield Kind("key-escaped", make.repeated(b'"player_id":"', rb"\u0061", b'"', own=make.TIME), maybe)
    yield Kind(
        "key-half-surrogates",
        make.repeated(b'"player_id":"a', rb"\udc00", b'"', own=make.TIME),
        _NOT_UNICODE | _BAD_KEY,
    )
    yield Kind("key-not-hex", make.repeated(b'"player_id":"', b"zyx", b'"', own=make.TIME), _BAD_KEY)
    yield Kind("key-true", make.padded(b'"player_id":true', own=make.TIME), _BAD_KEY)
    yield Kind("key-null", make.padded(b'"player_id":null', own=make.TIME), _NO_KEY | _BAD_KEY)
    yield Kind("key-missing", make.padded(b'"n":1', own=make.TIME), _NO_KEY)
    yield Kind("key-name-escaped", make.padded(rb'"\u0070layer_\u0069d":"ab"', own=make.TIME))
    yield Kind("key-repeated", make.repeated(b"", make.KEY + b",", b""), _REPEATED)
    yield Kind("key-repeated-otherwise", make.padded(b'"player_id":"cd"'), _REPEATED)
    yield Kind("key-repeated-with-escapes", make.padded(rb'"player_i\u0064":"cd"'), _REPEATED)


def _times() -> Iterator[Kind]:
    yield Kind("time-array", make.repeated(b'"time":[', make.TINY, b"]", own=make.KEY))
    yield Kind("time-object", make.repeated(b'"time":{', b'"a":{},', b"}", own=make.KEY))
    yield Kind("time-number", make.repeated(b'"time":1', b"7", b"", own=make.KEY), _BAD_NUMBER)
    yield Kind("time-text", make.repeated(b'"time":"2023-11-14T22:13:20.', b"0", b'Z"', own=make.KEY))
    yield Kind("time-escaped", make.repeated(b'"time":"', rb"\u0032", b'"', own=make.KEY))
    yield Kind(
        "time-half-surrogates", make.repeated(b'"time":"2', rb"\ud800", b'"', own=make.KEY), _NOT_UNICODE
    )
    yield Kind("time-true", make.padded(b'"time":true', own=make.KEY))
    yield Kind("time-name-escaped", make.padded(rb'"\u0074im\u0065":"2023-11-14T22:13:20Z"', own=make.KEY))
    yield Kind("time-repeated", make.repeated(b"", make.TIME + b",", b""), _REPEATED)
    yield Kind("time-repeated-with-escapes", make.padded(rb'"tim\u0065":"2023-11-14T22:13:21Z"'), _REPEATED)
    yield Kind("time-missing", make.padded(b'"n":1', own=make.KEY))


def _members() -> Iterator[Kind]:
    maybe = _TAKEN | _LONG_NAME
    yield Kind("unknown-array", make.repeated_first(b'"x":[', make.TINY, b"]"))
    yield Kind("unknown-object", make.repeated_first(b'"x":{', b'"a":{},', b"}"))
    yield Kind("unknown-text", make.repeated_first(b'"x":"', b"x", b'"'))
    yield Kind("unknown-number", make.repeated_first(b'"x":1', b"7", b""), _BAD_NUMBER)
    yield Kind("json-array", make.repeated(b'"note":[', make.TINY, b"]"))
    yield Kind("json-object", make.repeated(b'"note":{', b'"a":{},', b"}"))
    yield Kind("json-arrays-of-nothing", make.repeated(b'"note":[', b"[],", b"]"))
    yield Kind("text-column-array", make.repeated(b'"event":[', b"true,", b"]"))
    for name, column, value in (
        ("numbers", b"prices", b"0,"),
        ("decimals", b"prices", b'"0.1234567895",'),
        ("texts", b"tags", b'"",'),
        ("nulls", b"tags", b"null,"),
    ):
        yield Kind(f"array-column-{name}", make.repeated(b'"%b":[' % column, value, b"]"))
    yield Kind("members-many", make.many_members)
    yield Kind("member-repeated", make.repeated(b"", b'"x":0,', b""))
    yield Kind("member-repeated-within", make.repeated(b'"note":{', b'"a":0,', b"}"))
    yield Kind("name-filling", make.repeated(b'"', b"A", b'":1'), maybe, maybe)
    yield Kind("name-escaped", make.repeated(b'"', rb"\u0041", b'":1'), maybe, maybe)
    yield Kind("name-65536", make.long_name(65_536), least_bytes=65_536)
    yield Kind("name-65537", make.long_name(65_537), _LONG_NAME, maybe, 65_537)
    yield Kind("name-8000000", make.long_name(8_000_000), _LONG_NAME, maybe, 8_000_000)
    yield Kind("metadata-names", make.padded(_forged(b"_")))
    yield Kind("metadata-names-escaped", make.padded(_forged(rb"\u005f")))
    yield Kind("metadata-names-in-upper-case", make.padded(_forged(b"_").upper()))


def _forged(underscore: bytes) -> bytes:
    return b'"%bshard":"%b","%bsequence_number":"0","%barrived_at":"2001-01-01T00:00:00Z"' % (
        underscore,
        make.FORGED_SHARD,
        underscore,
        underscore,
    )


def _texts() -> Iterator[Kind]:
    for name, unit in (
        ("quotes", rb"\""),
        ("backslashes", rb"\\"),
        ("letters", rb"\u0041"),
        ("zeros", rb"\u0000"),
        ("line-ends", rb"\n\r"),
        ("separators", rb"\u2028"),
        ("surrogate-pairs", rb"\ud83d\ude00"),
    ):
        yield Kind(f"escaped-{name}", make.repeated(b'"note":"', unit, b'"'))
    yield Kind("half-surrogate", make.padded(rb'"note":"\ud800"'), _NOT_UNICODE)
    yield Kind("half-surrogate-in-a-name", make.padded(rb'"\udc00":1'), _NOT_UNICODE)
    yield Kind("half-surrogates", make.repeated(b'"note":"', rb"\udfff", b'"'), _NOT_UNICODE)
    yield Kind("surrogates-reversed", make.repeated(b'"note":"', rb"\udc00\ud800", b'"'), _NOT_UNICODE)
    controls = bytes(range(1, 32)) + b"\x7f"
    yield Kind("control-characters", make.repeated(b'"note":"', controls, b'"'), _NOT_JSON, _NOT_JSON)
    yield Kind("four-byte-characters", make.repeated(b'"note":"', "\U0010ffff".encode(), b'"'))
    for name, text in (
        ("utf-8-broken", b"\xff"),
        ("utf-8-overlong", b"\xc0\xaf"),
        ("utf-8-of-a-surrogate", b"\xed\xa0\x80"),
        ("utf-8-cut-short", b"\xf0\x9f\x98"),
    ):
        value = b"[" * 90 + b'"%b"' % text + b"]" * 90
        yield Kind(name, make.padded(b'"note":' + value), _NOT_JSON, _NOT_JSON)


def _numbers() -> Iterator[Kind]:
    many = 100_000
    maybe = _TAKEN | _BAD_NUMBER
    for name, number, may in (
        ("digits", b"7" * many, _BAD_NUMBER),
        ("fraction", b"0." + b"7" * many, _TAKEN),
        ("exponent", b"1e" + b"7" * many, _BAD_NUMBER),
        ("exponent-of-zero", b"0e" + b"7" * many, maybe),
        ("exponent-below-zero", b"1e-" + b"7" * many, maybe),
        ("digits-and-exponent", b"7" * many + b"e-%d" % many, maybe),
    ):
        yield Kind(f"number-{name}", make.padded(b'"x":' + number), may, least_bytes=many)
    yield Kind("number-1e999", make.padded(b'"x":1e999'), _BAD_NUMBER)
    yield Kind("number-minus-1e999", make.padded(b'"x":-1E+999'), _BAD_NUMBER)
    yield Kind("number-0.1e-400", make.padded(b'"x":0.1e-400'), maybe)
    yield Kind("number-minus-zero", make.padded(b'"x":-0'))
    yield Kind("numbers-many", make.repeated(b'"note":[', b"1.7976931348623157e308,", b"]"))
    for name, text in (("nan", b"NaN"), ("infinity", b"-Infinity"), ("leading-zero", b"00"), ("hex", b"0x1")):
        yield Kind(f"number-{name}", make.padded(b'"x":' + text), _NOT_JSON, _NOT_JSON)


def _not_objects() -> Iterator[Kind]:
    yield Kind("record-is-an-array", make.array_as_record, _NOT_AN_OBJECT)
    yield Kind("record-is-a-text", make.text_as_record, _NOT_AN_OBJECT)
    yield Kind("line-ends-around-tokens", make.line_ends)
    for name, build in (
        ("cut-short", make.cut_short),
        ("byte-order-mark", make.with_byte_order_mark),
        ("utf-16", make.in_utf_16),
        ("white-space", make.white_space),
        ("gzip", make.in_gzip),
        ("cbor", make.in_cbor),
        ("trailing-bytes", make.trailing(b" x")),
        ("trailing-zero", make.trailing(b"\0")),
        ("two-objects", make.trailing(b"{}")),
        ("two-lines", make.trailing(b"\n{}")),
    ):
        yield Kind(name, build, _NOT_JSON, _NOT_JSON)
    yield Kind("empty", make.nothing, _NOT_JSON, _NOT_JSON, has_no_mark=True)


_GROUPS = (_nesting, _keys, _times, _members, _texts, _numbers, _not_objects)
KINDS: Mapping[str, Kind] = {kind.name: kind for group in _GROUPS for kind in group()}
