"""A transform, as an operator writes one."""

import json


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
