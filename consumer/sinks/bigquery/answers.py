"""What insertAll's answers mean: for the whole request by HTTP status and reason, for each row by its reasons.

https://cloud.google.com/bigquery/docs/error-messages and
https://cloud.google.com/bigquery/docs/reference/rest/v2/tabledata/insertAll
"""

import msgspec

from consumer.domain.dead_letters import Rejection
from consumer.domain.errors import DeliveryError, RequestRefused, SetupError, TransientError
from consumer.sinks.base import Outcome
from consumer.sinks.bigquery.requests import InsertRequest

TRANSIENT_REASONS = frozenset(
    {
        "backendError",
        "internalError",
        "jobBackendError",
        "jobInternalError",
        "jobRateLimitExceeded",
        "quotaExceeded",
        "rateLimitExceeded",
        "resourcesExceeded",
        "tableUnavailable",
        "timeout",
    }
)
SIZE_STATUS = 413


class RowError(msgspec.Struct, frozen=True):
    reason: str = ""
    location: str = ""
    message: str = ""


class RowErrors(msgspec.Struct, frozen=True):
    index: int = 0
    errors: list[RowError] = []


class InsertAllAnswer(msgspec.Struct, frozen=True, rename="camel"):
    insert_errors: list[RowErrors] = []


class _ErrorBody(msgspec.Struct, frozen=True):
    message: str = ""
    errors: list[RowError] = []


class _ErrorAnswer(msgspec.Struct, frozen=True):
    error: _ErrorBody = _ErrorBody()


_decode_answer = msgspec.json.Decoder(InsertAllAnswer).decode
_decode_error = msgspec.json.Decoder(_ErrorAnswer).decode


def outcome_of(request: InsertRequest, status: int, body: bytes) -> Outcome[InsertRequest]:
    """Read an answer; raises TransientError, SetupError or RequestRefused where the request as a whole failed."""
    if status != 200:
        raise request_error(request.table, status, body)
    try:
        answer = _decode_answer(body)
    except msgspec.MsgspecError as error:
        raise TransientError(f"{request.table}: unreadable answer: {error}") from error
    return _rows_outcome(request, answer.insert_errors)


def request_error(table: str, status: int, body: bytes) -> DeliveryError:
    """What an answer other than 200 asks for."""
    try:
        error = _decode_error(body).error
    except msgspec.MsgspecError:  # a proxy's page, a truncated answer
        error = _ErrorBody(message=body[:200].decode("utf-8", "replace"))
    reasons = {entry.reason for entry in error.errors}
    text = f"{table}: HTTP {status} {'/'.join(sorted(reasons))}: {error.message}"
    if reasons & TRANSIENT_REASONS or status in (408, 409, 429) or (status >= 500 and status != 501):
        return TransientError(text)
    if status in (400, SIZE_STATUS):
        return RequestRefused(text)
    return SetupError(text, setting=_setting_of(status))


def _setting_of(status: int) -> str:
    return "bigquery.dataset" if status == 404 else "bigquery.credentials"


def _rows_outcome(request: InsertRequest, row_errors: list[RowErrors]) -> Outcome[InsertRequest]:
    rejections: list[Rejection] = []
    again: list[int] = []
    backoff: str | None = None
    for entry in row_errors:
        place, errors = entry.index, entry.errors
        if not 0 <= place < len(request.rows):
            raise TransientError(f"{request.table}: answer about row {place} of {len(request.rows)}")
        bad = [
            error for error in errors if error.reason != "stopped" and error.reason not in TRANSIENT_REASONS
        ]
        if bad:
            rejections.append(Rejection(request.indices[place], "rejected", _detail(bad[0])))
            continue
        again.append(place)
        backoff = next((_detail(error) for error in errors if error.reason != "stopped"), backoff)
    if not again:
        return Outcome(rejections)
    if not rejections and backoff is None:
        backoff = "every failed row was stopped, none was named as the cause"
    return Outcome(rejections, (request.keep(sorted(again)),), backoff)


def _detail(error: RowError) -> str:
    place = f" at {error.location}" if error.location else ""
    return f"{error.reason}{place}: {error.message}"
