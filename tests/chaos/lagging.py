"""Applications that lag on one shard: how long each needs until it is at the shard's end, where reads are limited.

A shard gives all polling applications together 2 MB a second, and takes in 1 MB. The backlog is there before anything
reads, and the feed goes on meanwhile.
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from consumer.local import backends
from consumer.local import stack as stacks
from consumer.local.backends import BACKENDS
from consumer.local.limits import control
from consumer.local.limits.table import Limits
from consumer.local.progress import Progress
from consumer.local.stack import Stack
from consumer.settings.table import Backend
from tests.chaos.holdings import Holdings
from tests.chaos.journal import Fed, records
from tests.chaos.world import effective, settings_of

RECORD_BYTES = 20_000
"""Large ones, so that what is measured is the shard and not the machine."""
_PUT_BYTES = 5_000_000
_FEED_SECONDS = 0.25
_POLL_SECONDS = 1.0
_FIRST_SECONDS = 300.0
"""The KCL takes up to a minute for its first lease."""
_AT_THE_END_SECONDS = 12.0
"""A chunk waits for four seconds of records, and so does what is put meanwhile."""
_SHARD_BYTES = 1_000_000
_UNLIMITED = {"kinesis.put_bytes": 1e12, "kinesis.put_records": 1e12}
"""The backlog comes at once; the feed keeps to what a shard takes in by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`feed` is the share of what a shard takes in that goes on coming."""

    applications: tuple[Backend, ...]
    backlog_bytes: int
    feed: float
    most_seconds: float


def cases(backlog_bytes: int, most_seconds: float) -> list[Case]:
    """One application on a full shard; both on a full one, and both on one that is half full."""
    alone: tuple[Backend, ...] = ("s3",)
    return [
        Case(applications=one, backlog_bytes=backlog_bytes, feed=feed, most_seconds=most_seconds)
        for one, feed in ((alone, 1.0), (BACKENDS, 1.0), (BACKENDS, 0.5))
    ]


@dataclass(slots=True, kw_only=True)
class Lag:
    """How an application went on. `caught_up` are seconds from its first record to the shard's end, None where it did
    not come there; `left_bytes` are what it lagged by at the end."""

    backend: Backend
    caught_up: float | None = None
    read_bytes_per_second: float = 0.0
    left_bytes: int = 0


@dataclass(slots=True)
class _Course:
    began: float | None = None
    ended: float | None = None
    first: int = 0
    last: int = 0


@dataclass(slots=True)
class Feed:
    """Puts padded records, from a thread of its own while it is running."""

    client: Any
    stream: str
    source: Iterator[Fed]
    put: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def at_once(self, count: int) -> None:
        while count > 0:
            batch = min(count, _PUT_BYTES // RECORD_BYTES)
            self._put(batch)
            count -= batch

    def keep(self, bytes_per_second: float) -> None:
        """Until `stop`."""
        due, pause = time.monotonic(), _FEED_SECONDS
        owed = 0.0
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            due += pause
            owed += bytes_per_second * pause / RECORD_BYTES
            self._put(int(owed))
            owed -= int(owed)

    def stop(self) -> None:
        self._stop.set()

    def _put(self, count: int) -> None:
        entries = [_entry(next(self.source)) for _ in range(count)]
        if entries:
            self.client.put_records(StreamName=self.stream, Records=entries)
            self.put += count


def _entry(fed: Fed) -> dict[str, Any]:
    padding = b'{"padding":"' + b"x" * (RECORD_BYTES - len(fed.data) - 14) + b'",'
    return {"Data": padding + fed.data.removeprefix(b"{"), "PartitionKey": fed.log_id}


def measure(directory: Path, case: Case, given: Mapping[str, str], progress: Progress) -> list[Lag]:
    """Run the applications of a case from a backlog. Blocks for as long as they may take."""
    chosen = settings_of(given)
    limits = Limits(given=_UNLIMITED)
    with stacks.running(directory, shards=1, limits=limits) as running:
        stack = running.stack
        holdings = Holdings(stack, effective(stack, chosen))
        source = (fed for fed in records(1) if fed.data.startswith(b'{"log_id"') and b"player_id" in fed.data)
        feed = Feed(stack.client("kinesis"), stack.stream, source)
        feed.at_once(case.backlog_bytes // RECORD_BYTES)
        progress.say(f"{feed.put:,} records wait; {' and '.join(case.applications)} begin")
        thread = threading.Thread(target=feed.keep, args=(case.feed * _SHARD_BYTES,), daemon=True)
        with backends.started(directory, {backend: chosen[backend] for backend in case.applications}):
            thread.start()
            try:
                courses = _follow(case, feed, holdings, progress)
            finally:
                feed.stop()
                thread.join()
        progress.say(_throttled(stack))
    return [_lag(backend, course, feed.put) for backend, course in courses.items()]


def _follow(case: Case, feed: Feed, holdings: Holdings, progress: Progress) -> dict[Backend, _Course]:
    courses: dict[Backend, _Course] = {backend: _Course() for backend in case.applications}
    slack = _AT_THE_END_SECONDS * case.feed * _SHARD_BYTES / RECORD_BYTES
    deadline = time.monotonic() + _FIRST_SECONDS
    while time.monotonic() < deadline and any(course.ended is None for course in courses.values()):
        time.sleep(_POLL_SECONDS)
        for backend, course in courses.items():
            if course.ended is not None:
                continue
            count, now = holdings.count(backend), time.monotonic()
            if count and course.began is None:
                course.began, course.first = now, count
                deadline = now + case.most_seconds
            course.last = count
            if course.began is not None and feed.put - count <= slack:
                course.ended = now
        lags = ", ".join(f"{backend} {feed.put - course.last:,}" for backend, course in courses.items())
        progress.show(f"records behind: {lags}")
    now = time.monotonic()
    for course in courses.values():
        course.ended = course.ended if course.ended is not None else -now
    return courses


def _lag(backend: Backend, course: _Course, put: int) -> Lag:
    if course.began is None or course.ended is None:
        return Lag(backend=backend, left_bytes=put * RECORD_BYTES)
    seconds = abs(course.ended) - course.began
    return Lag(
        backend=backend,
        caught_up=seconds if course.ended > 0 else None,
        read_bytes_per_second=(course.last - course.first) * RECORD_BYTES / max(seconds, 1.0),
        left_bytes=0 if course.ended > 0 else (put - course.last) * RECORD_BYTES,
    )


def _throttled(stack: Stack) -> str:
    limits = control.report(stack.aws_endpoint)["limits"]
    told = [
        f"{name}: {limits[name]['counted']:,.0f} counted, {limits[name]['refused']:,} refused"
        for name in ("kinesis.reads", "kinesis.read_bytes")
        if name in limits
    ]
    return "; ".join(told)


def table(found: Sequence[tuple[Case, list[Lag]]]) -> str:
    """For people, and for docs/chaos.md."""
    lines = [
        "| applications | backlog, MB | feed, MB/s | | caught up after, s | read, MB/s | behind at the end, MB |"
    ]
    lines.append("|---|--:|--:|---|--:|--:|--:|")
    for case, lags in found:
        for place, lag in enumerate(lags):
            head = (
                f"| {len(case.applications)} | {case.backlog_bytes / 1e6:.0f} | {case.feed:.2f} "
                if place == 0
                else "| | | "
            )
            after = "never" if lag.caught_up is None else f"{lag.caught_up:.0f}"
            rate, left = lag.read_bytes_per_second / 1e6, lag.left_bytes / 1e6
            lines.append(f"{head}| {lag.backend} | {after} | {rate:.2f} | {left:.0f} |")
    return "\n".join(lines)
