"""Errors in the notation of the service that is asked."""

import json
from dataclasses import dataclass
from xml.sax.saxutils import escape

from consumer.local.faults.rules import Answer

_GOOGLE_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response as a whole."""

    status: int
    content_type: str
    body: bytes


def render(answer: Answer, service: str) -> Response:
    """The error as the service would write it."""
    if service == "s3":
        return _s3(answer)
    if service == "bigquery":
        return _bigquery(answer)
    body = {"__type": answer.code, "message": answer.message}
    return Response(answer.status, "application/x-amz-json-1.1", json.dumps(body).encode())


def _s3(answer: Answer) -> Response:
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{escape(answer.code)}</Code><Message>{escape(answer.message)}</Message></Error>"
    )
    return Response(answer.status, "application/xml", body.encode())


def _bigquery(answer: Answer) -> Response:
    error = {
        "code": answer.status,
        "message": answer.message,
        "errors": [{"reason": answer.code, "message": answer.message, "domain": "global"}],
        "status": _GOOGLE_STATUS.get(answer.status, "INTERNAL"),
    }
    return Response(answer.status, "application/json", json.dumps({"error": error}).encode())
