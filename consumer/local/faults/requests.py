"""Which service and operation a request is for, by its head alone."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

_S3_OPERATIONS = {
    ("PUT", True): "PutObject",
    ("GET", True): "GetObject",
    ("HEAD", True): "HeadObject",
    ("DELETE", True): "DeleteObject",
    ("GET", False): "ListObjects",
    ("HEAD", False): "HeadBucket",
    ("PUT", False): "CreateBucket",
}
_BIGQUERY_METHOD = re.compile(r"/(?P<word>insertAll|queries|jobs|tables|datasets)(?:/[^/]+)?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestHead:
    """The names are AWS's; for BigQuery `insertAll`, else the HTTP method and the collection (`GET tables`)."""

    service: str
    operation: str
    path: str


type Recognise = Callable[[dict[str, Any]], RequestHead]


def aws_request(scope: dict[str, Any]) -> RequestHead:
    """Of an ASGI scope: Kinesis and DynamoDB name the operation in a header, the rest counts as S3."""
    path = scope["path"]
    target = _header(scope["headers"], b"x-amz-target")
    if target:
        api, _, operation = target.partition(".")
        return RequestHead(service=api.partition("_")[0].lower(), operation=operation, path=path)
    has_key = path.strip("/").count("/") > 0
    operation = _S3_OPERATIONS.get((scope["method"], has_key), scope["method"])
    return RequestHead(service="s3", operation=operation, path=path)


def bigquery_request(scope: dict[str, Any]) -> RequestHead:
    """Of an ASGI scope: `insertAll` or a method and a collection."""
    path = scope["path"]
    found = _BIGQUERY_METHOD.search(path)
    word = found["word"] if found else path
    operation = word if word == "insertAll" else f"{scope['method']} {word}"
    return RequestHead(service="bigquery", operation=operation, path=path)


def _header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in headers if key.lower() == name), "")
