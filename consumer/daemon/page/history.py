"""What the last quarter of an hour brought, made from one status after another, in bounded memory."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from consumer.daemon.page.told import Shard, Told
from consumer.daemon.page.verdict import ranked_reasons, verdict_of

SECONDS = 900.0
STEP_SECONDS = 5.0
_SHARD_STEPS = 4
"""A shard has a point for so many of the application's."""
_POINTS = int(SECONDS / STEP_SECONDS)
_HAPPENINGS = 40
_CHECKPOINTS = 40
_SAMPLES = 10
_SHARDS = 1000
"""More have no history."""
_LOOKS = 60
"""Statuses, about a second each, in which back pressure is a share."""
_LAST_DEAD_LETTER = re.compile(r"the last: record (\S+): (\w+): (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Point:
    """Of the application. Rates are by the second; `freshness` is None for a worker without shards."""

    at: float
    freshness: float | None
    read: float
    delivered: float
    filtered: float
    in_flight_bytes: int
    dead_letters: float


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`since_last` in seconds and `records` delivered since the one before; None for a process' first."""

    at: float
    shard: str
    since_last: float | None
    records: int | None


@dataclass(frozen=True, slots=True)
class Happening:
    at: float
    text: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """The newest one that a status told of. The detail can quote the record."""

    at: float
    shard: str
    position: str
    reason: str
    detail: str


@dataclass(slots=True)
class ShardHistory:
    """`delivered_rate` is in records a second; `freshness` has a point for each 20 s, in seconds."""

    pid: int
    counters: dict[str, int]
    checkpoint_ms: int | None
    records_at_checkpoint: int
    delivered_rate: float = 0.0
    full: deque[bool] = field(default_factory=lambda: deque(maxlen=_LOOKS))
    freshness: deque[float] = field(default_factory=lambda: deque(maxlen=_POINTS // _SHARD_STEPS))

    @property
    def back_pressure(self) -> float:
        """The share of the last minute in which no more could be taken."""
        return sum(self.full) / len(self.full) if self.full else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """delivery.max_in_flight_chunks and _bytes."""

    chunks: int
    bytes: int


class History:
    """To be told each status, about once a second."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.points: deque[Point] = deque(maxlen=_POINTS)
        self.happenings: deque[Happening] = deque(maxlen=_HAPPENINGS)
        self.checkpoints: deque[Checkpoint] = deque(maxlen=_CHECKPOINTS)
        self.dead_letters: deque[DeadLetter] = deque(maxlen=_SAMPLES)
        self.dead_by_reason: Counter[str] = Counter()
        self.shards: dict[str, ShardHistory] = {}
        self._since_point: Counter[str] = Counter()
        self._of_shards: Counter[str] = Counter()
        self._steps = 0
        self._state: str | None = None
        self._jvm: int | None = None

    def saw(self, told: Told) -> None:
        self._saw_process(told)
        here = {shard.shard for shard in told.shards}
        for gone in self.shards.keys() - here:
            del self.shards[gone]
            self._happened(told, f"{gone} is no longer here")
        for shard in told.shards:
            self._saw_shard(told, shard)
        if not self.points or told.updated_at - self.points[-1].at >= STEP_SECONDS:
            self._point(told)

    def _saw_process(self, told: Told) -> None:
        state = verdict_of(told).state
        if state != self._state:
            if self._state is not None:
                self._happened(told, ": ".join([state, *ranked_reasons(told)[:1]]))
            self._state = state
        if told.jvm.pid not in (None, self._jvm):
            again = f", start {told.jvm.restarts + 1}" if told.jvm.restarts else ""
            self._happened(told, f"the JVM runs as process {told.jvm.pid}{again}")
            self._jvm = told.jvm.pid

    def _saw_shard(self, told: Told, shard: Shard) -> None:
        known = self.shards.get(shard.shard)
        if known is None and len(self.shards) >= _SHARDS:
            return
        if known is None or known.pid != shard.pid:
            self._happened(told, f"{shard.shard} is read by process {shard.pid}")
            fresh = ShardHistory(
                pid=shard.pid, counters={}, checkpoint_ms=shard.last_checkpoint_ms, records_at_checkpoint=0
            )
            if known is not None:
                fresh.freshness = known.freshness
            known = self.shards[shard.shard] = fresh
        for name, delta in _growth(known.counters, shard.counters):
            self._since_point[name] += delta
            if name.startswith("dead_letters_"):
                self.dead_by_reason[name.removeprefix("dead_letters_")] += delta
            elif name == "records_delivered":
                self._of_shards[shard.shard] += delta
        known.counters = shard.counters
        known.full.append(
            shard.in_flight_chunks >= self._limits.chunks or shard.in_flight_bytes >= self._limits.bytes
        )
        self._saw_checkpoint(shard, known)
        self._saw_dead_letter(told, shard)

    def _saw_checkpoint(self, shard: Shard, known: ShardHistory) -> None:
        moment = shard.last_checkpoint_ms
        if moment is None or moment == known.checkpoint_ms:
            return
        delivered = shard.counters.get("records_delivered", 0)
        first = known.checkpoint_ms is None
        self.checkpoints.append(
            Checkpoint(
                at=moment / 1000,
                shard=shard.shard,
                since_last=None if known.checkpoint_ms is None else (moment - known.checkpoint_ms) / 1000,
                records=None if first else delivered - known.records_at_checkpoint,
            )
        )
        known.checkpoint_ms, known.records_at_checkpoint = moment, delivered

    def _saw_dead_letter(self, told: Told, shard: Shard) -> None:
        match = _LAST_DEAD_LETTER.search(shard.dead_letters or "")
        if match is None:
            return
        position, reason, detail = match.groups()
        if any(one.position == position and one.shard == shard.shard for one in self.dead_letters):
            return
        self.dead_letters.append(DeadLetter(told.updated_at, shard.shard, position, reason, detail))

    def _point(self, told: Told) -> None:
        passed = told.updated_at - self.points[-1].at if self.points else 0.0
        seconds = passed or STEP_SECONDS
        self.points.append(
            Point(
                at=told.updated_at,
                freshness=told.freshness_seconds,
                read=self._since_point["records_read"] / seconds,
                delivered=self._since_point["records_delivered"] / seconds,
                filtered=self._since_point["records_filtered"] / seconds,
                in_flight_bytes=sum(shard.in_flight_bytes for shard in told.shards),
                dead_letters=self._since_point["dead_letters"] / seconds,
            )
        )
        for shard in told.shards:
            known = self.shards.get(shard.shard)
            if known is None:
                continue
            known.delivered_rate = self._of_shards[shard.shard] / seconds
            if self._steps % _SHARD_STEPS == 0:
                known.freshness.append(shard.freshness_seconds)
        self._steps += 1
        self._since_point.clear()
        self._of_shards.clear()

    def _happened(self, told: Told, text: str) -> None:
        self.happenings.append(Happening(told.updated_at, text))


def _growth(before: dict[str, int], after: dict[str, int]) -> Iterator[tuple[str, int]]:
    for name, count in after.items():
        delta = count - before.get(name, 0)
        if delta > 0:
            yield name, delta
