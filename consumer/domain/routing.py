"""Where a record goes: the table of its key, the partition of its time."""

import datetime
import re
from collections.abc import Callable, Sequence

_HEX = frozenset("0123456789abcdef")
_EPOCH = datetime.datetime.fromtimestamp(0, datetime.UTC)
_MILLISECOND = datetime.timedelta(milliseconds=1)
_MINUTE_MS = 60_000
_FEW_MINUTES = 100
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?", re.ASCII)
"""float() takes more: nan, 1_000, digits of other scripts."""

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


def partition_path(template: str, time_ms: int) -> str:
    """Expand a strftime template such as `dt=%Y-%m-%d/hour=%H` in UTC; with a slash at its end unless empty."""
    moment = _EPOCH + time_ms * _MILLISECOND
    # the C library decides whether %Y pads the years before 1000, and a key must not depend on it
    path = moment.strftime(template.replace("%Y", f"{moment.year:04}")).strip("/")
    return f"{path}/" if path else ""


class PartitionPaths:
    """Partition paths by minute, remembered: a template may not be finer than a minute."""

    def __init__(self, template: str) -> None:
        self._template = template
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
            path = self._paths[minute] = partition_path(self._template, minute * _MINUTE_MS)
        return path


def epoch_ms(moment: datetime.datetime) -> int:
    """Milliseconds since the epoch, rounded down; whole numbers, since a float turns the last microsecond of the
    year 9999 into a time that is none."""
    return (moment - _EPOCH) // _MILLISECOND


_LONGEST_TIME = 256
"""Characters of a text that may be a time."""

TimeParser = Callable[[object], datetime.datetime | None]


def time_parser(time_format: str) -> TimeParser:
    """A function from a decoded JSON value to an aware UTC time, or `None` where the value is not such a time.

    `time_format` is `iso8601`, `epoch_s`, `epoch_ms` or a strptime pattern; times without a zone are UTC. Raises
    ValueError for a pattern that strptime cannot read back.
    """
    parse = _parser(time_format)
    return lambda value: None if isinstance(value, str) and len(value) > _LONGEST_TIME else parse(value)


def _parser(time_format: str) -> TimeParser:
    if time_format == "iso8601":
        return _from_iso8601
    if time_format == "epoch_s":
        return lambda value: _from_epoch(value, 1)
    if time_format == "epoch_ms":
        return lambda value: _from_epoch(value, 1000)
    _check_pattern(time_format)
    return lambda value: _from_pattern(value, time_format)


def _check_pattern(pattern: str) -> None:
    try:
        sample = datetime.datetime(2001, 2, 3, 4, 5, 6, tzinfo=datetime.UTC).strftime(pattern)
        datetime.datetime.strptime(sample, pattern)  # noqa: DTZ007 - only whether it can be read matters
    except (ValueError, re.PatternError) as error:  # strptime makes a regular expression of it
        raise ValueError(f"{pattern!r} is no time pattern: {error}") from error


def _utc(moment: datetime.datetime) -> datetime.datetime | None:
    if moment.tzinfo is None:
        return moment.replace(tzinfo=datetime.UTC)
    try:
        return moment.astimezone(datetime.UTC)
    except OverflowError:  # year 1 or 9999 moved over the edge of the calendar by its zone
        return None


def _from_iso8601(value: object) -> datetime.datetime | None:
    if not isinstance(value, str):
        return None
    try:
        return _utc(datetime.datetime.fromisoformat(value))
    except ValueError:
        return None


def _from_epoch(value: object, per_second: int) -> datetime.datetime | None:
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value):
            return None
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return datetime.datetime.fromtimestamp(value / per_second, datetime.UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _from_pattern(value: object, pattern: str) -> datetime.datetime | None:
    if not isinstance(value, str):
        return None
    try:
        return _utc(datetime.datetime.strptime(value, pattern))  # noqa: DTZ007 - _utc gives it its zone
    except ValueError:
        return None
