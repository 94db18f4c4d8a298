"""Finds the rows that BigQuery would refuse, without storing any.

A load job says that rows are bad, and names few of them. insertAll names each, and stores nothing when one row of the
request is invalid and skipInvalidRows is not set: so every request carries one more row that is.
"""

import msgspec

from consumer.domain.errors import SetupError, TransientError
from consumer.sinks.bigquery.api.connection import RestApi
from consumer.sinks.bigquery.api.errors import RowError, request_error
from consumer.sinks.bigquery.insert_all.answers import InsertAllAnswer
from consumer.sinks.bigquery.insert_all.requests import Envelope, InsertRequest, RequestLimits, RequestMaker
from consumer.sinks.bigquery.load.requests import Destination, LoadRequest
from consumer.sinks.bigquery.rows.encoder import RowEncoder

_HARMLESS = frozenset({"stopped", None, ""})
_POISON_ROOM = 1_000

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(InsertAllAnswer).decode


class DryRun:
    """`encoder` makes the rows of insertAll; `time_column` has a type that not every text fits."""

    def __init__(
        self, connection: RestApi, destination: Destination, encoder: RowEncoder, time_column: str
    ) -> None:
        self._connection = connection
        self._tables = f"/bigquery/v2/projects/{destination.project}/datasets/{destination.dataset}/tables"
        self._poison = _encode({"json": {time_column: "no time at all"}})
        self._maker = RequestMaker(
            encoder,
            RequestLimits(max_rows=500, max_bytes=9_000_000 - _POISON_ROOM),
            Envelope(skip_invalid_rows=False, ignore_unknown_values=destination.ignore_unknown),
        )

    def bad_rows(self, request: LoadRequest) -> dict[int, str]:
        """The records that are refused, by index in the chunk, with BigQuery's words; none where it has nothing
        against any. Raises TransientError, SetupError or RequestRefused."""
        bad: dict[int, str] = {}
        # a row too large for insertAll may well be one for a job
        for part in self._maker.requests(request.chunk.records, request.indices)[0]:
            bad.update(self._ask(part))
        return bad

    def _ask(self, part: InsertRequest) -> dict[int, str]:
        path = f"{self._tables}/{part.table}/insertAll"
        status, answer = self._connection.post(path, part.body_with(self._poison))
        if status != 200:
            raise request_error(part.table, status, answer)
        try:
            entries = _decode(answer).insert_errors or []
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise TransientError(f"{part.table}: unreadable answer: {error}") from error
        if not entries:
            raise SetupError(
                f"{part.table} takes a text that is no time in its partition column",
                setting="bigquery.partition_field",
            )
        return {
            part.indices[entry.index]: _words(error)
            for entry in entries
            if 0 <= entry.index < len(part.indices)
            for error in (entry.errors or [])[:1]
            if error.reason not in _HARMLESS
        }


def _words(error: RowError) -> str:
    place = f" at {error.location}" if error.location else ""
    return f"{error.reason}{place}: {error.message or ''}"
