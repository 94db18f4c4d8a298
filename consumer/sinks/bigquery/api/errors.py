"""What an answer of BigQuery's REST API other than 200 asks for.

https://cloud.google.com/bigquery/docs/error-messages
"""

import msgspec

from consumer.domain.errors import DeliveryError, RequestRefused, SetupError, Throttled, TransientError

QUOTA_REASON = "quotaExceeded"
THROTTLING_REASONS = frozenset({"jobRateLimitExceeded", QUOTA_REASON, "rateLimitExceeded"})
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


class QuotaExceeded(Throttled):
    """Not a rate, but an amount in a longer time is used up."""


class RowError(msgspec.Struct, frozen=True):
    reason: str | None = None
    location: str | None = None
    message: str | None = None


class _ErrorBody(msgspec.Struct, frozen=True):
    message: str | None = None
    status: str | None = None
    errors: list[RowError] | None = None


class _ErrorAnswer(msgspec.Struct, frozen=True):
    error: _ErrorBody = _ErrorBody()


_decode_error = msgspec.json.Decoder(_ErrorAnswer).decode


def request_error(
    table: str, status: int, body: bytes, *, needs: str = "bigquery.tables.updateData"
) -> DeliveryError:
    """What an answer other than 200 asks for; `needs` is the permission that the request takes."""
    error = _error_of(body)
    reasons = {entry.reason for entry in error.errors or [] if entry.reason}
    text = f"{table}: HTTP {status} {'/'.join(sorted(reasons))}: {error.message or excerpt_of(body)}"
    if QUOTA_REASON in reasons:
        return QuotaExceeded(text)
    if reasons & THROTTLING_REASONS or error.status == "RESOURCE_EXHAUSTED" or status == 429:
        return Throttled(text)
    if reasons & TRANSIENT_REASONS or status in (408, 409) or (status >= 500 and status != 501):
        return TransientError(text)
    # Google's front end says 413 in a page of HTML; a 400 in HTML is not about the rows
    about_rows = status == 400 and (reasons or error.status == "INVALID_ARGUMENT")
    if status == SIZE_STATUS or (about_rows and not reasons & SETUP_REASONS):
        return RequestRefused(text)
    if status == 403 and "accessDenied" in reasons and needs not in text:
        text = f"{text}: the account needs {needs} (docs/permissions.md)"
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


def excerpt_of(body: bytes) -> str:
    return body[:200].decode("utf-8", "replace")
