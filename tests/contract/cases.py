"""Records, and what docs/bigquery.md and docs/settings.md say becomes of each of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from consumer.domain.dead_letters import Reason
from tests.contract.sinks import USUAL, Options

ARRIVAL_MS = 1_767_322_000_123
ARRIVED = "2026-01-02T02:46:40.123Z"
ARRIVAL_HOUR = "dt=2026-01-02/hour=02"
DAY_MS = 86_400_000

TIME = "2026-01-02T03:04:05.678Z"
HOUR = "dt=2026-01-02/hour=03"


@dataclass(frozen=True)
class Line:
    """A line of an object in S3; `text` None is the payload as it came."""

    path: str = HOUR
    text: bytes | None = None


@dataclass(frozen=True)
class Row:
    """Of a BigQuery table: the digits in its name, and what the columns of key and time hold. The log column holds the
    record, other columns hold its fields."""

    digits: str = "a"
    key: str | None = "a1"
    time: str = TIME


@dataclass(frozen=True, kw_only=True)
class Case:
    """`fields` is what becomes of the record with `row = fields`, None where that is as with `row = log`; `tags` is the
    same where the table has TAGS_COLUMN."""

    name: str
    payload: bytes
    s3: Line | Reason = Line()
    bigquery: Row | Reason = Row()
    fields: Row | Reason | None = None
    tags: Row | Reason | None = None
    options: Options = USUAL
    arrival_ms: int = ARRIVAL_MS


def record(key: bytes = b'"a1"', time: bytes = b'"%b"' % TIME.encode(), more: bytes = b"") -> bytes:
    """A record by its key, its time and its further members, as they are spelled."""
    return b'{"player_id":%b,"time":%b%b}' % (key, time, more)


def value(spelled: bytes) -> bytes:
    """A record that has this value somewhere."""
    return record(more=b',"x":' + spelled)


ONE_TABLE, MANY_TABLES = Options(key_digits=0), Options(key_digits=2)
EPOCH_MS, EPOCH = Options(time_format="epoch_ms"), Options(time_format="epoch")
KNOWN_FIELDS = Options(unknown_fields="reject")
ANY_BYTES = Options(validate_json=False)


def _routing() -> Iterator[Case]:
    """`bigquery.key_digits` of the key choose the table; S3 does not look at the key."""

    def case(name: str, key: bytes, bigquery: Row | Reason, options: Options = USUAL) -> Case:
        return Case(name=name, payload=record(key=key), bigquery=bigquery, options=options)

    yield case("a key in small letters", b'"ab"', Row("a", "ab"))
    yield case("a key in capital letters", b'"AB"', Row("a", "AB"))
    yield case("a key that begins with a digit", b'"9xyz"', Row("9", "9xyz"))
    yield case("the last hex digit", b'"f"', Row("f", "f"))
    yield case("the first letter that is no hex digit", b'"g1"', "bad_key")
    yield case("the last letter before the hex digits", b'"`1"', "bad_key")
    yield case("the character before 0", b'"/1"', "bad_key")
    yield case("the character behind 9", b'":1"', "bad_key")
    yield case("the character before A", b'"@1"', "bad_key")
    yield case("a key that begins with a space", b'" a1"', "bad_key")
    yield case("a digit of another script", '"٣1"'.encode(), "bad_key")
    yield case("a letter of full width", '"\uff41"'.encode(), "bad_key")
    yield case("a key with letters beyond ASCII", '"aé"'.encode(), Row("a", "aé"))
    yield case("an escaped hex digit", rb'"\u0061b"', Row("a", "ab"))
    yield case("an escape behind the hex digits", rb'"a\"\\\u00e9\n"', Row("a", 'a"\\é\n'))
    yield case("an escaped key without hex digits", rb'"\u0067b"', "bad_key")
    yield case("an empty key", b'""', "no_key")
    yield case("a key that is null", b"null", "no_key")
    yield case("a key that is a number", b"12", "bad_key")
    yield case("a key that is true", b"true", "bad_key")
    yield case("a key that is an array", b'["a1"]', "bad_key")
    yield case("a key that is an object", b'{"a":1}', "bad_key")
    yield Case(name="no key", payload=b'{"time":"%b"}' % TIME.encode(), bigquery="no_key")
    yield Case(
        name="the key's field in other letters",
        payload=b'{"Player_id":"a1","time":"%b"}' % TIME.encode(),
        bigquery="no_key",
    )
    yield Case(
        name="the key's field in a nested object",
        payload=b'{"x":{"player_id":"a1"},"time":"%b"}' % TIME.encode(),
        bigquery="no_key",
    )
    yield Case(
        name="the key's field escaped",
        payload=rb'{"player\u005fid":"b1","time":"%b"}' % TIME.encode(),
        bigquery=Row("b", "b1"),
    )
    yield Case(
        name="the key behind everything else",
        payload=b'{"x":[{"player_id":"c1"}],"time":"%b","player_id":"b1"}' % TIME.encode(),
        bigquery=Row("b", "b1"),
    )

    yield case("two digits", b'"aB9"', Row("ab", "aB9"), MANY_TABLES)
    yield case("a key of one digit for two", b'"a"', "bad_key", MANY_TABLES)
    yield case("a second character that is no hex digit", b'"ag"', "bad_key", MANY_TABLES)
    yield case("an escaped second digit", rb'"a\u0042"', Row("ab", "aB"), MANY_TABLES)

    yield case("any key for one table", b'"xyz"', Row("", "xyz"), ONE_TABLE)
    yield case("an empty key for one table", b'""', Row("", ""), ONE_TABLE)
    yield case("a key that is null for one table", b"null", Row("", None), ONE_TABLE)
    yield case("a key that is a number for one table", b"12.50", Row("", "12.50"), ONE_TABLE)
    yield case("a key that is true for one table", b"true", Row("", "true"), ONE_TABLE)
    yield case("an escaped key for one table", rb'"\u0078\ty"', Row("", "x\ty"), ONE_TABLE)
    yield Case(
        name="a key that is an object for one table",
        payload=record(key=b'{"a":[1, "b"]}'),
        bigquery=Row("", '{"a":[1, "b"]}'),
        fields="rejected",
        options=ONE_TABLE,
    )
    yield Case(
        name="no key for one table",
        payload=b'{"time":"%b"}' % TIME.encode(),
        bigquery=Row("", None),
        options=ONE_TABLE,
    )


def _repeated() -> Iterator[Case]:
    """Readers differ about which one counts. S3 takes the record, and the time of its arrival where it has two."""
    time = b'"%b"' % TIME.encode()
    yield Case(name="a key twice", payload=record(more=b',"player_id":"b1"'), bigquery="repeated_field")
    yield Case(
        name="the same key twice", payload=record(more=b',"player_id":"a1"'), bigquery="repeated_field"
    )
    yield Case(
        name="a key twice, once escaped",
        payload=record(more=rb',"\u0070layer_id":"b1"'),
        bigquery="repeated_field",
    )
    yield Case(
        name="a key and null",
        payload=record(key=b"null", more=b',"player_id":"b1"'),
        bigquery="repeated_field",
    )
    yield Case(
        name="a key twice for one table",
        payload=record(more=b',"player_id":"b1"'),
        bigquery="repeated_field",
        options=ONE_TABLE,
    )
    yield Case(
        name="a time twice",
        payload=record(more=b',"time":' + time),
        s3=Line(ARRIVAL_HOUR),
        bigquery="repeated_field",
    )
    yield Case(
        name="a time twice, once escaped",
        payload=record(more=rb',"tim\u0065":null'),
        s3=Line(ARRIVAL_HOUR),
        bigquery="repeated_field",
    )
    yield Case(name="another field twice", payload=record(more=b',"x":1,"x":2'))
    yield Case(
        name="a nested key twice", payload=value(b'{"player_id":"b","player_id":"c","time":1,"time":2}')
    )
    yield Case(name="a name that holds the key's", payload=record(more=b',"player_id2":"b","xplayer_id":"c"'))


def _times() -> Iterator[Case]:
    """`record.time_field` chooses the partition; the arrival counts where it holds no time."""

    def is_time(name: str, spelled: bytes, time: str, hour: str = HOUR, options: Options = USUAL) -> Case:
        return Case(
            name=name,
            payload=record(time=spelled),
            s3=Line(hour),
            bigquery=Row(time=time),
            options=options,
        )

    def no_time(name: str, spelled: bytes, options: Options = USUAL) -> Case:
        return Case(
            name=name,
            payload=record(time=spelled),
            s3=Line(ARRIVAL_HOUR),
            bigquery=Row(time=ARRIVED),
            options=options,
        )

    yield is_time("a time with milliseconds", b'"2026-01-02T03:04:05.678Z"', TIME)
    yield is_time("a time without a fraction", b'"2026-01-02T03:04:05Z"', "2026-01-02T03:04:05Z")
    yield is_time("a time with tenths", b'"2026-01-02T03:04:05.6Z"', "2026-01-02T03:04:05.6Z")
    yield is_time("a time with microseconds", b'"2026-01-02T03:04:05.678901Z"', "2026-01-02T03:04:05.678901Z")
    yield is_time(
        "a time with nanoseconds", b'"2026-01-02T03:04:05.678901999Z"', "2026-01-02T03:04:05.678901Z"
    )
    yield is_time("a time with a comma", b'"2026-01-02T03:04:05,678Z"', TIME)
    yield is_time("a zone east of UTC", b'"2026-01-02T05:04:05.678+02:00"', TIME)
    yield is_time("a zone west of UTC", b'"2026-01-01T21:34:05.678-05:30"', TIME)
    yield is_time("a zone of no minutes", b'"2026-01-02T03:04:05.678+00:00"', TIME)
    yield is_time("a time without a zone", b'"2026-01-02T03:04:05.678"', TIME)
    yield is_time("a time with a space", b'"2026-01-02 03:04:05.678Z"', TIME)
    yield is_time("a time without separators", b'"20260102T030405.678Z"', TIME)
    yield is_time("a date", b'"2026-01-02"', "2026-01-02T00:00:00Z", "dt=2026-01-02/hour=00")
    yield is_time("an escaped time", rb'"2026-01-02T03:04:05.678\u005a"', TIME)
    yield is_time("a leap day", b'"2024-02-29T03:04:05Z"', "2024-02-29T03:04:05Z", "dt=2024-02-29/hour=03")
    yield is_time(
        "the last moment of a year",
        b'"2025-12-31T23:59:59.999Z"',
        "2025-12-31T23:59:59.999Z",
        "dt=2025-12-31/hour=23",
    )
    yield is_time(
        "a time of 256 characters",
        b'"2026-01-02T03:04:05.' + b"6" * 235 + b'Z"',
        "2026-01-02T03:04:05.666666Z",
    )
    yield Case(
        name="the time's field escaped",
        payload=rb'{"player_id":"a1","ti\u006de":"2026-01-02T03:04:05.678Z"}',
    )
    yield is_time("a time that is null", b"null", ARRIVED, ARRIVAL_HOUR)
    yield Case(
        name="no time",
        payload=b'{"player_id":"a1"}',
        s3=Line(ARRIVAL_HOUR),
        bigquery=Row(time=ARRIVED),
    )
    yield Case(
        name="no time on another day",
        payload=b'{"player_id":"a1"}',
        s3=Line("dt=2026-01-03/hour=02"),
        bigquery=Row(time="2026-01-03T02:46:40.123Z"),
        arrival_ms=ARRIVAL_MS + DAY_MS,
    )
    yield Case(
        name="no key and no time for one table",
        payload=b"{}",
        s3=Line(ARRIVAL_HOUR),
        bigquery=Row("", None, ARRIVED),
        options=ONE_TABLE,
    )
    yield no_time("a text that is no time", b'"soon"')
    yield no_time("an empty time", b'""')
    yield no_time("a day that there is not", b'"2026-02-29T03:04:05Z"')
    yield no_time("a month that there is not", b'"2026-13-02T03:04:05Z"')
    yield is_time("a leap second", b'"2026-01-02T03:04:60Z"', "2026-01-02T03:05:00Z")
    yield is_time("a fraction of a leap second", b'"2026-01-02T03:04:60.5Z"', "2026-01-02T03:05:00Z")
    yield is_time("a time as BigQuery writes it", b'"2026-01-02 03:04:05.678 UTC"', TIME)
    yield is_time("small letters", b'"2026-01-02t03:04:05.678z"', TIME)
    yield is_time(
        "nanoseconds before midnight",
        b'"2026-01-01T23:59:59.999999999Z"',
        "2026-01-01T23:59:59.999999Z",
        "dt=2026-01-01/hour=23",
    )
    yield no_time("a time with another character in it", b'"2026-01-02x03:04"')
    yield no_time("a time of digits alone", b'"20260102030405"')
    yield no_time("a time of digits and a letter", b'"20260102030405Z"')
    yield no_time("two spaces in a time", b'"2026-01-02  03:04:05Z"')
    yield no_time("a space before a time", b'" 2026-01-02T03:04:05Z"')
    yield no_time("the hour 24", b'"2026-01-02T24:00:00Z"')
    yield no_time("a zone that there is not", b'"2026-01-02T03:04:05+14:30"')
    yield no_time("a zone of 99 minutes", b'"2026-01-02T03:04:05+05:99"')
    yield no_time("a time with something behind it", b'"2026-01-02T03:04:05.678Z!"')
    yield no_time("a time of 257 characters", b'"2026-01-02T03:04:05.' + b"6" * 236 + b'Z"')
    yield no_time("a number for ISO 8601", b"1767323045")
    yield no_time("a time that is true", b"true")
    yield no_time("a time that is an object", b'{"time":"2026-01-02T03:04:05Z"}')

    yield is_time("milliseconds since 1970", b"1767323045678", TIME, options=EPOCH_MS)
    yield is_time("milliseconds in a text", b'"1767323045678"', TIME, options=EPOCH_MS)
    yield is_time(
        "milliseconds with a fraction",
        b"1767323045678.5",
        "2026-01-02T03:04:05.678500Z",
        options=EPOCH_MS,
    )
    yield is_time("no milliseconds", b"null", ARRIVED, ARRIVAL_HOUR, EPOCH_MS)
    yield is_time("seconds by their size", b"1767323045", "2026-01-02T03:04:05Z", options=EPOCH)
    yield is_time("milliseconds by their size", b"1767323045678", TIME, options=EPOCH)
    yield is_time(
        "microseconds by their size", b"1767323045678901", "2026-01-02T03:04:05.678901Z", options=EPOCH
    )
    yield is_time(
        "nanoseconds by their size", b"1767323045678901999", "2026-01-02T03:04:05.678901Z", options=EPOCH
    )
    yield is_time(
        "nanoseconds in a text", b'"1767323045678901999"', "2026-01-02T03:04:05.678901Z", options=EPOCH
    )
    yield no_time("ISO 8601 for a number of any size", b'"2026-01-02T03:04:05.678Z"', EPOCH)
    yield no_time("ISO 8601 for milliseconds", b'"2026-01-02T03:04:05.678Z"', EPOCH_MS)
    yield no_time("milliseconds that are true", b"true", EPOCH_MS)


def _ranges() -> Iterator[Case]:
    """A time more than 3,650 days before or 365 days after the arrival has no row: BigQuery counts in days, too."""

    def case(
        name: str,
        day: str,
        bigquery: Row | Reason | None = None,
        more: int = 0,
    ) -> Case:
        time = f"{day}T03:04:05Z"
        return Case(
            name=name,
            payload=record(time=b'"%b"' % time.encode()),
            s3=Line(f"dt={day}/hour=03"),
            bigquery=bigquery or Row(time=time),
            arrival_ms=ARRIVAL_MS + more,
        )

    yield case("3,650 days ago", "2016-01-05")
    yield case("3,651 days ago, which is less than ten years", "2016-01-04", "time_out_of_range")
    yield case("in 365 days", "2027-01-02")
    yield case("in 366 days", "2027-01-03", "time_out_of_range")
    yield case("in a year, a day later", "2027-01-03", more=DAY_MS)
    yield case("long ago", "0001-01-01", "time_out_of_range")
    yield case("the last day of the calendar", "9999-12-31", "time_out_of_range")
    yield Case(
        name="out of range by its zone",
        payload=record(time=b'"2027-01-02T23:59:59-01:00"'),
        s3=Line("dt=2027-01-03/hour=00"),
        bigquery="time_out_of_range",
    )
    yield Case(
        name="in range by its zone",
        payload=record(time=b'"2027-01-03T00:30:00+01:00"'),
        s3=Line("dt=2027-01-02/hour=23"),
        bigquery=Row(time="2027-01-02T23:30:00Z"),
    )
    yield Case(
        name="milliseconds before 1970",
        payload=record(time=b"-1"),
        s3=Line("dt=1969-12-31/hour=23"),
        bigquery="time_out_of_range",
        options=EPOCH_MS,
    )


def _not_json() -> Iterator[Case]:
    """Not one JSON value in UTF-8."""
    good = record()
    for name, payload in {
        "nothing": b"",
        "a space": b" ",
        "a word": b"plain text",
        "an object that does not end": good[:-1],
        "a text that does not end": b'{"player_id":"a1',
        "two values": good + good,
        "two values on two lines": good + b"\n" + good,
        "a byte behind the end": good + b"x",
        "a comma behind the end": good + b",",
        "a zero byte behind the end": good + b"\0",
        "a bracket too many": good + b"}",
        "the wrong bracket": good[:-1] + b"]",
        "a mark of byte order": b"\xef\xbb\xbf" + good,
        "UTF-16": good.decode().encode("utf-16"),
        "a space that is none to JSON": b"\xc2\xa0" + good,
        "a form feed between tokens": b"\f" + good,
        "a comma at the end of an object": good[:-1] + b",}",
        "a member without a value": record(more=b',"x"'),
        "a name without quotes": record(more=b",x:1"),
        "a name that is a number": record(more=b",1:1"),
        "a comment": record(more=b'/**/,"x":1'),
    }.items():
        yield Case(name=name, payload=payload, s3="not_json", bigquery="not_json")
    for name, spelled in {
        "a line end in a text": b'"a\nb"',
        "a carriage return in a text": b'"a\rb"',
        "a tab in a text": b'"a\tb"',
        "a zero byte in a text": b'"a\0b"',
        "the last control character in a text": b'"a\x1fb"',
        "a single quote": b"'a'",
        "a byte that is no UTF-8": b'"\xff"',
        "half a character": b'"\xc3"',
        "a character in too many bytes": b'"\xc0\xaf"',
        "half of a surrogate pair in UTF-8": b'"\xed\xa0\x80"',
        "a character beyond Unicode": b'"\xf4\x90\x80\x80"',
        "an escape that there is not": rb'"\x41"',
        "an escape with a letter that is no hex digit": rb'"\u00g0"',
        "an escape that is too short": rb'"\u004"',
        "a leading zero": b"01",
        "a leading zero behind a sign": b"-01",
        "a plus sign": b"+1",
        "a fraction without a digit before it": b".5",
        "a fraction without a digit behind it": b"1.",
        "an exponent without a digit": b"1e",
        "an exponent with two signs": b"1e+-1",
        "a sign alone": b"-",
        "hexadecimal": b"0x1F",
        "NaN": b"NaN",
        "Infinity": b"-Infinity",
        "a word in capital letters": b"True",
        "a word that goes on": b"nullx",
        "a comma at the end of an array": b"[1,]",
        "an array that begins with a comma": b"[,1]",
        "no comma in an array": b"[1 2]",
    }.items():
        yield Case(name=name, payload=value(spelled), s3="not_json", bigquery="not_json")


def _json() -> Iterator[Case]:
    """What is JSON arrives as it came, on one line."""
    for name, spelled in {
        "minus zero": b"-0",
        "a fraction of minus zero": b"-0.0",
        "an exponent": b"1E+2",
        "a number with many digits": b"12345678901234567890.12345678901234567890",
        "the largest number": b"1.7976931348623157e308",
        "a number that is too small": b"1e-999",
        "zero with a large exponent": b"0e999",
        "a large number in many digits": b"1" + b"0" * 308,
        "a surrogate pair": rb'"\ud83d\ude00"',
        "an escaped backslash before what looks like half of a pair": rb'"\\ud800"',
        "every escape": rb'"\"\\\/\b\f\n\r\t\u0000"',
        "characters of all lengths": '"aé€😀"'.encode(),
        "a delete character": b'"\x7f"',
        "line separators of Unicode": '"\u2028\u2029\u0085"'.encode(),
        "an empty name": b'{"":1}',
        "spaces between tokens": b' [ 1 ,\t{ } , [ ] , "a b" ] ',
    }.items():
        yield Case(name=name, payload=value(spelled))
    yield Case(
        name="a number that is rounded down, whose first 19 digits would be rounded up",
        payload=value(b"1.7976931348623158079e308"),
        bigquery="bad_number",
    )
    yield Case(name="spaces around it", payload=b" \t" + record() + b"  ")
    yield Case(
        name="line ends between tokens",
        payload=b'\r\n{"player_id":\n"a1",\r"time":\n\n"%b","x":[\n]}\n' % TIME.encode(),
        s3=Line(text=b'{"player_id":"a1","time":"%b","x":[]}' % TIME.encode()),
    )
    yield Case(name="a line end behind it", payload=record() + b"\n", s3=Line(text=record()))
    for name, payload in {
        "an array": b'[{"player_id":"a1"}]',
        "a text": b'"player_id"',
        "a number": b"1",
        "null": b"null",
        "false": b" false",
    }.items():
        yield Case(
            name=f"JSON that is {name}",
            payload=payload,
            s3=Line(ARRIVAL_HOUR),
            bigquery="not_an_object",
        )


LEVELS = 500


def _limits() -> Iterator[Case]:
    """Of depth for both; of names, texts and numbers for BigQuery."""

    def nested(levels: int, opening: bytes, closing: bytes, inner: bytes = b"") -> bytes:
        """A record of so many levels."""
        return value(opening * (levels - 1) + inner + closing * (levels - 1))

    yield Case(name="the most levels of arrays", payload=nested(LEVELS, b"[", b"]"))
    yield Case(name="the most levels of objects", payload=nested(LEVELS, b'{"a":', b"}", b"1"))
    for name, payload in {
        "a level of arrays too many": nested(LEVELS + 1, b"[", b"]"),
        "a level of objects too many": nested(LEVELS + 1, b'{"a":', b"}", b"1"),
        "very many levels": nested(100_000, b"[", b"]"),
        "very many levels that do not end": b'{"x":' + b"[" * 100_000,
    }.items():
        yield Case(name=name, payload=payload, s3="too_deep", bigquery="too_deep")
    yield Case(name="brackets in a text", payload=value(b'"' + b"[" * 1000 + b'"'))

    most = 65_536
    yield Case(name="the longest name", payload=record(more=b',"%b":1' % (b"n" * most)))
    yield Case(
        name="a name that is too long",
        payload=record(more=b',"%b":1' % (b"n" * (most + 1))),
        bigquery="long_name",
    )
    yield Case(
        name="a nested name that is too long",
        payload=value(b'[{"a":1,"%b":1}]' % (b"n" * (most + 1))),
        bigquery="long_name",
    )
    yield Case(name="a long text", payload=value(b'"%b"' % (b"n" * 100_000)))

    for name, spelled in {
        "the first half of a surrogate pair": rb'"\ud800"',
        "the second half of a surrogate pair": rb'"\udfff"',
        "a surrogate pair in the wrong order": rb'"\ude00\ud83d"',
        "half of a surrogate pair in capital letters": rb'"\uD8FF\u0041"',
        "half of a surrogate pair in a nested name": rb'{"\ud800":1}',
        "half of a surrogate pair behind a backslash": rb'"\\\ud800"',
    }.items():
        yield Case(name=name, payload=value(spelled), bigquery="not_unicode")
    yield Case(
        name="half of a surrogate pair in the key",
        payload=record(key=rb'"a\ud800"'),
        bigquery="not_unicode",
    )

    for name, spelled in {
        "a number beyond double precision": b"1e999",
        "a negative number beyond double precision": b"-1e999",
        "the first number that is rounded up": b"1.797693134862315808e308",
        "a number beyond double precision in many digits": b"1" + b"0" * 309,
        "a fraction beyond double precision": b"0.001e312",
        "a number beyond double precision in a nested array": b'[{"a":[1e309]}]',
    }.items():
        yield Case(name=name, payload=value(spelled), bigquery="bad_number")
    yield Case(name="a large number in a text", payload=value(b'"1e999"'))
    yield Case(name="a key beyond double precision", payload=record(key=b"1e999"), bigquery="bad_number")


def _fields() -> Iterator[Case]:
    """With `row = fields` values have to fit their columns."""

    def case(name: str, more: bytes, fields: Row | Reason | None = None, options: Options = USUAL) -> Case:
        return Case(name=name, payload=record(more=more), fields=fields, options=options)

    yield case("columns that are filled", b',"score":7,"ratio":1.5,"note":{"a":[1,null,-0]}')
    yield case("texts and words", b',"name":"a","won":true,"born":"2000-02-29"')
    yield case("an escaped text", rb',"name":"\"\\\/\b\f\n\r\t\u0061\u00e9\u20ac\ud83d\ude00","won":false')
    yield case("a text beyond ASCII", ',"name":"aé€😀"'.encode())
    yield case("a number for a text", b',"name":1.50')
    yield case("an object for a text", b',"name":{}', "rejected")
    yield case("another time", b',"seen":"1969-12-31T23:59:59.999999Z"')
    yield case("another time without a fraction", b',"seen":"2026-01-02T03:04:05Z"')
    yield case("another time that is none", b',"seen":"soon"', "rejected")
    yield case("another time as BigQuery writes it", b',"seen":"1969-12-31 23:59:59.5 UTC"')
    yield case("another time in small letters", b',"seen":"1969-12-31t23:59:59.5z"')
    yield case("another time in another zone", b',"seen":"1969-12-31 23:59:59.5-01:30"')
    yield case("another time without a zone", b',"seen":"1969-12-31 23:59:59"')
    yield case("another time that is a day", b',"seen":"1969-12-31"')
    yield case("another time with nanoseconds", b',"seen":"2026-01-01T23:59:59.999999999Z"', "rejected")
    yield case("another time with ten millionths", b',"seen":"2026-01-01T23:59:59.9999999Z"', "rejected")
    yield case("another time with another character in it", b',"seen":"2026-01-01x23:59:59Z"', "rejected")
    yield case("another time of digits", b',"seen":"20260101T235959Z"', "rejected")
    yield case("another time without seconds", b',"seen":"2026-01-01T23:59Z"', "rejected")
    yield case("another time with a comma", b',"seen":"2026-01-01T23:59:59,5Z"', "rejected")
    for name, spelled, is_array in (
        ("an array", b'["a","b"]', True),
        ("no array", b"[]", True),
        ("null for an array", b"null", False),
        ("null in an array", b'["a",null]', False),
        ("a text for an array", b'"a"', False),
    ):
        yield Case(
            name=name, payload=record(more=b',"tags":' + spelled), tags=None if is_array else "rejected"
        )
    yield case("a date that there is not", b',"born":"2001-02-29"', "rejected")
    yield case("a number for a word", b',"won":7', "rejected")
    yield case("small numbers", b',"score":0,"ratio":-0.5')
    yield case("a number with an exponent", b',"score":-1,"ratio":12.5E-3')
    yield case("a number that double precision rounds", b',"ratio":0.1234567890123456789')
    yield case("a column twice", b',"score":1,"score":2')
    yield case("a column twice, in other letters", b',"score":1,"Score":2')
    yield case("columns that are null", b',"score":null,"ratio":null,"name":null,"won":null,"note":null')
    yield case("numbers in texts", b',"score":"7","ratio":"1.5","note":"7"')
    yield case("columns in other letters", b',"SCORE":7,"Ratio":2,"nOTE":[]')
    yield case("a field without a column", b',"score":7,"x":{"ratio":1}')
    yield case("a field without a column and a number in a text", b',"x":1,"score":"7"')
    yield case("a field without a column, refused", b',"score":7,"x":1', "rejected", KNOWN_FIELDS)
    yield case("a number in a text, and a field refused", b',"score":"7","x":1', "rejected", KNOWN_FIELDS)
    yield case("no field without a column", b',"ratio":1,"SCORE":"7"', options=KNOWN_FIELDS)
    yield case("the largest integer", b',"score":9223372036854775807')
    yield case("the least integer", b',"score":-9223372036854775808')
    yield case("an integer that is too large", b',"score":9223372036854775808', "rejected")
    yield case("a fraction for an integer", b',"score":1.5', "rejected")
    yield case("a word for an integer", b',"score":"seven"', "rejected")
    for column in ("score", "ratio", "won", "born", "seen"):
        yield case(f"null as a text for {column}", b',"%b":"null"' % column.encode(), "rejected")
    yield case("null as a text in capital letters", b',"score":"NULL"', "rejected")
    yield case("null as a text for a text", b',"name":"null","note":"null","x":"null"')
    yield case("an array for an integer", b',"score":[7]', "rejected")
    yield case("an object for a number", b',"ratio":{}', "rejected")
    yield case("a JSON column with a text", rb',"note":"a\u0022\ud83d\ude00"')
    yield case("a JSON column with a number", b',"note":1E2')
    yield case(
        "fields of the metadata's names", b',"_shard":"mine","_sequence_number":1,"_Arrived_at":"never"'
    )
    yield case("a decimal", b',"price":12.50')
    yield case("a decimal in a text", b',"price":"-0.000000001"')
    yield case("a decimal with an exponent", b',"price":125E-4')
    yield case("a decimal that is rounded up", b',"price":0.1234567885')
    yield case("a decimal that is rounded down", b',"price":"-0.12345678849999999999999999"')
    yield case("the largest decimal", b',"price":' + b"9" * 29 + b"." + b"9" * 9)
    yield case("a decimal that is too large", b',"price":1' + b"0" * 29, "rejected")
    yield case("a word for a decimal", b',"price":"NaN"', "rejected")
    yield Case(name="the most fields", payload=_with_fields(10_000))
    yield Case(name="a field too many", payload=_with_fields(10_001), fields="too_many_values")
    yield Case(
        name="a field too many, whose name is another's",
        payload=_with_fields(10_000, b',"f0":0'),
        fields="too_many_values",
    )
    yield Case(
        name="the most fields and no time",
        payload=b'{"player_id":"a1"%b}' % (b',"":0' * 9_999),
        s3=Line(ARRIVAL_HOUR),
        bigquery=Row(time=ARRIVED),
    )
    # the array is a value, too
    items = b'"",' * 99_998
    yield Case(name="the most values", payload=record(more=b',"tags":[%b""]' % items))
    yield Case(
        name="a value too many",
        payload=record(more=b',"tags":[%b"",""]' % items),
        tags="too_many_values",
    )


def _with_fields(count: int, more: bytes = b"") -> bytes:
    return record(more=b"".join(b',"f%d":0' % number for number in range(count - 2)) + more)


def _any_bytes() -> Iterator[Case]:
    """With `s3.validate_json = false` S3 takes what stays on one line."""

    def case(name: str, payload: bytes, s3: Line | Reason) -> Case:
        return Case(
            name=f"{name}, not judged", payload=payload, s3=s3, bigquery="not_json", options=ANY_BYTES
        )

    yield case("plain text", b"plain text", Line(ARRIVAL_HOUR))
    yield case("plain text with its line end", b"plain text\r\n", Line(ARRIVAL_HOUR, b"plain text"))
    yield case("bytes that are no UTF-8", b"\xff\0\x80", Line(ARRIVAL_HOUR))
    yield case("two lines of text", b"two\nlines", "raw_newline")
    yield case("text with a carriage return", b"two\rlines", "raw_newline")
    yield Case(
        name="JSON over several lines, not judged",
        payload=record().replace(b",", b",\n"),
        s3=Line(text=record()),
        options=ANY_BYTES,
    )


CASES: Mapping[str, tuple[Case, ...]] = {
    "routing": tuple(_routing()),
    "repeated fields": tuple(_repeated()),
    "times": tuple(_times()),
    "ranges of times": tuple(_ranges()),
    "not JSON": tuple(_not_json()),
    "JSON": tuple(_json()),
    "limits": tuple(_limits()),
    "columns": tuple(_fields()),
    "any bytes": tuple(_any_bytes()),
}
ALL_CASES = tuple(case for cases in CASES.values() for case in cases)
