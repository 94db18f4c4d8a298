"""What the Storage Write API's errors mean, by gRPC's code and BigQuery's own.

https://cloud.google.com/bigquery/docs/write-api-streaming#error_handling and
https://cloud.google.com/bigquery/docs/reference/storage/rpc/google.cloud.bigquery.storage.v1
"""

import enum
import re
from dataclasses import dataclass

from consumer.domain.errors import DeliveryError, RequestRefused, SetupError, Throttled, TransientError


@dataclass(frozen=True, slots=True)
class RowFault:
    """One row of a refused request, and what is wrong with it."""

    index: int
    message: str


class CallFailed(Exception):
    """A call that was answered with an error, or not answered. `code` is gRPC's name."""

    def __init__(
        self, *, code: str, message: str, storage_code: int = 0, rows: tuple[RowFault, ...] = ()
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.storage_code = storage_code
        self.rows = rows


class Meaning(enum.Enum):
    """What a failed append says about the rows, where it is more than whether to repeat it."""

    WRITTEN = "rows are at this offset already"
    FINALIZED = "the stream takes no more rows: somebody else has taken the shard over"
    GONE = "the stream is not there any more"
    BAD_ROWS = "some rows are bad, none was written"


class StorageCode(enum.IntEnum):
    """google.cloud.bigquery.storage.v1.StorageError.StorageErrorCode"""

    TABLE_NOT_FOUND = 1
    STREAM_NOT_FOUND = 3
    INVALID_STREAM_STATE = 5
    STREAM_FINALIZED = 6
    SCHEMA_MISMATCH_EXTRA_FIELDS = 7
    OFFSET_ALREADY_EXISTS = 8
    OFFSET_OUT_OF_RANGE = 9


_OF_THE_STREAM = frozenset(
    {StorageCode.STREAM_NOT_FOUND, StorageCode.INVALID_STREAM_STATE, StorageCode.STREAM_FINALIZED}
)
_AMBIGUOUS = frozenset(
    {"ABORTED", "CANCELLED", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE", "UNKNOWN", "RESOURCE_EXHAUSTED"}
)
_PROXY_REFUSES = r"HTTP proxy returned response code 4(?!08|29)\d\d"
"""gRPC's own words, for what else is an outage."""
_SETTINGS = {
    "NOT_FOUND": "bigquery.dataset",
    "PERMISSION_DENIED": "bigquery.credentials",
    "UNAUTHENTICATED": "bigquery.credentials",
    "UNIMPLEMENTED": "bigquery.storage_endpoint",
}


def meaning_of(failure: CallFailed) -> Meaning | None:
    """None where `delivery_error` says all. Codes and rows come before words: a message may quote a record."""
    code, text = failure.storage_code, failure.message.lower()
    if failure.code == "ALREADY_EXISTS" or code == StorageCode.OFFSET_ALREADY_EXISTS:
        return Meaning.WRITTEN
    if failure.code not in ("INVALID_ARGUMENT", "FAILED_PRECONDITION", "NOT_FOUND"):
        return None
    if failure.rows and code not in _OF_THE_STREAM:
        return Meaning.BAD_ROWS
    if code == StorageCode.STREAM_FINALIZED or (not code and "finalized" in text):
        return Meaning.FINALIZED
    if code in (StorageCode.STREAM_NOT_FOUND, StorageCode.INVALID_STREAM_STATE):
        return Meaning.GONE
    if not code and "stream" in text and ("not found" in text or "invalid stream name" in text):
        return Meaning.GONE
    return None


def is_ambiguous(failure: CallFailed) -> bool:
    """Whether the rows may have been written all the same."""
    return failure.code in _AMBIGUOUS


def delivery_error(failure: CallFailed, what: str) -> DeliveryError:
    """What a failure asks of the caller; `what` names the table."""
    text = f"{what}: {failure}"
    if failure.code == "UNAVAILABLE" and re.search(_PROXY_REFUSES, failure.message):
        return SetupError(text, setting="HTTPS_PROXY")
    if failure.code == "RESOURCE_EXHAUSTED":
        return Throttled(text)
    if failure.code in _AMBIGUOUS:
        return TransientError(text)
    if failure.storage_code == StorageCode.SCHEMA_MISMATCH_EXTRA_FIELDS:
        return SetupError(f"{text}: the table has not all the columns", setting="bigquery.row")
    if failure.code == "OUT_OF_RANGE":
        return SetupError(
            f"{text}: the stream holds fewer rows than were acknowledged", setting="bigquery.method"
        )
    if failure.code == "INVALID_ARGUMENT" and not failure.storage_code:
        return RequestRefused(text)
    if failure.code == "PERMISSION_DENIED":
        text += ": the account needs bigquery.tables.updateData (docs/permissions.md)"
    return SetupError(text, setting=_SETTINGS.get(failure.code, "bigquery.method"))
