"""Load jobs for the rows that a table does not hold yet: for a replay, whose rows may all be there.

A row is known by its identity (shard and sequence number), which stands in it where bigquery.metadata_columns is set,
whichever method has written it.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from consumer.domain.chunks import Chunk
from consumer.domain.dead_letters import Rejection
from consumer.settings.schema import METADATA_COLUMNS
from consumer.sinks.base import Outcome, Prepared, Unordered
from consumer.sinks.bigquery.api.queries import Queries
from consumer.sinks.bigquery.load.requests import LoadRequest
from consumer.sinks.bigquery.load.sink import LoadSink

_SHARD, _SEQUENCE, _ARRIVED = METADATA_COLUMNS
_MOST_DAYS = 50
"""Named one by one in a query; beyond these the first to the last."""


class RowsThere:
    """Which rows of one shard the tables of a dataset hold. `time_column` is the one that they are partitioned by, in
    days."""

    def __init__(self, queries: Queries, *, dataset: str, shard: str, time_column: str) -> None:
        """`dataset` with its project."""
        self._queries = queries
        self._dataset = dataset
        self._shard = shard
        self._time_column = time_column

    def missing(self, request: LoadRequest) -> list[int]:
        """The places of the request's rows that its table does not hold. Raises DeliveryError."""
        records = request.chunk.records
        arrivals = records.arrivals()
        times = [arrivals[index] for index in request.indices]
        sql = (
            f"SELECT {_SEQUENCE} FROM `{self._dataset}.{request.table}` WHERE {_SHARD} = @shard"
            f" AND {_ARRIVED} BETWEEN TIMESTAMP_MILLIS({min(times)}) AND TIMESTAMP_MILLIS({max(times)})"
            f"{self._in_days(request.lines)}"
        )
        there = {row[0] for row in self._queries.rows(request.table, sql, {"shard": self._shard})}
        return [
            place for place, index in enumerate(request.indices) if str(records.position(index)) not in there
        ]

    def _in_days(self, lines: Sequence[bytes]) -> str:
        """So that BigQuery reads the partitions of these rows alone, where each row tells its own."""
        days = set()
        for line in lines:
            try:
                days.add(msgspec.json.decode(line)[self._time_column][:10])
            except (KeyError, TypeError, msgspec.MsgspecError):
                return ""
        try:
            moments = sorted(datetime.fromisoformat(day) for day in days)
        except ValueError:
            return ""
        spans = [(day, day) for day in moments]
        if len(spans) > _MOST_DAYS:
            spans = [(moments[0], moments[-1])]
        column = f"`{self._time_column}`"
        parts = [
            f"({column} >= TIMESTAMP '{first:%Y-%m-%d}' AND {column} < TIMESTAMP '{last + timedelta(1):%Y-%m-%d}')"
            for first, last in spans
        ]
        return f" AND ({' OR '.join(parts)})"


class MissingRowsSink(Unordered):
    """Loads what is not there. Each attempt looks first, so whatever has become of the one before, no row comes
    twice."""

    def __init__(self, sink: LoadSink, there: RowsThere) -> None:
        self._sink = sink
        self._there = there

    def prepare(self, chunk: Chunk) -> Prepared[LoadRequest]:
        return self._sink.prepare(chunk)

    def lane(self, request: LoadRequest) -> str:
        return self._sink.lane(request)

    def destination(self, request: LoadRequest, index: int) -> str | None:
        return self._sink.destination(request, index)

    def send(self, request: LoadRequest) -> Outcome[LoadRequest]:
        missing = self._there.missing(request)
        if not missing:
            return Outcome()
        some = request if len(missing) == len(request.lines) else request.keep(missing)
        outcome = self._sink.send(some)
        found_loaded = not outcome.again and not outcome.rejections and not outcome.counts.get("load_jobs")
        if found_loaded and self._there.missing(some):
            # a job of an earlier replay, whose rows were taken away since
            return Outcome(again=(some.next_attempt(),))
        return outcome

    def split(self, request: LoadRequest, refusal: str) -> Outcome[LoadRequest]:
        return self._sink.split(request, refusal)

    def reconsider(self, chunk: Chunk, rejections: Sequence[Rejection]) -> Prepared[LoadRequest]:
        return self._sink.reconsider(chunk, rejections)
