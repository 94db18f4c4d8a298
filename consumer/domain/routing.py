"""Where a record goes: the table of its key, the partition of its time.

What is read as a time, and as which, is also the tables of docs/times.md.
"""

import datetime
import re
from collections.abc import Callable, Sequence
from contextlib import suppress

_HEX = frozenset("0123456789abcdef")
_EPOCH = datetime.datetime.fromtimestamp(0, datetime.UTC)
_MILLISECOND = datetime.timedelta(milliseconds=1)
_SECOND = datetime.timedelta(seconds=1)
_MINUTE_MS = 60_000
_FEW_MINUTES = 100

MAX_KEY_DIGITS = 2


def table_suffix(key: object, digits: int) -> str | None:
    """The leading hex digits that choose the table, lower-cased; `None` where the key has none.

    `digits` 0 means one table for everything, whatever the key.
    """
    if digits == 0:
        return ""
    if not isinstance(key, str):
        return None
    suffix = key[:digits].lower()
    return suffix if len(suffix) == digits and _HEX.issuperset(suffix) else None


def table_name(prefix: str, suffix: str) -> str:
    return f"{prefix}_{suffix}" if suffix else prefix


def table_names(prefix: str, digits: int) -> list[str]:
    """Every table that records can be routed to: 1, 16 or 256 names."""
    if not 0 <= digits <= MAX_KEY_DIGITS:
        raise ValueError(f"0 to {MAX_KEY_DIGITS} key digits, not {digits}")
    suffixes = [f"{number:0{digits}x}" for number in range(16**digits)] if digits else [""]
    return [table_name(prefix, suffix) for suffix in suffixes]


def time_zone(name: str) -> datetime.tzinfo:
    """A zone of the tz database, from the package `tzdata` rather than from the host, so that all hosts have the same
    rules. Raises ValueError."""
    if name == "UTC":
        return datetime.UTC
    # both are for those alone who have another zone
    from importlib.resources import files
    from zoneinfo import ZoneInfo

    try:
        with files("tzdata").joinpath("zoneinfo", name).open("rb") as file:
            return ZoneInfo.from_file(file, key=name)
    except (OSError, ValueError):
        raise ValueError(f'"{name}" is no zone of the tz database, such as Europe/Berlin') from None


def expand_time(template: str, time_ms: int, zone: datetime.tzinfo = datetime.UTC) -> str:
    """A strftime template at a time."""
    moment = _EPOCH + time_ms * _MILLISECOND
    if zone is not datetime.UTC:
        with suppress(OverflowError):  # beyond the calendar's edge
            moment = moment.astimezone(zone)
    # the C library decides whether %Y pads the years before 1000, and a key must not depend on it
    return moment.strftime(template.replace("%Y", f"{moment.year:04}"))


def partition_path(template: str, time_ms: int, zone: datetime.tzinfo = datetime.UTC) -> str:
    """Expand a strftime template such as `dt=%Y-%m-%d/hour=%H`; with a slash at its end unless empty."""
    path = expand_time(template, time_ms, zone).strip("/")
    return f"{path}/" if path else ""


class PartitionPaths:
    """Partition paths by minute, remembered: a template may not be finer than a minute."""

    def __init__(self, template: str, zone: datetime.tzinfo = datetime.UTC) -> None:
        self._template = template
        self._zone = zone
        self._paths: dict[int, str] = {}

    def group(self, times_ms: Sequence[int]) -> dict[str, list[int] | None]:
        """Indices of `times_ms` by path, in order; `None` for the indices where one path takes them all."""
        if not times_ms:
            return {}
        first, last = min(times_ms) // _MINUTE_MS, max(times_ms) // _MINUTE_MS
        if last - first < _FEW_MINUTES:
            paths = {self._path(minute) for minute in range(first, last + 1)}
            if len(paths) == 1:
                return {paths.pop(): None}
        groups: dict[str, list[int]] = {}
        for index, time in enumerate(times_ms):
            groups.setdefault(self._path(time // _MINUTE_MS), []).append(index)
        return dict(groups)

    def _path(self, minute: int) -> str:
        path = self._paths.get(minute)
        if path is None:
            if len(self._paths) > 1000:
                self._paths.clear()
            path = self._paths[minute] = partition_path(self._template, minute * _MINUTE_MS, self._zone)
        return path


def epoch_ms(moment: datetime.datetime) -> int:
    """Milliseconds since the epoch, rounded down; whole numbers, since a float turns the last microsecond of the
    year 9999 into a time that is none."""
    return (moment - _EPOCH) // _MILLISECOND


_LONGEST_TIME = 256
"""Characters of a text that may be a time."""

EPOCH_DIGITS = {"epoch_s": 0, "epoch_ms": 3, "epoch_us": 6, "epoch_ns": 9}
"""Decimal places between the unit of a number and a second."""

MAGNITUDES = ((11, 0), (14, 3), (17, 6))
"""Of `epoch`: whole numbers of so many digits at most are in that unit, longer ones in nanoseconds. Seconds reach the
year 5138, and the other units begin in March 1973."""

TimeParser = Callable[[object], datetime.datetime | None]


def time_parser(time_format: str) -> TimeParser:
    """A function from a decoded JSON value to an aware UTC time, or `None` where the value is not such a time.

    `time_format` is `iso8601`, `epoch`, a key of EPOCH_DIGITS or a strptime pattern; times without a zone are UTC, and
    what is finer than a microsecond is cut off. Raises ValueError for a pattern that strptime cannot read back.
    """
    parse = _parser(time_format)
    return lambda value: None if isinstance(value, str) and len(value) > _LONGEST_TIME else parse(value)


def _parser(time_format: str) -> TimeParser:
    if time_format == "iso8601":
        return _from_iso8601
    if time_format == "epoch":
        return lambda value: _from_epoch(value, None)
    if time_format in EPOCH_DIGITS:
        digits = EPOCH_DIGITS[time_format]
        return lambda value: _from_epoch(value, digits)
    _check_pattern(time_format)
    return lambda value: _from_pattern(value, time_format)


def _check_pattern(pattern: str) -> None:
    try:
        sample = datetime.datetime(2001, 2, 3, 4, 5, 6, tzinfo=datetime.UTC).strftime(pattern)
        datetime.datetime.strptime(sample, pattern)  # noqa: DTZ007 - only whether it can be read matters
    except (ValueError, re.PatternError) as error:  # strptime makes a regular expression of it
        raise ValueError(f"{pattern!r} is no time pattern: {error}") from error


def _utc(moment: datetime.datetime) -> datetime.datetime | None:
    if moment.tzinfo is datetime.UTC:
        return moment
    if moment.tzinfo is None:
        return moment.replace(tzinfo=datetime.UTC)
    try:
        return moment.astimezone(datetime.UTC)
    except OverflowError:  # year 1 or 9999 moved over the edge of the calendar by its zone
        return None


# Python takes any character between day and clock, an offset of 99 minutes and, since 3.14, the hour 24. What it does
# not take has a group.
_ISO8601 = re.compile(
    r"""
    [0-9]{4} (?: -[0-9]{2}-[0-9]{2} | [0-9]{4} | -W[0-9]{2}-[1-7] | W[0-9]{2}[1-7] )
    (?:
        [Tt\ ]
        (?: [01][0-9] | 2[0-3] )
        (?: :[0-5][0-9] (?: : (?: [0-5][0-9] | (?P<leap>60) ) (?: [.,][0-9]+ )? )?
          |  [0-5][0-9] (?:   (?: [0-5][0-9] | (?P<basic_leap>60) ) (?: [.,][0-9]+ )? )? )?
        (?: Z | (?P<z>z) | (?P<utc>\ UTC) | [+-] (?: 0[0-9] | 1[0-3] ) (?: :?[0-5][0-9] )? | [+-] 14 (?: :?00 )? )?
    )?
    """,
    re.VERBOSE,
).fullmatch


def _from_iso8601(value: object) -> datetime.datetime | None:
    found = _ISO8601(value) if isinstance(value, str) else None
    if found is None:
        return None
    try:
        if found.lastgroup is None:
            return _utc(datetime.datetime.fromisoformat(found[0]))
        return _rewritten(found)
    except (ValueError, OverflowError):
        return None


def _rewritten(found: re.Match[str]) -> datetime.datetime | None:
    """The time of a text that Python does not read. Raises ValueError or OverflowError."""
    text = found[0]
    if found["z"] or found["utc"]:  # the latter is how BigQuery writes it
        text = f"{text[: found.start('z' if found['z'] else 'utc')]}Z"
    leap = "leap" if found["leap"] else "basic_leap"
    if not found[leap]:
        return _utc(datetime.datetime.fromisoformat(text))
    # https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#timestamp_type has leap seconds so, too
    moment = _utc(datetime.datetime.fromisoformat(f"{text[: found.start(leap)]}59{text[found.end(leap) :]}"))
    return None if moment is None else moment.replace(microsecond=0) + _SECOND


_NUMBER = re.compile(r"([+-]?)([0-9]+)(?:\.([0-9]*))?(?:e([+-][0-9]+))?").fullmatch
"""As Python writes numbers; float() takes more: nan, 1_000, digits of other scripts."""

_LARGEST_NUMBER = 10**40


def _from_epoch(value: object, unit_digits: int | None) -> datetime.datetime | None:
    """`unit_digits` are the decimal places between the number's unit and a second; None lets its magnitude tell."""
    # in whole numbers: a float has fewer digits than nanoseconds have
    if value.__class__ is int:
        number: int = value
        return _since_epoch(number, 0, unit_digits) if -_LARGEST_NUMBER < number < _LARGEST_NUMBER else None
    if not isinstance(value, str | float):
        return None
    found = _NUMBER(value if isinstance(value, str) else repr(value))
    if found is None or (isinstance(value, str) and found[4]):
        return None
    fraction = found[3] or ""
    return _since_epoch(
        int(f"{found[1]}{found[2]}{fraction}"), int(found[4] or 0) - len(fraction), unit_digits
    )


def _since_epoch(number: int, exponent: int, unit_digits: int | None) -> datetime.datetime | None:
    """The moment of `number * 10**exponent`."""
    if unit_digits is None:
        size = len(str(abs(number))) + exponent
        unit_digits = next((digits for most, digits in MAGNITUDES if size <= most), 9)
    shift = exponent + 6 - unit_digits
    micros = number * 10**shift if shift >= 0 else number // 10**-shift
    try:
        return _EPOCH + datetime.timedelta(microseconds=micros)
    except OverflowError:
        return None


_UTC_NAME = re.compile(r"utc|gmt", re.IGNORECASE).search
"""strptime's %Z also reads the names of the host's own zone, and forgets them."""


def _from_pattern(value: object, pattern: str) -> datetime.datetime | None:
    if not isinstance(value, str) or ("%Z" in pattern and not _UTC_NAME(value)):
        return None
    try:
        return _utc(datetime.datetime.strptime(value, pattern))  # noqa: DTZ007 - _utc gives it its zone
    except ValueError:
        return None
