"""What insertAll's answers mean for each row of a request.

https://cloud.google.com/bigquery/docs/reference/rest/v2/tabledata/insertAll
"""

import msgspec

from consumer.domain.dead_letters import Rejection
from consumer.domain.errors import Throttled, TransientError
from consumer.sinks.base import Outcome
from consumer.sinks.bigquery.api.errors import (
    THROTTLING_REASONS,
    TRANSIENT_REASONS,
    RowError,
    excerpt_of,
    request_error,
)
from consumer.sinks.bigquery.insert_all.requests import InsertRequest

ANSWER_KIND = "bigquery#tableDataInsertAllResponse"


class RowErrors(msgspec.Struct, frozen=True):
    index: int = 0
    errors: list[RowError] | None = None


class InsertAllAnswer(msgspec.Struct, frozen=True, rename="camel"):
    kind: str | None = None
    insert_errors: list[RowErrors] | None = None
    error: msgspec.Raw | None = None


_decode_answer = msgspec.json.Decoder(InsertAllAnswer).decode


def outcome_of(request: InsertRequest, status: int, body: bytes) -> Outcome[InsertRequest]:
    """Read an answer; raises TransientError, SetupError or RequestRefused where the request as a whole failed."""
    if status != 200:
        raise request_error(request.table, status, body)
    try:
        answer = _decode_answer(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise TransientError(f"{request.table}: unreadable answer: {error}") from error
    if answer.error is not None or answer.kind not in (ANSWER_KIND, None):
        # status 200 from something that is not BigQuery proves nothing (I1)
        raise TransientError(f"{request.table}: not an answer of insertAll: {excerpt_of(body)}")
    return _rows_outcome(request, _errors_by_row(request, answer.insert_errors or []))


def _errors_by_row(request: InsertRequest, entries: list[RowErrors]) -> dict[int, list[RowError]]:
    rows: dict[int, list[RowError]] = {}
    for entry in entries:
        if not 0 <= entry.index < len(request.indices):
            raise TransientError(f"{request.table}: answer about row {entry.index} of {len(request.indices)}")
        rows.setdefault(entry.index, []).extend(entry.errors or [])
    return rows


def _rows_outcome(request: InsertRequest, rows: dict[int, list[RowError]]) -> Outcome[InsertRequest]:
    rejections: list[Rejection] = []
    again: list[int] = []
    backoff: TransientError | None = None
    for place, errors in rows.items():
        bad = [
            error for error in errors if error.reason != "stopped" and error.reason not in TRANSIENT_REASONS
        ]
        if bad:
            rejections.append(Rejection(request.indices[place], "rejected", _detail(bad[0])))
            continue
        again.append(place)
        backoff = _worse(backoff, errors)
    stored = _stored(request, rows)
    if not again:
        return Outcome(rejections, counts=stored)
    if not rejections and backoff is None:
        backoff = TransientError("every failed row was stopped, none was named as the cause")
    return Outcome(rejections, (request.keep(sorted(again)),), backoff, stored)


def _stored(request: InsertRequest, failed: dict[int, list[RowError]]) -> dict[str, int]:
    """What BigQuery bills: rows that are in."""
    rows, billed_bytes = len(request.indices), request.billed_bytes
    if failed:
        stored = [place for place in range(rows) if place not in failed]
        rows, billed_bytes = len(stored), request.keep(stored).billed_bytes if stored else 0
    return {"insert_all_rows": rows, "insert_all_billed_bytes": billed_bytes}


def _worse(known: TransientError | None, errors: list[RowError]) -> TransientError | None:
    """A quota that is used up tells more about what to do than any other trouble."""
    for error in errors:
        if error.reason in THROTTLING_REASONS and not isinstance(known, Throttled):
            known = Throttled(_detail(error))
        elif known is None and error.reason != "stopped":
            known = TransientError(_detail(error))
    return known


def _detail(error: RowError) -> str:
    place = f" at {error.location}" if error.location else ""
    return f"{error.reason or 'no reason'}{place}: {error.message or ''}"
