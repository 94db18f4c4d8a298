"""BigQuery by the Storage Write API: every row exactly once.

A shard's rows go to each table in order, at offsets that say how many the shard has put there. `Replay` tells the
records that are there already from the number of rows alone; `PositionStore` keeps the numbers and fences former
owners off.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from consumer.domain.chunks import Chunk
from consumer.domain.dead_letters import Rejection, ShareGuard, detail_of
from consumer.domain.errors import SetupError, Superseded, TransientError
from consumer.domain.records import Position, Record
from consumer.sinks.base import Outcome, Prepared, holds
from consumer.sinks.bigquery.arrow_rows.arrow import Batch
from consumer.sinks.bigquery.arrow_rows.log_rows import RowMaker
from consumer.sinks.bigquery.arrow_rows.rules import Rules
from consumer.sinks.bigquery.storage_write.answers import (
    CallFailed,
    Meaning,
    RowFault,
    delivery_error,
    is_ambiguous,
    meaning_of,
)
from consumer.sinks.bigquery.storage_write.appends import Append, Lane, Progress
from consumer.sinks.bigquery.storage_write.earlier_rows import EarlierRows
from consumer.sinks.bigquery.storage_write.own_shard import OwnShard
from consumer.sinks.bigquery.storage_write.positions import Gap, Stream
from consumer.sinks.bigquery.storage_write.sample_appends import SampleAppends
from consumer.sinks.bigquery.storage_write.store import SETTING, PositionStore, Refused
from consumer.sinks.bigquery.storage_write.takeover import take_over
from consumer.sinks.bigquery.table_check import TableCheck

if TYPE_CHECKING:  # it needs gRPC, which starts threads: no fork may come after that
    from consumer.sinks.bigquery.storage_write.writer import Writer


_IDLE_SECONDS = 6 * 3600.0
"""A stream without traffic lives for three days: https://cloud.google.com/bigquery/docs/write-api-streaming"""
_LOOK_SECONDS = 60.0
_RELEASE_SECONDS = 5.0
"""A stop must not wait for a backend that gives no answer; the next owner finalizes as well."""


class StorageWriteSink:
    """`prepare` has to be called for the chunks of a shard in order, and `send` for the requests of a lane."""

    in_order = True

    def __init__(
        self,
        *,
        writer: "Writer",
        store: PositionStore,
        rules: Rules,
        maker_of: Callable[[Rules], RowMaker],
        guard: ShareGuard,
        start: Position | None,
        max_request_bytes: int,
        sample: Callable[[], Record],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`start` is the checkpoint that the shard is read from, None where there is none; `sample` makes a record that
        fits every column.

        `guard` tells rows that the server refuses one by one from a schema that refuses them all.
        """
        self._writer = writer
        self._store = store
        self._rules = rules
        self._maker_of = maker_of
        self._maker = maker_of(rules)
        self._guard = guard
        self._start = start
        self._now = now
        self._looked_at = now()
        self._table_check = TableCheck(SampleAppends(writer, rules, self._maker, sample).check_table)
        self._max_request_bytes = max_request_bytes
        self._shard: OwnShard | None = None
        self._earlier: EarlierRows | None = None

    # The contract of a sink

    def prepare(self, chunk: Chunk) -> Prepared[Append]:
        """Take the shard over before the first chunk; then no I/O. Raises DeliveryError, to be called again."""
        shard = self._shard or self._taken_over()
        records = chunk.records
        try:
            settled = shard.replay.settled(chunk.read)
        except Gap as error:
            # asked again after a pause, and then from the beginning: somebody may have removed what is kept
            self._shard = None
            raise SetupError(f"{error}; docs/storage-write.md says what to do", setting=SETTING) from None
        assert self._earlier is not None
        left = range(chunk.place_of(settled), len(records))
        unknown = self._earlier.unknown_verdict(records, left)
        if unknown is not None:
            if not shard.has_unsettled:  # what is on its way goes to the streams of this owner
                self._shard = None
            raise SetupError(unknown, setting=SETTING)
        shard.begin_counting()
        if settled == chunk.count:
            return Prepared(())
        progress = Progress(chunk.end)
        shard.begin(progress)
        indices = self._earlier.not_written(records, left, progress)
        era = shard.era
        tables, rejections = self._maker.make(records, shard.without_refused(era, records, indices))
        rejections += shard.rejected_before(era, records, indices)
        requests: list[Append] = []
        for table, rows in sorted(tables.items()):
            taken = shard.replay.take(era, table, len(rows.indices))
            progress.add(era, table, taken)
            rest = rows.part(taken, len(rows.indices)) if taken else rows
            requests += [
                Append(table, part, progress, lambda place: records[place].position)
                for part in rest.parts(self._max_request_bytes)
            ]
        return Prepared(requests, rejections, unread=self._maker.take_unread())

    def lane(self, request: Append) -> str:
        return request.table

    def destination(self, request: Append, index: int) -> str | None:
        return request.table if holds(request.rows.indices, index) else None

    def send(self, request: Append) -> Outcome[Append]:
        shard = self._shard
        assert shard is not None, "a request comes from prepare"
        lane = shard.lanes.setdefault(request.table, Lane(0))
        lane.sending, lane.used_at = True, self._now()
        try:
            if lane.stream is None:
                lane.stream = self._opened(shard, lane, request.table)
            stream = lane.stream
            shard.unsettle()
            offset = lane.count - stream.base
            try:
                self._writer.append(stream.name, offset, self._maker.schema, self._batch(request))
            except CallFailed as failure:
                return self._after_failure(shard, lane, request, failure)
            return self._written(shard, lane, request)
        finally:
            lane.sending = request.unanswered

    def split(self, request: Append, refusal: str) -> Outcome[Append]:
        count = len(request.rows.indices)
        if count == 1:
            self._table_check.before_rejecting_all(request.table, request.name())
            return self._refuse(request, [RowFault(0, refusal)])
        half = count // 2
        # the last is sent first
        return Outcome(
            again=(request.of(request.rows.part(half, count)), request.of(request.rows.part(0, half)))
        )

    def reconsider(self, chunk: Chunk, rejections: Sequence[Rejection]) -> Prepared[Append]:
        """A verdict holds as long as its rules: later rows may stand where the record's row would have been."""
        return Prepared((), rejections)

    # What the checkpoints rest on

    def before_checkpoint(self, position: Position) -> None:
        """Keep how many rows are in the tables at a position, up to which everything is durable.

        Raises TransientError or SetupError, to be called again; Superseded.
        """
        shard = self._shard
        if shard is None:
            return
        shard.keep_mark(position)
        if self._now() - self._looked_at > _LOOK_SECONDS:
            self._looked_at = self._now()
            self.release(everything=False)

    def release(self, *, everything: bool) -> None:
        """Finalizes the streams that no request is on its way to: Google takes one away that was idle for three days,
        and with it the number of its rows."""
        shard = self._shard
        if shard is None:
            return
        before = math.inf if everything else self._now() - _IDLE_SECONDS
        idle = {
            table: lane
            for table, lane in shard.lanes.items()
            if lane.stream is not None and lane.used_at < before and not lane.sending
        }
        streams = {table: lane.stream for table, lane in idle.items() if lane.stream is not None}
        if not streams:
            return
        for table, lane in idle.items():
            lane.stream = None  # a request that comes meanwhile opens another one
            self._writer.forget(streams[table].name)
        names = [stream.name for stream in streams.values()]
        try:
            self._writer.finalize(names, seconds=_RELEASE_SECONDS)
        except CallFailed as failure:
            # one that is gone takes no rows either
            if meaning_of(failure) is not Meaning.GONE:
                raise delivery_error(failure, "streams that are idle") from failure
        shard.keep_totals(streams)

    # Inside

    def _taken_over(self) -> OwnShard:
        shard = take_over(self._store, self._writer, self._rules, self._start)
        self._earlier = EarlierRows(shard, self._maker_of)
        self._shard = shard
        return shard

    def _batch(self, request: Append) -> Batch:
        """Made for each attempt, and left to the writer alone: it takes as much memory as its records, which wait."""
        batch = self._maker.batch(request.rows)
        request.batch_bytes = batch.size
        return batch

    def _opened(self, shard: OwnShard, lane: Lane, table: str) -> Stream:
        """A new stream; kept before it is used, so that the next owner finalizes it."""
        try:
            lane.created = lane.created or self._writer.create(self._rules.table_path(table))
        except CallFailed as failure:
            raise delivery_error(failure, table) from failure
        stream = Stream(lane.created, lane.count)
        shard.keep_stream(table, stream)
        lane.created = None
        return stream

    def _written(self, shard: OwnShard, lane: Lane, request: Append) -> Outcome[Append]:
        count = len(request.rows.indices)
        lane.count += count
        request.progress.add(shard.era, request.table, count)
        request.unanswered = False
        self._guard.count(count, 0)
        return Outcome(counts={"storage_write_rows": count, "storage_write_bytes": request.batch_bytes})

    def _after_failure(
        self, shard: OwnShard, lane: Lane, request: Append, failure: CallFailed
    ) -> Outcome[Append]:
        meaning = meaning_of(failure)
        if meaning is Meaning.WRITTEN and request.unanswered:
            return self._written(shard, lane, request)
        if meaning in (Meaning.WRITTEN, Meaning.FINALIZED):
            # a new process counts the rows of the stream, whoever has written them
            raise Superseded(f"{request.table}: {failure}") from failure
        if meaning is Meaning.GONE:
            return self._in_a_new_stream(lane, request, failure)
        if meaning is Meaning.BAD_ROWS:
            if len(failure.rows) < len(request.rows.indices):
                self._table_check.before_rejecting_some(request.table)
            else:
                self._table_check.before_rejecting_all(request.table, request.name())
            return self._refuse(request, failure.rows)
        request.unanswered = request.unanswered or is_ambiguous(failure)
        raise delivery_error(failure, request.table) from failure

    def _in_a_new_stream(self, lane: Lane, request: Append, failure: CallFailed) -> Outcome[Append]:
        if request.unanswered:
            raise SetupError(
                f"{request.table}: the stream is gone, and whether the last rows were written with it: {failure};"
                " docs/storage-write.md says what to do",
                setting=SETTING,
            ) from failure
        lane.stream = None
        return Outcome(again=(request,), backoff=TransientError(f"{request.table}: {failure}"))

    def _refuse(self, request: Append, faults: Sequence[RowFault]) -> Outcome[Append]:
        """Send the rest again without these rows, once it is kept that they are not among those written."""
        rows, shard = request.rows, self._shard
        assert shard is not None
        bad = {fault.index: detail_of(fault.message) for fault in faults}
        if not bad.keys() <= set(range(len(rows.indices))):
            raise SetupError(
                f"{request.table}: an error about a row that was not sent", setting="bigquery.method"
            )
        if not self._guard.allows(len(rows.indices), len(bad)):
            first = next(iter(bad.values()))
            raise SetupError(
                f"{request.table} refuses {len(bad)} of {len(rows.indices)} rows, more than deadletter.max_ratio"
                f" allows; the first: {first}",
                setting="bigquery.row",
            )
        refused = [
            Refused(shard.era, request.positions(rows.indices[place]), bad[place]) for place in sorted(bad)
        ]
        shard.keep_refused(refused)
        self._guard.count(len(bad), len(bad))
        rejections = [Rejection(rows.indices[place], "rejected", bad[place]) for place in sorted(bad)]
        if len(bad) == len(rows.indices):
            return Outcome(rejections)
        return Outcome(rejections, (request.of(rows.without(set(bad))),))
