"""BigQuery: rows of a chunk, routed to tables that the supervisor has prepared, by insertAll with stable ids."""

from collections.abc import Sequence

from consumer.domain.chunks import Chunk
from consumer.domain.dead_letters import Rejection
from consumer.domain.errors import DeliveryError, RequestRefused
from consumer.sinks.base import Outcome, Prepared, Unordered, holds
from consumer.sinks.bigquery.api.connection import RestApi
from consumer.sinks.bigquery.insert_all.answers import outcome_of
from consumer.sinks.bigquery.insert_all.c_rows import RowWriter
from consumer.sinks.bigquery.insert_all.dry_run import DryRun
from consumer.sinks.bigquery.insert_all.requests import Envelope, InsertRequest, RequestLimits, RequestMaker
from consumer.sinks.bigquery.rows.encoder import RowEncoder
from consumer.sinks.bigquery.table_check import TableCheck


class BigQuerySink(Unordered):
    """Every record ends in its table or among the rejections; repeats carry the same insertId (I3)."""

    def __init__(
        self,
        *,
        connection: RestApi,
        tables_path: str,
        encoder: RowEncoder,
        limits: RequestLimits,
        dry_run: DryRun,
        ignore_unknown: bool = False,
    ) -> None:
        self._connection = connection
        self._dry_run = dry_run
        self._table_check = TableCheck(dry_run.check_table)
        self._tables_path = tables_path
        # with skipInvalidRows a bad row costs nothing but itself: without it every neighbour is sent twice
        envelope = Envelope(skip_invalid_rows=True, ignore_unknown_values=ignore_unknown)
        self._maker = RequestMaker(encoder, limits, envelope)
        self._writer = RowWriter.of(encoder, self._maker)
        self._encoder = encoder
        self._unread = encoder.unread

    def prepare(self, chunk: Chunk) -> Prepared[InsertRequest]:
        self._unread.take()  # of rows that were made once more, to be sent again
        indices = range(len(chunk.records))
        if self._writer is None or self._encoder.rerouted(chunk.records, indices):
            return self._requests(chunk, indices)
        requests, unsure = self._writer.requests(chunk.records)
        others, rejections = self._maker.requests(chunk.records, unsure)
        return Prepared([*requests, *others], rejections, unread=self._unread.take())

    def lane(self, request: InsertRequest) -> str:
        return request.table

    def destination(self, request: InsertRequest, index: int) -> str | None:
        return request.table if holds(request.indices, index) else None

    def send(self, request: InsertRequest) -> Outcome[InsertRequest]:
        path = f"{self._tables_path}/{request.table}/insertAll"
        status, body = self._connection.post(path, request.body)
        outcome = outcome_of(request, status, body)
        return self._doubted(request, outcome) if outcome.rejections else outcome

    def split(self, request: InsertRequest, refusal: str) -> Outcome[InsertRequest]:
        count = len(request.indices)
        if count == 1:
            self._table_check.before_rejecting_all(request.table, _name(request))
            return Outcome([Rejection(request.indices[0], "rejected", refusal)])
        half = count // 2
        return Outcome(again=(request.keep(range(half)), request.keep(range(half, count))))

    def reconsider(self, chunk: Chunk, rejections: Sequence[Rejection]) -> Prepared[InsertRequest]:
        return self._requests(chunk, sorted(rejection.index for rejection in rejections))

    def _doubted(self, request: InsertRequest, outcome: Outcome[InsertRequest]) -> Outcome[InsertRequest]:
        """The outcome, or, where the table is at fault and not the rows, one that has them sent again."""
        refused = {rejection.index for rejection in outcome.rejections}
        try:
            if len(refused) < len(request.indices):
                self._table_check.before_rejecting_some(request.table)
                return outcome
            bad = self._bad_rows(request, sorted(refused))
            if not bad:
                self._table_check.before_rejecting_all(request.table, _name(request))
                return outcome
        except DeliveryError as error:
            # without those that are in: their insertIds are forgotten by the time that somebody has mended the table
            refused.update(index for rest in outcome.again for index in rest.indices)
            return Outcome(again=(_only(request, refused),), backoff=error, counts=outcome.counts)
        rejections = [rejection for rejection in outcome.rejections if rejection.index in bad]
        good = refused - bad.keys()
        return Outcome(rejections, (_only(request, good),) if good else (), counts=outcome.counts)

    def _bad_rows(self, request: InsertRequest, indices: Sequence[int]) -> dict[int, str]:
        """By a dry run; none where that says nothing of single rows."""
        try:
            return self._dry_run.bad_rows(request.records, indices)
        except RequestRefused:
            return {}

    def _requests(self, chunk: Chunk, indices: Sequence[int]) -> Prepared[InsertRequest]:
        requests, rejections = self._maker.requests(chunk.records, indices)
        return Prepared(requests, rejections, unread=self._unread.take())


def _only(request: InsertRequest, indices: set[int]) -> InsertRequest:
    return request.keep([place for place, index in enumerate(request.indices) if index in indices])


def _name(request: InsertRequest) -> str:
    """Of its rows, as long as they stay together."""
    return f"{request.records[request.indices[0]].position} and {len(request.indices) - 1} more"
