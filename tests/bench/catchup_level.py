"""Level `catchup`: how long applications that begin behind on one shard need to its end, where reads are limited.

A shard gives all polling applications together 2 MB and 5 reads a second, and takes in 1 MB; by enhanced fan-out each
application has 2 MB a second of its own. The backlog is there before anything reads.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError

from consumer.local import backends
from consumer.local import stack as stacks
from consumer.local.backends import BACKENDS
from consumer.local.generate import Logs
from consumer.local.limits import control
from consumer.local.limits.table import Limits
from consumer.local.stack import Stack
from consumer.settings.table import Backend
from tests.bench.kcl import BenchError
from tests.chaos.holdings import Holdings
from tests.chaos.world import effective, settings_of

type Retrieval = Literal["POLLING", "FANOUT"]
type Say = Callable[[str], None]

BACKLOG_MB = 60.0
SECONDS = 240.0
RECORD_BYTES = 20_000
"""Large ones, so that what is measured is the shard and not the machine."""
SHARD_BYTES = 1_000_000
"""What a shard takes in a second."""
AT_THE_END_SECONDS = 12.0
"""A chunk waits for four seconds of records, and so does what is put meanwhile."""
_PUT_BYTES = 5_000_000
_FEED_SECONDS = 0.25
_POLL_SECONDS = 1.0
_SAY_SECONDS = 15.0
_FIRST_SECONDS = 300.0
"""The KCL takes up to a minute for its first lease."""
_UNLIMITED = {"kinesis.put_bytes": 1e12, "kinesis.put_records": 1e12}
"""The backlog comes at once; the feed keeps to what a shard takes in by itself."""
_LIMITED = ("kinesis.reads", "kinesis.read_bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`feed` is the share of what a shard takes in that goes on coming; 0 where producers have stopped."""

    retrieval: Retrieval
    applications: tuple[Backend, ...]
    feed: float

    @property
    def name(self) -> str:
        return f"{self.retrieval}, {' and '.join(self.applications)}, {self.feed:g}"


_BOTH_WAYS: tuple[Retrieval, ...] = ("POLLING", "FANOUT")
CASES = [
    *(
        Case(retrieval=way, applications=BACKENDS, feed=feed)
        for feed in (1.0, 0.5, 0.0)
        for way in _BOTH_WAYS
    ),
    Case(retrieval="POLLING", applications=("s3",), feed=1.0),
]


@dataclass(slots=True)
class Course:
    """What an application has delivered, seen again and again. `seen` are seconds and the records that were delivered
    and behind by then."""

    seen: list[tuple[float, int, int]] = field(default_factory=list)

    def see(self, seconds: float, delivered: int, put: int) -> None:
        if delivered or self.seen:
            self.seen.append((seconds, delivered, max(0, put - delivered)))

    def caught_up(self, slack: float) -> float | None:
        """When it was first at the end: behind by no more than what may wait there."""
        return next((seconds for seconds, _, behind in self.seen if behind <= slack), None)

    def row(self, slack: float) -> dict[str, Any]:
        """As a table has it; the rate is that of catching up, or of all the time without it."""
        if not self.seen:
            return {"caught_up_seconds": None, "delivered_mb_per_second": None, "behind_mb": None}
        end = self.caught_up(slack)
        until = [one for one in self.seen if end is None or one[0] <= end]
        (began, first, _), (ended, last, _) = until[0], until[-1]
        rate = (last - first) * RECORD_BYTES / 1e6 / (ended - began) if ended > began else None
        return {
            "caught_up_seconds": None if end is None else round(end),
            "delivered_mb_per_second": None if rate is None else round(rate, 2),
            "behind_mb": round(self.seen[-1][2] * RECORD_BYTES / 1e6, 1),
        }


def measure(
    cases: Sequence[Case], *, backlog_mb: float, seconds: float, folder: Path, say: Say
) -> list[dict[str, Any]]:
    """A row for each application of each case, which has a fresh stack and is followed for so many seconds from its
    first record delivered. Raises BenchError when none is delivered."""
    rows: list[dict[str, Any]] = []
    for number, case in enumerate(cases):
        found = _measured(case, int(backlog_mb * 1e6), seconds, folder / str(number), say)
        rows += found
        say(f"{case.name}: {found}")
    return rows


def _measured(case: Case, backlog: int, seconds: float, folder: Path, say: Say) -> list[dict[str, Any]]:
    chosen = settings_of({"retrievalMode": case.retrieval})
    with stacks.running(folder, shards=1, limits=Limits(given=_UNLIMITED)) as running:
        stack = running.stack
        holdings = Holdings(stack, effective(stack, chosen))
        feed = Feed(stack, rate=case.feed * SHARD_BYTES)
        feed.at_once(backlog // RECORD_BYTES)
        say(f"{case.name}: {feed.put:,} records wait")
        with backends.started(folder, {backend: chosen[backend] for backend in case.applications}) as started:
            checks = (running.check, feed.check, *(one.check for one in started))
            courses = _follow(case, feed, holdings.count, checks, seconds, say)
        refused = _refused(stack)
    return [
        {
            "retrieval": case.retrieval,
            "applications": len(case.applications),
            "backlog_mb": backlog / 1e6,
            "feed_mb_per_second": case.feed * SHARD_BYTES / 1e6,
            "backend": backend,
            **courses[backend].row(_slack(case)),
            "reads_refused": refused,
        }
        for backend in case.applications
    ]


def _slack(case: Case) -> float:
    """How many records may wait at the end of the shard."""
    return AT_THE_END_SECONDS * case.feed * SHARD_BYTES / RECORD_BYTES


def _follow(
    case: Case,
    feed: "Feed",
    count: Callable[[Backend], int],
    checks: Sequence[Callable[[], None]],
    seconds: float,
    say: Say,
) -> dict[Backend, Course]:
    """Until all are at the end, or the time is over. Seconds count from the first record that any of them delivered,
    and the feed begins there: the KCL's start adds nothing to the backlog."""
    courses: dict[Backend, Course] = {backend: Course() for backend in case.applications}
    waited = time.monotonic()
    while not any(_counted(count, backend) for backend in case.applications):
        _checked(checks)
        if time.monotonic() - waited > _FIRST_SECONDS:
            raise BenchError(f"{case.name}: nothing was delivered within {_FIRST_SECONDS:.0f} s")
        time.sleep(_POLL_SECONDS)
    began, told = time.monotonic(), 0.0
    slack = _slack(case)
    with feed.running():
        while any(course.caught_up(slack) is None for course in courses.values()):
            _checked(checks)
            for backend, course in courses.items():
                delivered = _counted(count, backend)
                if delivered is not None:
                    course.see(time.monotonic() - began, delivered, feed.put)
            now = time.monotonic() - began
            if now > seconds:
                break
            if now - told >= _SAY_SECONDS:
                told = now
                behind = (
                    f"{backend} {course.seen[-1][2] * RECORD_BYTES / 1e6:.0f} MB behind"
                    for backend, course in courses.items()
                    if course.seen
                )
                say(f"{case.name}: after {now:.0f} s {', '.join(behind)}")
            time.sleep(_POLL_SECONDS)
    return courses


def _counted(count: Callable[[Backend], int], backend: Backend) -> int | None:
    """None where the embedded service is too busy to answer: the next look tells."""
    try:
        return count(backend)
    except OSError:
        return None


def _checked(checks: Sequence[Callable[[], None]]) -> None:
    for check in checks:
        check()


def _refused(stack: Stack) -> int:
    """Reads, of all applications together."""
    limits = control.report(stack.aws_endpoint)["limits"]
    return sum(limits[name]["refused"] for name in _LIMITED if name in limits)


class Feed:
    """Puts padded player logs: some at once, then at a rate from a thread of its own."""

    def __init__(self, stack: Stack, *, rate: float) -> None:
        """`rate` in bytes a second."""
        self._client = stack.client("kinesis")
        self._stream = stack.stream
        self._rate = rate
        self._logs = _padded()
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self.put = 0

    def at_once(self, count: int) -> None:
        while count > 0:
            batch = min(count, _PUT_BYTES // RECORD_BYTES)
            self._put(batch)
            count -= batch

    @contextmanager
    def running(self) -> Iterator[None]:
        """Go on putting for as long as the block lasts."""
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def check(self) -> None:
        """Raises BenchError when a put has failed."""
        if self._failure is not None:
            raise BenchError(f"the feed has ended: {self._failure!r}") from self._failure

    def _run(self) -> None:
        began = time.monotonic()
        put = 0
        while not self._stop.wait(_FEED_SECONDS):
            due = int((time.monotonic() - began) * self._rate / RECORD_BYTES) - put
            try:
                self._put(due)
            except (BotoCoreError, ClientError) as error:
                self._failure = error
                return
            put += due

    def _put(self, count: int) -> None:
        logs = [next(self._logs) for _ in range(count)]
        if logs:
            entries = [{"Data": log, "PartitionKey": "one shard"} for log in logs]
            self._client.put_records(StreamName=self._stream, Records=entries)
            self.put += count


def _padded() -> Iterator[bytes]:
    """Of few players, since each table costs the embedded BigQuery a request."""
    logs = Logs(count=10**9, seed=1, base_time=datetime(2026, 1, 1, tzinfo=UTC), players=5).lines()
    for log in logs:
        rest = b'",' + log.removeprefix(b"{")
        yield b'{"padding":"'.ljust(RECORD_BYTES - len(rest), b"x") + rest
