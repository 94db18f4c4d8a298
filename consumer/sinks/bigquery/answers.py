"""What insertAll's answers mean: for the whole request by HTTP status and reason, for each row by its reasons.

https://cloud.google.com/bigquery/docs/error-messages and
https://cloud.google.com/bigquery/docs/reference/rest/v2/tabledata/insertAll
"""

import msgspec

from consumer.domain.dead_letters import Rejection
from consumer.domain.errors import DeliveryError, RequestRefused, SetupError, Throttled, TransientError
from consumer.sinks.base import Outcome
from consumer.sinks.bigquery.requests import InsertRequest

THROTTLING_REASONS = frozenset({"jobRateLimitExceeded", "quotaExceeded", "rateLimitExceeded"})
TRANSIENT_REASONS = THROTTLING_REASONS | frozenset(
    {
        "backendError",
        "internalError",
        "jobBackendError",
        "jobInternalError",
        "resourceInUse",
        "resourcesExceeded",
        "tableUnavailable",
        "timeout",
    }
)
SETUP_REASONS = frozenset(
    {
        "accessDenied",
        "accountDisabled",
        "authError",
        "billingNotEnabled",
        "billingTierLimitExceeded",
        "blocked",
        "conditionNotMet",
        "failedPrecondition",
        "invalidUser",
        "keyInvalid",
        "notFound",
        "required",
    }
)
"""Not the rows' fault, even where the status is 400: bisecting such a request would bury good records."""

SIZE_STATUS = 413
ANSWER_KIND = "bigquery#tableDataInsertAllResponse"


class RowError(msgspec.Struct, frozen=True):
    reason: str | None = None
    location: str | None = None
    message: str | None = None


class RowErrors(msgspec.Struct, frozen=True):
    index: int = 0
    errors: list[RowError] | None = None


class InsertAllAnswer(msgspec.Struct, frozen=True, rename="camel"):
    kind: str | None = None
    insert_errors: list[RowErrors] | None = None
    error: msgspec.Raw | None = None


class _ErrorBody(msgspec.Struct, frozen=True):
    message: str | None = None
    status: str | None = None
    errors: list[RowError] | None = None


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
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise TransientError(f"{request.table}: unreadable answer: {error}") from error
    if answer.error is not None or answer.kind not in (ANSWER_KIND, None):
        # status 200 from something that is not BigQuery proves nothing (I1)
        raise TransientError(f"{request.table}: not an answer of insertAll: {_excerpt(body)}")
    return _rows_outcome(request, _errors_by_row(request, answer.insert_errors or []))


def request_error(table: str, status: int, body: bytes) -> DeliveryError:
    """What an answer other than 200 asks for."""
    error = _error_of(body)
    reasons = {entry.reason for entry in error.errors or [] if entry.reason}
    text = f"{table}: HTTP {status} {'/'.join(sorted(reasons))}: {error.message or _excerpt(body)}"
    if reasons & THROTTLING_REASONS or error.status == "RESOURCE_EXHAUSTED" or status == 429:
        return Throttled(text)
    if reasons & TRANSIENT_REASONS or status in (408, 409) or (status >= 500 and status != 501):
        return TransientError(text)
    # Google's front end says 413 in a page of HTML; a 400 in HTML is not about the rows
    about_rows = status == 400 and (reasons or error.status == "INVALID_ARGUMENT")
    if status == SIZE_STATUS or (about_rows and not reasons & SETUP_REASONS):
        return RequestRefused(text)
    return SetupError(text, setting=_setting_of(status, reasons))


def _error_of(body: bytes) -> _ErrorBody:
    try:
        return _decode_error(body).error
    except (msgspec.MsgspecError, UnicodeDecodeError):  # a proxy's page, a truncated answer
        return _ErrorBody()


def _setting_of(status: int, reasons: set[str]) -> str:
    if status == 404:
        return "bigquery.dataset"
    # without a reason, and with other statuses, it was something else than BigQuery that answered
    return "bigquery.credentials" if status in (401, 403) or reasons else "bigquery.api_endpoint"


def _excerpt(body: bytes) -> str:
    return body[:200].decode("utf-8", "replace")


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
