"""A transform, as an operator writes one."""

import json
from typing import Any


def mend(payload: bytes) -> bytes | list[bytes] | None:
    """Wraps what is no JSON; `drop` is dropped, and `two` becomes two records."""
    if payload == b"drop":
        return None
    if payload.startswith(b"two"):
        return [json.dumps({"half": half, "of": payload.decode()}).encode() for half in (1, 2)]
    if payload.startswith(b"fail"):
        raise ValueError("no way")
    if payload.startswith(b"oops"):
        return json.dumps({"mended": payload.decode()}).encode()
    return payload


def date(payload: bytes) -> bytes:
    """Gives a record a time."""
    return payload.replace(b'{"n"', b'{"time":"2020-02-03T04:05:06Z","n"')


def halves(record: dict[str, Any]) -> Any:
    """A transform of the settings: 2 is filtered, 0 becomes three records, and nobody keeps a key."""
    record["k"] = "nobody"
    if record["n"] == 2:
        return None
    if record["n"] == 0:
        return [record | {"n": part} for part in (100, 101, 102)]
    return record


def marked(record: dict[str, Any]) -> dict[str, Any]:
    """Counts how often it was applied."""
    return record | {"marks": record.get("marks", 0) + 1}
