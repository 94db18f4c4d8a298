"""What the supervisor knows of its shard processes: their latest status events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from consumer.daemon.report.freshness import Trend
from consumer.daemon.report.pressure import Waits
from consumer.domain.events import StatusEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedShard:
    """The latest event of one shard process. `first_at` and `last_at` are when its first and its latest event
    were received, `read_before` when the shard was last read before that, as far as known, in seconds since the
    epoch. `read_elsewhere` is whether another worker has the lease by now and renews it, so that this process has lost
    it and need not be called."""

    event: StatusEvent
    first_at: float
    last_at: float
    trend: Trend
    waits: Waits
    read_before: float | None = None
    read_elsewhere: bool = False

    def last_callback_at(self) -> float:
        """The last moment the KCL was heard of; the start of the process before its first call."""
        called = self.event.last_callback_ms
        return self.first_at if called is None else max(called / 1000, self.first_at)

    def checkpoint_age_seconds(self, now: float) -> float | None:
        """Since the last checkpoint of the process, which a shard without records needs none of; None before the
        first one."""
        last = self.event.last_checkpoint_ms
        return None if last is None else max(0.0, now - last / 1000)

    @property
    def has_read(self) -> bool:
        """Whether the KCL has given it anything that was read, records or none."""
        return self.event.millis_behind_latest is not None

    def last_read_at(self) -> float:
        """The last moment the shard is known to have been read: that its process was begun is no reading."""
        if self.has_read or self.read_before is None:
            return self.last_callback_at()
        return self.read_before

    def waiting_since(self) -> float | None:
        """When the oldest undelivered record was read, or arrived if the process does not say."""
        read, arrived = self.event.oldest_undelivered_read_ms, self.event.oldest_undelivered_ms
        moment = arrived if read is None else read
        return None if moment is None else moment / 1000

    def freshness_seconds(self, now: float) -> float:
        """How old what a reader of the backend misses is: the time since the oldest record not delivered arrived on the
        stream, or, when all that was read is delivered, how far the reading is behind."""
        arrived = self.event.oldest_undelivered_ms
        if arrived is None:
            return (self.event.millis_behind_latest or 0) / 1000
        return max(0.0, now - arrived / 1000)


class Shards:
    """Statuses by shard; of two processes of one shard, the later one counts."""

    def __init__(self, *, trend_seconds: float) -> None:
        """`trend_seconds` is the window of each shard's Trend."""
        self._trend_seconds = trend_seconds
        self._by_shard: dict[str, ReportedShard] = {}
        self._read_elsewhere: frozenset[str] = frozenset()

    def __iter__(self) -> Iterator[ReportedShard]:
        return iter(sorted(self._by_shard.values(), key=lambda status: status.event.shard))

    def __len__(self) -> int:
        return len(self._by_shard)

    def names(self) -> frozenset[str]:
        return frozenset(self._by_shard)

    def update(self, event: StatusEvent, now: float, *, read_before: float | None = None) -> ReportedShard:
        """`read_before` is when the shard was last read until now, of which a process that is new makes use."""
        known = self._by_shard.get(event.shard)
        if known is not None and known.event.pid == event.pid:
            first_at, trend, waits = known.first_at, known.trend, known.waits
            read_before = None if known.has_read else known.read_before
        else:
            first_at, trend, waits = now, Trend(self._trend_seconds), Waits()
        shard = ReportedShard(
            event=event,
            first_at=first_at,
            last_at=now,
            trend=trend,
            waits=waits,
            read_before=read_before,
            read_elsewhere=event.shard in self._read_elsewhere,
        )
        waits.add(event.waited_ms, now=now)
        trend.add(shard.freshness_seconds(now), now=now)
        self._by_shard[event.shard] = shard
        return shard

    def set_read_elsewhere(self, shards: frozenset[str]) -> None:
        """Of the lease table's rows, those that another worker has and renews."""
        self._read_elsewhere = shards
        self._by_shard = {
            name: replace(shard, read_elsewhere=name in shards) for name, shard in self._by_shard.items()
        }

    def keep(self, is_alive: Callable[[int], bool]) -> None:
        """Forgets the shards whose process has ended."""
        alive = {shard: status for shard, status in self._by_shard.items() if is_alive(status.event.pid)}
        self._by_shard = alive

    def clear(self) -> None:
        self._by_shard.clear()

    def last_callback_at(self) -> float | None:
        """The last moment the KCL called any shard process; None while there is none."""
        return max((status.last_callback_at() for status in self), default=None)
