"""Every outcome of AppendRows that Google documents, and what it asks for."""

import pytest

from consumer.domain.errors import RequestRefused, SetupError, Throttled, TransientError
from consumer.sinks.bigquery.storage_write.answers import (
    CallFailed,
    Meaning,
    RowFault,
    StorageCode,
    delivery_error,
    is_ambiguous,
    meaning_of,
)

FINALIZED, GONE, WRITTEN, BAD = Meaning.FINALIZED, Meaning.GONE, Meaning.WRITTEN, Meaning.BAD_ROWS

MEANINGS: list[tuple[str, str, int, Meaning | None]] = [
    ("ALREADY_EXISTS", "The offset is within stream, expected offset 10, received 5", 8, WRITTEN),
    ("ALREADY_EXISTS", "exists", 0, WRITTEN),
    ("INVALID_ARGUMENT", "", StorageCode.STREAM_FINALIZED, FINALIZED),
    ("FAILED_PRECONDITION", "", StorageCode.STREAM_FINALIZED, FINALIZED),
    ("INVALID_ARGUMENT", "Stream has been finalized and cannot be appended", 0, FINALIZED),
    ("NOT_FOUND", "", StorageCode.STREAM_NOT_FOUND, GONE),
    ("INVALID_ARGUMENT", "", StorageCode.INVALID_STREAM_STATE, GONE),
    (
        "NOT_FOUND",
        "Requested entity was not found. Entity: projects/p/datasets/d/tables/t/streams/s",
        0,
        GONE,
    ),
    ("INVALID_ARGUMENT", "Invalid stream name. Entity: x", 0, GONE),
    ("NOT_FOUND", "Table not found: t", StorageCode.TABLE_NOT_FOUND, None),
    ("NOT_FOUND", "Not found: Table p:d.t", 0, None),
    ("INTERNAL", "the stream was finalized or not found", 0, None),
    ("OUT_OF_RANGE", "The offset is beyond stream", 9, None),
    ("RESOURCE_EXHAUSTED", "Exceeds quota on stream", 0, None),
    ("INVALID_ARGUMENT", "Request too large", 0, None),
]

ERRORS: list[tuple[str, int, type[Exception], str | None]] = [
    ("ABORTED", 0, TransientError, None),
    ("CANCELLED", 0, TransientError, None),
    ("DEADLINE_EXCEEDED", 0, TransientError, None),
    ("INTERNAL", 0, TransientError, None),
    ("UNAVAILABLE", 0, TransientError, None),
    ("UNKNOWN", 0, TransientError, None),
    ("RESOURCE_EXHAUSTED", 0, Throttled, None),
    ("INVALID_ARGUMENT", 0, RequestRefused, None),
    ("INVALID_ARGUMENT", StorageCode.SCHEMA_MISMATCH_EXTRA_FIELDS, SetupError, "bigquery.row"),
    ("INVALID_ARGUMENT", 4, SetupError, "bigquery.method"),
    ("INVALID_ARGUMENT", 10, SetupError, "bigquery.method"),
    ("FAILED_PRECONDITION", 13, SetupError, "bigquery.method"),
    ("FAILED_PRECONDITION", 0, SetupError, "bigquery.method"),
    ("OUT_OF_RANGE", StorageCode.OFFSET_OUT_OF_RANGE, SetupError, "bigquery.method"),
    ("NOT_FOUND", StorageCode.TABLE_NOT_FOUND, SetupError, "bigquery.dataset"),
    ("PERMISSION_DENIED", 0, SetupError, "bigquery.credentials"),
    ("PERMISSION_DENIED", 14, SetupError, "bigquery.credentials"),
    ("UNAUTHENTICATED", 0, SetupError, "bigquery.credentials"),
    ("UNIMPLEMENTED", 0, SetupError, "bigquery.storage_endpoint"),
    ("DATA_LOSS", 0, SetupError, "bigquery.method"),
]


def test_a_permission_is_named() -> None:
    error = delivery_error(CallFailed(code="PERMISSION_DENIED", message="TABLES_UPDATE_DATA"), "t")
    assert "the account needs bigquery.tables.updateData (docs/permissions.md)" in str(error)


MAYBE_WRITTEN = [
    *("ABORTED", "CANCELLED", "DEADLINE_EXCEEDED", "INTERNAL", "RESOURCE_EXHAUSTED", "UNAVAILABLE", "UNKNOWN")
]
NOT_WRITTEN = ["INVALID_ARGUMENT", "NOT_FOUND", "OUT_OF_RANGE", "PERMISSION_DENIED", "UNAUTHENTICATED"]


@pytest.mark.parametrize(("code", "message", "storage_code", "meaning"), MEANINGS)
def test_what_a_failure_says_about_the_rows(
    code: str, message: str, storage_code: int, meaning: Meaning | None
) -> None:
    assert meaning_of(CallFailed(code=code, message=message, storage_code=storage_code)) is meaning


@pytest.mark.parametrize(
    "words", ["Errors in rows", "stream finalized", "stream x not found", "invalid stream name: not found"]
)
def test_named_rows_are_bad_rows_whatever_the_message_quotes_of_them(words: str) -> None:
    failure = CallFailed(code="INVALID_ARGUMENT", message=words, rows=(RowFault(3, words),))
    assert meaning_of(failure) is BAD


@pytest.mark.parametrize("code", [StorageCode.STREAM_FINALIZED, StorageCode.STREAM_NOT_FOUND])
def test_a_code_about_the_stream_counts_more_than_rows(code: StorageCode) -> None:
    failure = CallFailed(
        code="INVALID_ARGUMENT", message="", storage_code=code, rows=(RowFault(3, "too deep"),)
    )
    assert meaning_of(failure) in (FINALIZED, GONE)


@pytest.mark.parametrize(("code", "storage_code", "error", "setting"), ERRORS)
def test_what_a_failure_asks_of_the_caller(
    code: str, storage_code: int, error: type[Exception], setting: str | None
) -> None:
    found = delivery_error(CallFailed(code=code, message="why", storage_code=storage_code), "player_log_0")
    assert type(found) is error
    assert f"player_log_0: {code}: why" in str(found)
    assert getattr(found, "setting", None) == setting


@pytest.mark.parametrize("code", MAYBE_WRITTEN)
def test_after_these_the_rows_may_be_there(code: str) -> None:
    assert is_ambiguous(CallFailed(code=code, message=""))


@pytest.mark.parametrize("code", NOT_WRITTEN)
def test_after_these_they_are_not(code: str) -> None:
    assert not is_ambiguous(CallFailed(code=code, message=""))
