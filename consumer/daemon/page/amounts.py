"""Figures as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

_STEPS = ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))


def duration(seconds: float) -> str:
    """`2.5 s`, `3 min 10 s`, `2 h 5 min`, `4 d 1 h`."""
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f} s"
    whole = round(seconds)
    for large, name, small, unit in _STEPS:
        if whole >= large:
            rest = whole % large // small
            return f"{whole // large} {name}" + (f" {rest} {unit}" if rest else "")
    return f"{whole} s"


def number(amount: float) -> str:
    """`12,345`; one digit behind the point below ten, unless it is whole."""
    if 0 < amount < 9.95 and amount != int(amount):
        return f"{amount:.1f}"
    return f"{amount:,.0f}"


def size(amount: float) -> str:
    """`3.2 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1000 or unit == "GiB":
            break
        amount /= 1024
    return f"{number(amount)} {unit}"


def clock(at: float) -> str:
    """Seconds since the epoch as a time of day in UTC."""
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S}"


def moment(at: float, now: float) -> str:
    """The time of day, and the day where that is not today's."""
    day = datetime.fromtimestamp(at, UTC)
    return clock(at) if day.date() == datetime.fromtimestamp(now, UTC).date() else f"{day:%b %d %H:%M}"
