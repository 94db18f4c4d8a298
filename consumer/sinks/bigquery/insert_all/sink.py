"""BigQuery: rows of a chunk, routed to tables that the supervisor has prepared, by insertAll with stable ids."""

from collections.abc import Sequence

from consumer.domain.chunks import Chunk
from consumer.domain.dead_letters import Rejection
from consumer.sinks.base import Outcome, Prepared, Unordered
from consumer.sinks.bigquery.api.connection import RestApi
from consumer.sinks.bigquery.insert_all.answers import outcome_of
from consumer.sinks.bigquery.insert_all.c_rows import RowWriter
from consumer.sinks.bigquery.insert_all.requests import Envelope, InsertRequest, RequestLimits, RequestMaker
from consumer.sinks.bigquery.rows.encoder import RowEncoder


class BigQuerySink(Unordered):
    """Every record ends in its table or among the rejections; repeats carry the same insertId (I3)."""

    def __init__(
        self,
        *,
        connection: RestApi,
        project: str,
        dataset: str,
        encoder: RowEncoder,
        limits: RequestLimits,
        ignore_unknown: bool = False,
    ) -> None:
        self._connection = connection
        self._tables_path = f"/bigquery/v2/projects/{project}/datasets/{dataset}/tables"
        # with skipInvalidRows a bad row costs nothing but itself: without it every neighbour is sent twice
        envelope = Envelope(skip_invalid_rows=True, ignore_unknown_values=ignore_unknown)
        self._maker = RequestMaker(encoder, limits, envelope)
        self._writer = RowWriter.of(encoder, self._maker)

    def prepare(self, chunk: Chunk) -> Prepared[InsertRequest]:
        if self._writer is None:
            return self._requests(chunk, range(len(chunk.records)))
        requests, unsure = self._writer.requests(chunk.records)
        others, rejections = self._maker.requests(chunk.records, unsure)
        return Prepared([*requests, *others], rejections)

    def lane(self, request: InsertRequest) -> str:
        return request.table

    def send(self, request: InsertRequest) -> Outcome[InsertRequest]:
        path = f"{self._tables_path}/{request.table}/insertAll"
        status, body = self._connection.post(path, request.body)
        return outcome_of(request, status, body)

    def split(self, request: InsertRequest, refusal: str) -> Outcome[InsertRequest]:
        count = len(request.indices)
        if count == 1:
            return Outcome([Rejection(request.indices[0], "rejected", refusal)])
        half = count // 2
        return Outcome(again=(request.keep(range(half)), request.keep(range(half, count))))

    def reconsider(self, chunk: Chunk, rejections: Sequence[Rejection]) -> Prepared[InsertRequest]:
        return self._requests(chunk, sorted(rejection.index for rejection in rejections))

    def _requests(self, chunk: Chunk, indices: Sequence[int]) -> Prepared[InsertRequest]:
        requests, rejections = self._maker.requests(chunk.records, indices)
        return Prepared(requests, rejections)
