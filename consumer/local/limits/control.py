"""Asks a running embedded service what it has counted and refused, and lets its time pass."""

import json
from typing import Any

import urllib3

from consumer.local.limits import CONTROL_PATH

_SECONDS = 20.0


def report(endpoint: str) -> dict[str, Any]:
    """`limits` by name, and for BigQuery the rows that were `stored_twice`. Raises OSError where there is no answer."""
    return _ask("GET", endpoint)


def let_pass(endpoint: str, seconds: float) -> None:
    """All at once, for the limits of one service; nothing else there knows of it. Raises OSError."""
    _ask("PUT", endpoint, json.dumps({"pass_seconds": seconds}).encode())


def _ask(method: str, endpoint: str, body: bytes | None = None) -> dict[str, Any]:
    url = f"{endpoint}{CONTROL_PATH}"
    try:
        answer = urllib3.request(method, url, body=body, timeout=_SECONDS)
    except urllib3.exceptions.HTTPError as error:
        raise OSError(f"{url}: {error}") from error
    if answer.status != 200:
        raise OSError(f"{url}: {answer.status}")
    found: dict[str, Any] = answer.json()
    return found
