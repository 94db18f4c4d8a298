"""Points in time as an operator writes them: ISO 8601, or how long ago."""

import argparse
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from consumer.operate.errors import Refused

_SPAN = re.compile(r"([0-9]{1,9})(s|m|h|d|w)").fullmatch
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

type Moment = Callable[[datetime], datetime]
"""From the present to the time that was meant, both aware."""


def moment(text: str) -> Moment:
    """The type of a command's option: `2026-01-31T12:00Z` (UTC without a zone), or `2h`, `3d` and so on before now."""
    if _SPAN(text):
        return _before(duration(text))
    try:
        meant = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f'"{text}" is no time: write 2026-01-31T12:00Z, or 2h for two hours ago (s, m, h, d, w)'
        ) from None
    fixed = meant.replace(tzinfo=UTC) if meant.tzinfo is None else meant.astimezone(UTC)
    return lambda now: fixed


def duration(text: str) -> timedelta:
    """The type of a command's option: `30s`, `5m`, `2h` and so on."""
    found = _SPAN(text)
    with suppress(OverflowError):
        if found:
            return timedelta(**{_UNITS[found[2]]: int(found[1])})
    raise argparse.ArgumentTypeError(f'"{text}" is no time: write 30s, 5m or 2h (s, m, h, d, w)')


def _before(distance: timedelta) -> Moment:
    def meant(now: datetime) -> datetime:
        try:
            return now - distance
        except OverflowError:
            raise Refused("a time so long ago is before the calendar") from None

    return meant


def past(option: str, given: Moment | None, now: datetime) -> datetime | None:
    """What an option means; None where it was not given. Raises Refused for a time in the future."""
    if given is None:
        return None
    meant = given(now)
    if meant > now:
        raise Refused(f"{option}: {written(meant)} is in the future")
    return meant


def span(
    since: Moment | None,
    until: Moment | None,
    now: datetime,
    *,
    names: tuple[str, str] = ("--since", "--until"),
) -> tuple[datetime | None, datetime | None]:
    """From `since` to before `until`. Raises Refused where one is in the future, or nothing lies between them."""
    first, last = past(names[0], since, now), past(names[1], until, now)
    if first is not None and last is not None and first >= last:
        raise Refused(f"an empty range: {names[0]} {written(first)} is not before {names[1]} {written(last)}")
    return first, last


def written(time: datetime) -> str:
    """RFC 3339 in UTC, to the second."""
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def written_ms(time_ms: int) -> str:
    """Likewise, of milliseconds since the epoch."""
    return written(datetime.fromtimestamp(time_ms / 1000, UTC))
