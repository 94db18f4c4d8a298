"""What all shard processes of this daemon have done since it started, those that have ended included.

A counter of a shard process begins at zero with each process, so the latest status of every life is kept and added up;
the sums never run backwards. A process that was killed may have done more than it said: at most what a second brings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import add

from consumer.domain.events import StatusEvent
from consumer.domain.latency import BOUNDS_SECONDS

_LAST_WORDS_SECONDS = 10.0
"""So long after its end the last status of a process may still wait in the socket: what it says is not final yet, and
what was in flight is not left."""


def _no_latencies() -> list[int]:
    return [0] * (len(BOUNDS_SECONDS) + 1)


@dataclass(slots=True)
class Totals:
    """`counters` by their names in StatusEvent; `in_flight` and `left` are records. What was in flight in a process
    that has ended is left: the next owner of the shard reads it again."""

    counters: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    left: int = 0
    latency_counts: list[int] = field(default_factory=_no_latencies)
    latency_sum_seconds: float = 0.0

    @property
    def conservation(self) -> int:
        """Records that were read and are nowhere: 0, or something is wrong with the daemon."""
        counters = self.counters
        ended = counters["records_delivered"] + counters["dead_letters"] + counters["records_filtered"]
        return counters["records_read"] - ended - self.in_flight - self.left

    def add(self, event: StatusEvent, *, ended: bool) -> None:
        self.counters.update(event.counters)
        self.left += event.counters.get("records_left", 0)
        if ended:
            self.left += event.in_flight_records
        else:
            self.in_flight += event.in_flight_records
        if len(event.write_latency_counts) == len(self.latency_counts):
            self.latency_counts = list(map(add, self.latency_counts, event.write_latency_counts))
        self.latency_sum_seconds += event.write_latency_sum_seconds


@dataclass(slots=True)
class _Life:
    event: StatusEvent
    ended_at: float | None = None


class Tally:
    """Adds up the lives of shard processes. Times are in seconds."""

    def __init__(self) -> None:
        self._lives: dict[int, _Life] = {}
        self._past = Totals()

    def update(self, event: StatusEvent) -> None:
        """The latest of its process; another process may have had the same id before."""
        known = self._lives.get(event.pid)
        if known is None or _life_of(known.event) != _life_of(event):
            if known is not None:
                self._past.add(known.event, ended=True)
            self._lives[event.pid] = _Life(event)
        else:
            known.event = event

    def keep(self, is_alive: Callable[[int], bool], *, now: float) -> None:
        """To be called about once a second with who lives."""
        for pid, life in list(self._lives.items()):
            if is_alive(pid):
                continue
            if life.ended_at is None:
                life.ended_at = now
            elif now - life.ended_at > _LAST_WORDS_SECONDS:
                self._past.add(life.event, ended=True)
                del self._lives[pid]

    def totals(self) -> Totals:
        total = Totals(
            counters=self._past.counters.copy(),
            left=self._past.left,
            latency_counts=self._past.latency_counts,
            latency_sum_seconds=self._past.latency_sum_seconds,
        )
        for life in self._lives.values():
            total.add(life.event, ended=False)
        return total


def _life_of(event: StatusEvent) -> tuple[str, int]:
    return event.shard, event.started_ms
