"""What the answers about a load job mean."""

import enum
from dataclasses import dataclass

import msgspec

from consumer.domain.errors import DeliveryError, RequestRefused, SetupError, Throttled, TransientError
from consumer.sinks.bigquery.api.errors import (
    QUOTA_REASON,
    SETUP_REASONS,
    SIZE_STATUS,
    THROTTLING_REASONS,
    TRANSIENT_REASONS,
    QuotaExceeded,
    RowError,
    request_error,
)

_CANCELLED = "stopped"


class _Reference(msgspec.Struct, frozen=True, rename="camel"):
    job_id: str = ""


class _Status(msgspec.Struct, frozen=True, rename="camel"):
    state: str = ""
    error_result: RowError | None = None


class _Job(msgspec.Struct, frozen=True, rename="camel"):
    job_reference: _Reference = _Reference()
    status: _Status = _Status()


_decode = msgspec.json.Decoder(_Job).decode


class End(enum.Enum):
    """How a job has ended."""

    LOADED = enum.auto()
    FAILED = enum.auto()
    """For a reason that lies outside of its rows; nothing is loaded."""
    BAD_ROWS = enum.auto()
    """Nothing is loaded."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`error` says why, and what to do before the next job; None after LOADED."""

    end: End
    error: DeliveryError | None = None


def verdict_of(table: str, job_id: str, body: bytes) -> Verdict | None:
    """How the job of an answer with status 200 has ended, None while it runs; raises TransientError for what is no
    answer about this job."""
    try:
        job = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise TransientError(f"{table}: unreadable answer about job {job_id}: {error}") from error
    if job.job_reference.job_id != job_id or not job.status.state:
        # status 200 from something that is not BigQuery proves nothing (I1)
        raise TransientError(f"{table}: not an answer about job {job_id}: {body[:200]!r}")
    if job.status.state != "DONE":
        return None
    if job.status.error_result is None:
        return Verdict(End.LOADED)
    return _failed(table, job_id, job.status.error_result)


def _failed(table: str, job_id: str, error: RowError) -> Verdict:
    text = f"{table}: job {job_id}: {error.reason}: {error.message or ''}"
    if error.reason == QUOTA_REASON:
        return Verdict(End.FAILED, QuotaExceeded(text))
    if error.reason in THROTTLING_REASONS:
        return Verdict(End.FAILED, Throttled(text))
    if error.reason in TRANSIENT_REASONS or error.reason == _CANCELLED:
        return Verdict(End.FAILED, TransientError(text))
    if error.reason in SETUP_REASONS:
        key = "bigquery.dataset" if error.reason == "notFound" else "bigquery.credentials"
        return Verdict(End.FAILED, SetupError(text, setting=key))
    return Verdict(End.BAD_ROWS, RequestRefused(text))


def start_error(table: str, status: int, body: bytes) -> DeliveryError:
    """Why no job was begun. Nobody has looked at the rows by then, so none of them is to blame."""
    error = request_error(table, status, body, needs="bigquery.jobs.create")
    if isinstance(error, RequestRefused) and status != SIZE_STATUS:
        return SetupError(str(error), setting="bigquery.method")
    return error
