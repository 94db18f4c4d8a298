"""BigQuery by load jobs: one job for the rows of a chunk that go to one table."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from consumer.domain.budgets import DailyBudget
from consumer.domain.chunks import Chunk
from consumer.domain.dead_letters import Rejection
from consumer.domain.errors import RequestRefused, Throttled
from consumer.sinks.base import Outcome, Prepared, Unordered, holds
from consumer.sinks.bigquery.api.errors import QuotaExceeded
from consumer.sinks.bigquery.insert_all.dry_run import DryRun
from consumer.sinks.bigquery.load.answers import End
from consumer.sinks.bigquery.load.jobs import LoadJobs
from consumer.sinks.bigquery.load.requests import LoadRequest
from consumer.sinks.bigquery.rows.encoder import RowEncoder
from consumer.sinks.bigquery.table_check import TableCheck

_PAUSE_SECONDS = 600.0
_LONGEST_PAUSE_SECONDS = 1800.0
_LINE_ENDS = b"\r\n"


@dataclass(slots=True)
class _Pause:
    """Of one table, after a quota was exceeded: a job that fails for it counts as well, and Google says to wait for ten
    minutes and more. https://cloud.google.com/bigquery/docs/troubleshoot-quotas"""

    refusals: int = 0
    until: float = -math.inf

    def begin(self, now: float) -> None:
        self.refusals += 1
        self.until = now + min(self.refusals * _PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)

    def check(self, table: str, now: float) -> None:
        """Raises Throttled while it lasts."""
        if now < self.until:
            raise Throttled(
                f"{table}: BigQuery's quota of load jobs is used up; the next one in {self.until - now:.0f} s. A longer"
                " chunk.window makes fewer"
            )


class LoadSink(Unordered):
    """A job's id tells which rows it holds, so a repeat by whomever meets the job that is there (I2, I3).

    That holds as long as BigQuery remembers jobs (180 days), and as long as it judges rows alike: a chunk with bad
    rows that is read again after the tables' columns have changed is cut into other jobs.
    """

    def __init__(
        self,
        *,
        jobs: LoadJobs,
        dry_run: DryRun,
        encoder: RowEncoder,
        jobs_per_day: int,
        now: Callable[[], float],
    ) -> None:
        """At most `jobs_per_day` jobs are begun for a table in 24 hours; `now` is in seconds and only grows."""
        self._jobs = jobs
        self._dry_run = dry_run
        self._table_check = TableCheck(dry_run.check_table)
        self._encoder = encoder
        self._jobs_per_day = jobs_per_day
        self._now = now
        self._budgets: dict[str, DailyBudget] = {}
        self._pauses: dict[str, _Pause] = {}

    def prepare(self, chunk: Chunk) -> Prepared[LoadRequest]:
        return self._requests(chunk, range(len(chunk.records)))

    def lane(self, request: LoadRequest) -> str:
        return request.table

    def destination(self, request: LoadRequest, index: int) -> str | None:
        return request.table if holds(request.indices, index) else None

    def send(self, request: LoadRequest) -> Outcome[LoadRequest]:
        pause = self._pauses.setdefault(request.table, _Pause())
        pause.check(request.table, self._now())
        if request.attempt:
            self._jobs.refuse_missing_table(request)
        budget = self._budgets.setdefault(request.table, DailyBudget(self._jobs_per_day))
        wait = budget.wait_seconds(self._now())
        if wait:
            return self._found_or_put_off(request, wait)
        try:
            run = self._jobs.run(request)
        except QuotaExceeded:
            pause.begin(self._now())
            raise
        verdict = run.verdict
        if run.began:
            budget.begin(self._now())
            if isinstance(verdict.error, QuotaExceeded):
                pause.begin(self._now())
            else:
                pause.refusals = 0
        if verdict.end is End.LOADED:
            return Outcome(counts=_counts(request, began=run.began))
        if verdict.end is End.FAILED:
            return Outcome(again=(request.next_attempt(),), backoff=verdict.error)
        return self._without_bad_rows(request, str(verdict.error), is_fresh=run.began)

    def split(self, request: LoadRequest, refusal: str) -> Outcome[LoadRequest]:
        count = len(request.lines)
        if count == 1:
            name = str(request.chunk.records[request.indices[0]].position)
            self._table_check.before_rejecting_all(request.table, name)
            return Outcome([Rejection(request.indices[0], "rejected", refusal)])
        half = count // 2
        return Outcome(again=(request.keep(list(range(half))), request.keep(list(range(half, count)))))

    def reconsider(self, chunk: Chunk, rejections: Sequence[Rejection]) -> Prepared[LoadRequest]:
        return self._requests(chunk, sorted(rejection.index for rejection in rejections))

    def _found_or_put_off(self, request: LoadRequest, wait_seconds: float) -> Outcome[LoadRequest]:
        """No job may begin; one that another process has begun may be there."""
        verdict = self._jobs.find(request)
        if verdict is not None and verdict.end is End.LOADED:
            return Outcome(counts=_counts(request, began=False))
        raise Throttled(
            f"{request.table}: {self._jobs_per_day} load jobs within 24 hours (bigquery.load_jobs_per_day);"
            f" the next one in {wait_seconds:.0f} s. A longer chunk.window makes fewer"
        )

    def _without_bad_rows(
        self, request: LoadRequest, refusal: str, *, is_fresh: bool
    ) -> Outcome[LoadRequest]:
        bad = self._dry_run.bad_rows(request.chunk.records, request.indices)
        if not bad and not is_fresh:
            # the tables may have changed since that job
            return Outcome(again=(request.next_attempt(),))
        if not bad:
            raise RequestRefused(refusal)
        rejections = [Rejection(index, "rejected", words) for index, words in sorted(bad.items())]
        good = [place for place, index in enumerate(request.indices) if index not in bad]
        return Outcome(rejections, (request.keep(good),) if good else ())

    def _requests(self, chunk: Chunk, indices: Sequence[int]) -> Prepared[LoadRequest]:
        tables, rejections = self._encoder.tables(chunk.records, indices)
        requests = [
            LoadRequest(name, chunk, tuple(rows.indices), tuple([_one_line(row) for row in rows.rows]))
            for name, rows in sorted(tables.items())
        ]
        return Prepared(requests, rejections, unread=self._encoder.unread.take())


def _one_line(row: bytes) -> bytes:
    """Raw line ends stand between JSON's tokens only, so taking them out changes no value."""
    return row.translate(None, _LINE_ENDS) if b"\n" in row or b"\r" in row else row


def _counts(request: LoadRequest, *, began: bool) -> dict[str, int]:
    return {
        "load_rows": len(request.lines),
        "load_bytes": sum(map(len, request.lines)),
        "load_jobs": int(began),
    }
