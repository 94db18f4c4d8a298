"""Stretches of time: what the keys of objects tell of it, and which of it is compared."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from consumer.domain.routing import epoch_ms, expand_time, time_zone
from consumer.operate.errors import Refused
from consumer.settings import Settings

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
_GRAIN_MS = 15 * MINUTE_MS
"""All zones begin their hours at a multiple of it."""
_MOST_REMEMBERED = 100_000

_PIECES = re.compile(r"%(?P<time>[YmdHMj])|(?P<field>\{[^}]*\})|(?P<text>[^%{]+)")
_DIGITS = {"Y": 4, "j": 3}


class Partition:
    """How the paths of objects cut time: into spans of an hour or of a day, the least that a key tells of a record
    without a time of its own. Times are in milliseconds since the epoch; a span is known by its beginning. An hour that
    the zone has twice is one span."""

    def __init__(self, template: str, zone: tzinfo = UTC) -> None:
        """As `s3.partition` or `s3.key_template` has it. Raises Refused for paths that come again, or that stay the
        same over a day."""
        pieces = list(_PIECES.finditer(template))
        times = {piece["time"] for piece in pieces}
        if not ("Y" in times and ("j" in times or {"m", "d"} <= times)):
            raise Refused(
                f"the path of objects, {template}, does not tell of which day they are, so those of a range cannot be"
                " found (s3.partition, s3.key_template)"
            )
        self.template = template
        self.zone = zone
        self.span_ms = HOUR_MS if "H" in times else DAY_MS
        self.grain_ms = self.span_ms if zone is UTC else _GRAIN_MS
        """Times with the same multiple of it below them are of one span."""
        self.step_ms = MINUTE_MS if "M" in times else self.grain_ms
        """Times with the same multiple of it below them have one path, but for fields."""
        self.has_fields = any(piece["field"] for piece in pieces)
        self._label = "%Y-%m-%dT%H" if "H" in times else "%Y-%m-%d"
        self._parse = re.compile(_pattern(pieces)).fullmatch
        self._known: dict[int, int] = {}

    @classmethod
    def of(cls, settings: Settings) -> Partition:
        """Raises Refused."""
        template = settings.optional_text("s3.key_template") or settings.text("s3.partition")
        return cls(template, time_zone(settings.text("s3.time_zone")))

    def floor(self, time_ms: int) -> int:
        """The beginning of its span."""
        if self.zone is UTC:
            return time_ms // self.span_ms * self.span_ms
        grain = time_ms // self.grain_ms
        span = self._known.get(grain)
        if span is None:
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            told = datetime.fromisoformat(expand_time(self._label, grain * self.grain_ms, self.zone))
            span = self._known[grain] = epoch_ms(told.replace(tzinfo=self.zone))
        return span

    def ceil(self, time_ms: int) -> int:
        span = self.floor(time_ms)
        return span if span == time_ms else self.after(span)

    def after(self, span: int) -> int:
        """The beginning of the next one."""
        time_ms = span + self.grain_ms
        while self.floor(time_ms) <= span:
            time_ms += self.grain_ms
        return time_ms

    def span_of(self, path: str) -> int | None:
        """What a path, without a slash at its end, tells; None where it is none of these."""
        found = self._parse(path)
        if found is None:
            return None
        told = {name: int(digits) for name, digits in found.groupdict().items()}
        try:
            if "j" in told:
                day = datetime(told["Y"], 1, 1, tzinfo=self.zone) + timedelta(days=told["j"] - 1)
            else:
                day = datetime(told["Y"], told["m"], told["d"], tzinfo=self.zone)
            return epoch_ms(day.replace(hour=told.get("H", 0)))
        except ValueError:
            return None

    def expanded(self, part: str, begin_ms: int, end_ms: int) -> list[str]:
        """What a part of the template without fields is from one time to before another."""
        begin = self.floor(begin_ms)
        found = {expand_time(part, time_ms, self.zone) for time_ms in range(begin, end_ms, self.step_ms)}
        return sorted(found)


def _pattern(pieces: list[re.Match[str]]) -> str:
    pattern, seen = "", set()
    for piece in pieces:
        name = piece["time"]
        if name:
            digits = f"[0-9]{{{_DIGITS.get(name, 2)}}}"
            pattern += digits if name in seen else f"(?P<{name}>{digits})"
            seen.add(name)
        else:
            pattern += "[^/]*" if piece["field"] else re.escape(piece["text"])
    return pattern


def spans(partition: Partition, begin_ms: int, end_ms: int) -> Iterator[int]:
    """From one time to before another."""
    span = partition.floor(begin_ms)
    while span < end_ms:
        yield span
        span = partition.after(span)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What is compared: the records of whole spans, from `begin_ms` to before `end_ms`.

    A record's time is its arrival where both backends know that (`by_arrival`), else what BigQuery files it under: its
    own time, or its arrival where it has none. `arrivals` bounds the arrival of the objects that are read. `is_open`
    tells that the range ends with a span that is not over, since nothing was left on the stream.
    """

    partition: Partition
    begin_ms: int
    end_ms: int
    arrivals: tuple[int, int]
    by_arrival: bool
    is_open: bool = False

    def span_of(self, own_ms: int | None, arrival_ms: int) -> int | None:
        """Of a record with this time of its own; None outside of the range. Of the arrival, the span is enough."""
        time_ms = arrival_ms if self.by_arrival or own_ms is None else own_ms
        return self.partition.floor(time_ms) if self.begin_ms <= time_ms < self.end_ms else None


def scope_of(
    partition: Partition,
    *,
    begin_ms: int,
    end_ms: int,
    passed_ms: int,
    nothing_left: bool,
    now_ms: int,
    late_ms: int,
    by_arrival: bool,
    by_record: bool,
) -> Scope | None:
    """The whole spans around a range, as far as both applications have passed them; None where there is none.

    Without arrival times in BigQuery a span is passed `late_ms` after its end, which is how far a record's own time is
    from its arrival at most. `by_record` tells that objects are filed under the records' own times.
    """
    begin, end = partition.floor(begin_ms), partition.ceil(end_ms)
    if not nothing_left:
        end = min(end, partition.floor(passed_ms - (0 if by_arrival else late_ms)))
    if begin >= end:
        return None
    # lines that share the path of _overflow may be of any time, whatever the path says
    wider = 0 if by_arrival or (by_record and not partition.has_fields) else late_ms
    return Scope(
        partition=partition,
        begin_ms=begin,
        end_ms=end,
        arrivals=(partition.floor(begin - wider), partition.ceil(end + wider)),
        by_arrival=by_arrival,
        is_open=end > partition.floor(now_ms),
    )
