"""Asks a running embedded service what it has counted and refused."""

from typing import Any

import urllib3

from consumer.local.limits import CONTROL_PATH

_SECONDS = 20.0


def report(endpoint: str) -> dict[str, Any]:
    """`limits` by name, and for BigQuery the rows that were `stored_twice`. Raises OSError where there is no answer."""
    url = f"{endpoint}{CONTROL_PATH}"
    try:
        answer = urllib3.request("GET", url, timeout=_SECONDS)
    except urllib3.exceptions.HTTPError as error:
        raise OSError(f"{url}: {error}") from error
    if answer.status != 200:
        raise OSError(f"{url}: {answer.status}")
    found: dict[str, Any] = answer.json()
    return found
