"""Asks insertAll about rows without storing any.

insertAll names each row that it refuses, and stores nothing when one row of the request is invalid and skipInvalidRows
is not set: so every request carries one more row that is.
"""

from collections.abc import Callable, Sequence

import msgspec

from consumer.domain.errors import RequestRefused, SetupError, TransientError
from consumer.domain.records import Record
from consumer.sinks.bigquery.api.connection import RestApi
from consumer.sinks.bigquery.api.errors import TRANSIENT_REASONS, RowError, request_error
from consumer.sinks.bigquery.insert_all.answers import InsertAllAnswer
from consumer.sinks.bigquery.insert_all.requests import Envelope, InsertRequest, RequestLimits, RequestMaker
from consumer.sinks.bigquery.rows.encoder import RowEncoder
from consumer.sinks.bigquery.table_check import table_refuses

_HARMLESS = frozenset({"stopped", None, ""})
_POISON_ROOM = 100_000
"""For the sample, too, which has a value for each column."""
_SAMPLE = -1

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(InsertAllAnswer).decode


class DryRun:
    """Of the tables of one dataset."""

    def __init__(
        self,
        connection: RestApi,
        *,
        tables_path: str,
        encoder: RowEncoder,
        time_column: str,
        ignore_unknown: bool,
        sample: Callable[[], Record],
    ) -> None:
        """`encoder` makes the rows of insertAll; `time_column` has a type that not every text fits; `sample` makes a
        record that fits every column."""
        self._connection = connection
        self._tables_path = tables_path
        self._poison = _encode({"json": {time_column: "no time at all"}})
        self._sample = sample
        self._maker = RequestMaker(
            encoder,
            RequestLimits(max_rows=500, max_bytes=9_000_000 - _POISON_ROOM),
            Envelope(skip_invalid_rows=False, ignore_unknown_values=ignore_unknown),
        )

    def bad_rows(self, records: Sequence[Record], indices: Sequence[int]) -> dict[int, str]:
        """Those of `records[i]` for the given indices that are refused, by index, with BigQuery's words; none where it
        has nothing against any. The sample goes with them, so that one server judges both: SetupError where it is
        refused as well. Raises TransientError, SetupError or RequestRefused."""
        bad: dict[int, str] = {}
        # a row too large for insertAll may well be one for a job
        for part in self._maker.requests(records, indices)[0]:
            bad.update(self._ask(part.table, part))
        return bad

    def check_table(self, table: str) -> None:
        """Raises SetupError where the table refuses the sample, TransientError where it gives no answer."""
        try:
            self._ask(table)
        except RequestRefused as error:
            raise table_refuses(table, str(error)) from error

    def _ask(self, table: str, part: InsertRequest | None = None) -> dict[int, str]:
        indices = [] if part is None else [*part.indices]
        rows: list[memoryview | bytes] = [] if part is None else [part.rows()]
        for sample in self._maker.requests([self._sample()], [0])[0]:  # none where no record makes a row
            rows.append(sample.rows())
            indices.append(_SAMPLE)
        body = b"".join([self._maker.head, b"[", b",".join([*rows, self._poison]), b"]}"])
        status, answer = self._connection.post(f"{self._tables_path}/{table}/insertAll", body)
        if status != 200:
            raise request_error(table, status, answer)
        try:
            entries = _decode(answer).insert_errors or []
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise TransientError(f"{table}: unreadable answer: {error}") from error
        if not entries:
            raise SetupError(
                f"{table} takes a text that is no time in its partition column",
                setting="bigquery.partition_field",
            )
        bad: dict[int, str] = {}
        for entry in entries:
            fault = entry.errors[0] if entry.errors else RowError()
            if fault.reason in _HARMLESS or not 0 <= entry.index < len(indices):
                continue
            if fault.reason in TRANSIENT_REASONS:
                raise TransientError(f"{table}: {_words(fault)}")
            bad[indices[entry.index]] = _words(fault)
        if _SAMPLE in bad:
            raise table_refuses(table, bad[_SAMPLE])
        return bad


def _words(error: RowError) -> str:
    place = f" at {error.location}" if error.location else ""
    return f"{error.reason}{place}: {error.message or ''}"
