"""Every answer that Google documents for insertAll, and some that are none of Google's."""

import json
from typing import Any

import pytest

from consumer.domain.errors import DeliveryError, RequestRefused, SetupError, Throttled, TransientError
from consumer.sinks.base import Outcome
from consumer.sinks.bigquery.api.errors import QuotaExceeded
from consumer.sinks.bigquery.insert_all.answers import outcome_of
from consumer.sinks.bigquery.insert_all.requests import InsertRequest
from tests.unit.sinks.bigquery.builders import request_of

REQUEST = request_of(3)
KIND = "bigquery#tableDataInsertAllResponse"


def error_body(reason: str, message: str = "says Google", **more: Any) -> bytes:
    return json.dumps(
        {"error": {"message": message, "errors": [{"reason": reason, "message": message}], **more}}
    ).encode()


def failure(status: int, body: bytes) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        outcome_of(REQUEST, status, body)
    return caught.value


HTML = b"<html><title>Error</title></html>"

# https://cloud.google.com/bigquery/docs/error-messages
DOCUMENTED = [
    (400, "invalid", RequestRefused),
    (400, "badRequest", RequestRefused),
    (400, "parseError", RequestRefused),
    (400, "invalidQuery", RequestRefused),
    (400, "attributeError", RequestRefused),
    (400, "stopped", RequestRefused),
    (400, "invalidUser", SetupError),
    (400, "keyInvalid", SetupError),
    (400, "failedPrecondition", SetupError),
    (400, "billingTierLimitExceeded", SetupError),
    (400, "resourceInUse", TransientError),
    (400, "resourcesExceeded", TransientError),
    (400, "tableUnavailable", TransientError),
    (400, "timeout", TransientError),
    (400, "jobBackendError", TransientError),
    (400, "jobInternalError", TransientError),
    (400, "jobRateLimitExceeded", Throttled),
    (400, "rateLimitExceeded", Throttled),
    (401, "authError", SetupError),
    (401, "required", SetupError),
    (403, "accessDenied", SetupError),
    (403, "billingNotEnabled", SetupError),
    (403, "blocked", SetupError),
    (403, "responseTooLarge", SetupError),
    (403, "quotaExceeded", QuotaExceeded),
    (403, "rateLimitExceeded", Throttled),
    (404, "notFound", SetupError),
    (405, "httpMethodNotAllowed", SetupError),
    (407, "proxyAuthenticationRequired", SetupError),
    (408, "requestTimeout", TransientError),
    (409, "duplicate", TransientError),
    (409, "aborted", TransientError),
    (412, "conditionNotMet", SetupError),
    (413, "uploadTooLarge", RequestRefused),
    (429, "quotaExceeded", QuotaExceeded),
    (429, "somethingNew", Throttled),
    (500, "internalError", TransientError),
    (500, "backendError", TransientError),
    (501, "notImplemented", SetupError),
    (502, "backendError", TransientError),
    (503, "backendError", TransientError),
    (504, "backendError", TransientError),
    (599, "somethingNew", TransientError),
]


@pytest.mark.parametrize(("status", "reason", "expected"), DOCUMENTED)
def test_a_refused_request(status: int, reason: str, expected: type[DeliveryError]) -> None:
    error = failure(status, error_body(reason))
    assert type(error) is expected
    for part in ("logs_a", f"HTTP {status}", reason, "says Google"):
        assert part in str(error)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, HTML, SetupError),
        (400, b"", SetupError),
        (400, b'{"error":"invalid_grant","error_description":"d"}', SetupError),
        (400, b'{"error":{"message":"m","status":"INVALID_ARGUMENT"}}', RequestRefused),
        (400, b'{"error":{"message":"m","status":"FAILED_PRECONDITION"}}', SetupError),
        (400, b'{"error":{"message":"m","errors":null}}', SetupError),
        (403, HTML, SetupError),
        (403, b'{"error":{"status":"RESOURCE_EXHAUSTED","message":"m"}}', Throttled),
        (404, HTML, SetupError),
        (413, HTML, RequestRefused),
        (413, b"", RequestRefused),
        (429, HTML, Throttled),
        (502, HTML, TransientError),
        (503, b"", TransientError),
        (500, b'{"error":{"mess', TransientError),
        (500, b"\xff\xfe", TransientError),
        (302, b"", SetupError),
        (304, b"", SetupError),
        (204, b"", SetupError),
        (201, b"{}", SetupError),
    ],
)
def test_an_answer_without_googles_reasons(status: int, body: bytes, expected: type[DeliveryError]) -> None:
    error = failure(status, body)
    assert type(error) is expected
    assert f"HTTP {status}" in str(error)


@pytest.mark.parametrize(
    ("status", "body", "setting"),
    [
        (404, error_body("notFound"), "bigquery.dataset"),
        (403, error_body("accessDenied"), "bigquery.credentials"),
        (401, b"", "bigquery.credentials"),
        (400, error_body("invalidUser"), "bigquery.credentials"),
        (400, HTML, "bigquery.api_endpoint"),
        (302, b"", "bigquery.api_endpoint"),
    ],
)
def test_an_answer_that_somebody_has_to_mend_names_the_setting(
    status: int, body: bytes, setting: str
) -> None:
    error = failure(status, body)
    assert isinstance(error, SetupError)
    assert error.setting == setting


def test_a_permission_that_google_does_not_name_is_named() -> None:
    added = "the account needs bigquery.tables.updateData (docs/permissions.md)"
    assert added in str(failure(403, error_body("accessDenied")))
    named = "Permission bigquery.tables.updateData denied on table t (or it may not exist)."
    assert added not in str(failure(403, error_body("accessDenied", named)))
    assert added not in str(failure(403, error_body("billingNotEnabled")))


def test_one_transient_reason_among_several_is_enough_to_wait() -> None:
    body = json.dumps({"error": {"errors": [{"reason": "invalid"}, {"reason": "backendError"}]}}).encode()
    assert type(failure(400, body)) is TransientError


def rows_answer(*entries: tuple[int, list[str]]) -> Outcome[InsertRequest]:
    errors = [
        {
            "index": index,
            "errors": [
                {"reason": reason, "location": "", "debugInfo": "", "message": f"{reason} row"}
                for reason in reasons
            ],
        }
        for index, reasons in entries
    ]
    return outcome_of(REQUEST, 200, json.dumps({"kind": KIND, "insertErrors": errors}).encode())


def rejected(outcome: Outcome[InsertRequest]) -> list[int]:
    assert {rejection.reason for rejection in outcome.rejections} <= {"rejected"}
    return [rejection.index for rejection in outcome.rejections]


def sent_again(outcome: Outcome[InsertRequest]) -> list[int]:
    return [index for request in outcome.again for index in request.indices]


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"kind": KIND}).encode(),
        json.dumps({"kind": KIND, "insertErrors": []}).encode(),
        json.dumps({"kind": KIND, "insertErrors": None}).encode(),
        b"{}",
    ],
)
def test_an_answer_without_row_errors_means_that_every_row_is_in(body: bytes) -> None:
    outcome = outcome_of(REQUEST, 200, body)
    assert (list(outcome.rejections), list(outcome.again), outcome.backoff) == ([], [], None)


@pytest.mark.parametrize(
    ("entries", "rows"),
    [([], 3), ([(1, ["invalid"])], 2), ([(1, ["invalid"]), (0, ["stopped"])], 1), ([(0, ["timeout"])], 2)],
)
def test_only_rows_that_are_in_are_billed_and_a_small_one_as_a_kilobyte(
    entries: list[tuple[int, list[str]]], rows: int
) -> None:
    counts = rows_answer(*entries).counts
    assert counts == {"insert_all_rows": rows, "insert_all_billed_bytes": rows * 1024}


@pytest.mark.parametrize(
    ("entries", "rejections", "again", "waits"),
    [
        # with skipInvalidRows the good rows are in, and only the bad one is named
        ([(1, ["invalid"])], [101], [], False),
        ([(0, ["invalid"]), (1, ["invalid"]), (2, ["invalid"])], [100, 101, 102], [], False),
        # without it, and now and then with it, the neighbours come back as stopped
        ([(1, ["invalid"]), (0, ["stopped"]), (2, ["stopped"])], [101], [100, 102], False),
        ([(0, ["stopped"]), (1, ["stopped"]), (2, ["stopped"])], [], [100, 101, 102], True),
        ([(2, ["stopped"])], [], [102], True),
        ([(1, ["stopped", "invalid"])], [101], [], False),
        ([(1, ["invalid", "backendError"])], [101], [], False),
        ([(1, ["backendError"])], [], [101], True),
        ([(1, ["timeout"])], [], [101], True),
        ([(1, ["internalError"])], [], [101], True),
        ([(1, ["rateLimitExceeded"])], [], [101], True),
        ([(1, ["quotaExceeded"])], [], [101], True),
        ([(1, ["tableUnavailable"])], [], [101], True),
        ([(1, ["stopped", "timeout"])], [], [101], True),
        ([(0, ["invalid"]), (1, ["timeout"])], [100], [101], True),
        ([(0, ["somethingNew"])], [100], [], False),
        ([(0, [""])], [100], [], False),
        ([(0, [])], [], [100], True),
        # one row named twice is one row
        ([(1, ["stopped"]), (1, ["invalid"])], [101], [], False),
        ([(1, ["stopped"]), (1, ["stopped"])], [], [101], True),
        ([(2, ["timeout"]), (0, ["timeout"])], [], [100, 102], True),
    ],
)
def test_row_errors(
    entries: list[tuple[int, list[str]]], rejections: list[int], again: list[int], waits: bool
) -> None:
    outcome = rows_answer(*entries)
    assert rejected(outcome) == rejections
    assert sent_again(outcome) == again
    assert (outcome.backoff is not None) == waits


def test_a_rejection_tells_reason_place_and_message() -> None:
    body = {
        "insertErrors": [{"index": 2, "errors": [{"reason": "invalid", "location": "a.b", "message": "m"}]}]
    }
    (rejection,) = outcome_of(REQUEST, 200, json.dumps(body).encode()).rejections
    assert (rejection.index, rejection.detail) == (102, "invalid at a.b: m")


def test_row_errors_with_nulls_are_read() -> None:
    body = {"insertErrors": [{"index": 0, "errors": [{"reason": None, "location": None, "message": None}]}]}
    (rejection,) = outcome_of(REQUEST, 200, json.dumps(body).encode()).rejections
    assert (rejection.index, rejection.detail) == (100, "no reason: ")


def test_the_reason_for_waiting_is_told() -> None:
    backoff = rows_answer((0, ["stopped"]), (1, ["quotaExceeded"])).backoff
    assert type(backoff) is Throttled
    assert str(backoff) == "quotaExceeded: quotaExceeded row"
    assert "stopped" in str(rows_answer((0, ["stopped"])).backoff)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        HTML,
        b'{"kind":"bigquery#tab',
        b"[]",
        b"null",
        b'"ok"',
        b"\xff",
        b'{"kind":"bigquery#table"}',
        b'{"error":{"message":"m"}}',
        b'{"insertErrors":{}}',
        b'{"insertErrors":[{"index":"0","errors":[]}]}',
        b'{"insertErrors":[{"index":3,"errors":[{"reason":"invalid"}]}]}',
        b'{"insertErrors":[{"index":-1,"errors":[{"reason":"invalid"}]}]}',
    ],
)
def test_I1_an_answer_that_cannot_be_bigquerys_proves_nothing(body: bytes) -> None:
    assert type(failure(200, body)) is TransientError


def test_an_answer_without_an_index_is_about_the_first_row() -> None:
    # proto3 leaves zeros out of JSON
    outcome = outcome_of(REQUEST, 200, b'{"insertErrors":[{"errors":[{"reason":"invalid"}]}]}')
    assert rejected(outcome) == [100]
