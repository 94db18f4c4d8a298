"""From the settings of both backends to what a look has found, for the command and for whoever else asks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from consumer.daemon.prepare.bigquery_api import BigQueryApi
from consumer.operate.bucket import Bucket
from consumer.operate.dead_letters.places import Places
from consumer.operate.errors import Refused
from consumer.operate.moments import written
from consumer.operate.patience import Patience
from consumer.operate.progress import Progress
from consumer.operate.reconcile.look import Result, Sides, look
from consumer.operate.reconcile.objects import Objects
from consumer.operate.reconcile.placing import Filing
from consumer.operate.reconcile.progress import Course, Reached
from consumer.operate.reconcile.report import moment_of
from consumer.operate.reconcile.rows import Rows
from consumer.operate.reconcile.spans import HOUR_MS, Partition, Scope, scope_of
from consumer.settings import Settings
from consumer.settings.columns import lake_schema
from consumer.sinks.aws import AWS_ERRORS, delivery_error, s3_client_of

_TIMES = ("record.time_field", "record.time_format")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """The S3 clients of boto3 of both backends, and BigQuery's API."""

    s3: Any
    letters: Any
    """For the dead letters of BigQuery's application."""
    bigquery: BigQueryApi

    @classmethod
    def of(cls, s3: Settings, bigquery: Settings) -> Clients:
        """Raises Trouble and DeliveryError."""
        try:
            return cls(s3=s3_client_of(s3), letters=s3_client_of(bigquery), bigquery=BigQueryApi(bigquery))
        except AWS_ERRORS as error:
            raise delivery_error(error, setting="s3.endpoint_url") from error


class Reconciliation:
    """Of two applications that read one stream. `say` is told what is compared, `now` is in seconds since the epoch."""

    def __init__(
        self,
        s3: Settings,
        bigquery: Settings,
        *,
        say: Callable[[str], object],
        progress: Callable[[], Progress],
        now: Callable[[], float] = time.time,
        clients: Callable[[Settings, Settings], Clients] = Clients.of,
        course: Callable[[Sequence[Settings]], Course] = Course,
    ) -> None:
        """Raises Refused for settings that cannot be compared, Trouble and DeliveryError."""
        if s3.stream_name != bigquery.stream_name:
            raise Refused(
                f"streamName: {s3.stream_name} goes to S3, {bigquery.stream_name} to BigQuery: nothing to compare"
            )
        self._by_record = s3.text("s3.partition_time") == "record"
        self._rows_have_times = s3["s3.schema_file"] is not None and s3.text("s3.format") == "parquet"
        if self._rows_have_times:
            _check_columns(s3, bigquery)
        for name in _TIMES if self._by_record or self._rows_have_times else ():
            if s3[name] != bigquery[name]:
                raise Refused(f"{name} differs: {s3[name]} for S3, {bigquery[name]} for BigQuery")
        self._partition = Partition.of(s3)
        self._s3 = s3
        self._bigquery = bigquery
        self._say = say
        self._progress = progress
        self._now = now
        self._clients = clients(s3, bigquery)
        self._course = course([s3, bigquery])
        self._patience = Patience(tell=say)

    def run(self, begin: datetime, end: datetime | None, *, late_seconds: float) -> Result:
        """Compares from one time to before another, the present if None, as far as both applications have come. Raises
        Refused where that is nothing, Trouble and DeliveryError."""
        now_ms = self._now_ms()
        reached = self._course.reached(now_ms)
        end_ms = now_ms if end is None else _ms(end)
        scope = self._scope(_ms(begin), end_ms, reached, now_ms, late_seconds)
        result = self._look(scope)
        if scope.is_open and not result.clean:
            again = self._course.reached(self._now_ms())
            if not again.nothing_left or again.checkpoints != reached.checkpoints:
                self._say("records have come meanwhile: only what both had passed before is compared")
                closed = Reached(
                    passed_ms=reached.passed_ms,
                    nothing_left=False,
                    slowest=reached.slowest,
                    checkpoints=reached.checkpoints,
                )
                return self._look(self._scope(_ms(begin), end_ms, closed, now_ms, late_seconds))
        return result

    def _look(self, scope: Scope) -> Result:
        with self._progress() as progress:
            progress.step("asking S3 and BigQuery what they hold")
            return look(self._sides(scope), progress)

    def _sides(self, scope: Scope) -> Sides:
        s3, bigquery, clients = self._s3, self._bigquery, self._clients
        filing = Filing(bigquery, scope, rows_have_times=self._rows_have_times)

        def rows(own_times: tuple[int, int]) -> Rows:
            return Rows(
                bigquery,
                scope,
                parts=filing.parts,
                own_times=own_times,
                api=clients.bigquery,
                patience=self._patience,
            )

        return Sides(
            stream=s3.stream_name,
            objects=Objects(s3, self._bucket(clients.s3, s3, "s3.bucket"), self._partition),
            letters={
                "s3": self._letters(clients.s3, s3),
                "bigquery": self._letters(clients.letters, bigquery),
            },
            filing=filing,
            rows=rows,
            chunks_stand_together=not self._by_record,
        )

    def _letters(self, client: Any, settings: Settings) -> Places:
        bucket = self._bucket(client, settings, "deadletter.bucket")
        return Places(bucket, settings.text("deadletter.prefix"), settings.text("applicationName"))

    def _bucket(self, client: Any, settings: Settings, setting: str) -> Bucket:
        name = settings.text(setting)
        return Bucket(client, name, setting=setting, put_options={}, patience=self._patience)

    def _scope(self, begin_ms: int, end_ms: int, reached: Reached, now_ms: int, late_seconds: float) -> Scope:
        # the arrivals of records that share a path of _overflow are not in it
        knows_arrivals = not (self._by_record or self._partition.has_fields)
        by_arrival = knows_arrivals and self._bigquery.flag("bigquery.metadata_columns")
        scope = scope_of(
            self._partition,
            begin_ms=begin_ms,
            end_ms=end_ms,
            passed_ms=reached.passed_ms,
            nothing_left=reached.nothing_left,
            now_ms=now_ms,
            late_ms=round(late_seconds * 1000),
            by_arrival=by_arrival,
            by_record=self._by_record,
        )
        slowest = f"the checkpoint of {reached.slowest} has passed {written(moment_of(reached.passed_ms))}"
        unit = "hour" if self._partition.span_ms == HOUR_MS else "day"
        late = "" if by_arrival else f", and records may be {late_seconds:.0f} s late (--late)"
        if scope is None:
            raise Refused(f"nothing to compare yet: no whole {unit} of the range is over; {slowest}{late}")
        if scope.end_ms < self._partition.ceil(end_ms):
            self._say(
                f"compared to {written(moment_of(scope.end_ms))} only, by whole {unit}s: {slowest}{late}"
            )
        return scope

    def _now_ms(self) -> int:
        return round(self._now() * 1000)


def _check_columns(s3: Settings, bigquery: Settings) -> None:
    """Raises Refused where a row of S3 does not tell which one of BigQuery it is."""
    key = s3.text("record.key_field")
    if key != bigquery.text("record.key_field"):
        raise Refused(f"record.key_field differs: {key} for S3, {bigquery['record.key_field']} for BigQuery")
    if not any(
        (column.name, column.type) == (key, "STRING") and column.mode != "REPEATED"
        for column in lake_schema(s3)
    ):
        raise Refused(
            f"s3.schema_file has no STRING column {key} (record.key_field), by which rows are compared"
        )


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
