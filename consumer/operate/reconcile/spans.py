"""Stretches of time: what the keys of objects tell of it, and which of it is compared."""

from __future__ import annotations

import re
from dataclasses import dataclass

from consumer.domain.routing import partition_path
from consumer.operate.errors import Refused

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Partition:
    """How `s3.partition` cuts time: into spans of an hour or of a day, the least that a key tells of a record without a
    time of its own. Times are in milliseconds since the epoch."""

    template: str
    span_ms: int

    @classmethod
    def of(cls, template: str) -> Partition:
        """Raises Refused for paths that come again, or that stay the same over a day."""
        letters = set(re.findall("%(.)", template))
        if not ("Y" in letters and ("j" in letters or {"m", "d"} <= letters)):
            raise Refused(
                f"s3.partition = {template} does not tell of which day an object is, so the objects of a range cannot"
                " be found"
            )
        return cls(template, HOUR_MS if "H" in letters else DAY_MS)

    def floor(self, time_ms: int) -> int:
        """The beginning of its span."""
        return time_ms // self.span_ms * self.span_ms

    def ceil(self, time_ms: int) -> int:
        return -(-time_ms // self.span_ms) * self.span_ms

    def paths(self, begin_ms: int, end_ms: int) -> dict[str, int]:
        """Of all objects from one time to before another, each with the beginning of its span."""
        step = MINUTE_MS if "%M" in self.template else self.span_ms
        times = range(self.floor(begin_ms), end_ms, step)
        return {partition_path(self.template, time_ms): self.floor(time_ms) for time_ms in times}


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
    wider = 0 if by_arrival or by_record else late_ms
    return Scope(
        partition=partition,
        begin_ms=begin,
        end_ms=end,
        arrivals=(partition.floor(begin - wider), partition.ceil(end + wider)),
        by_arrival=by_arrival,
        is_open=end > partition.floor(now_ms),
    )
