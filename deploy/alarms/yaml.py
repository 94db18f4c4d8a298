"""YAML of mappings, lists and scalars, each scalar as in JSON, which YAML reads alike."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_.:/-]*")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
"""Of YAML 1.1, which reads them as something else than text."""


def document(value: Any, head: str) -> str:
    """Below a comment."""
    return "\n".join([f"# {head}", *_lines(value), ""])


def _lines(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _entry(f"{_scalar(key)}:", inner)
    else:
        for inner in value:
            first, *others = _lines(inner) if _is_nested(inner) else [_scalar(inner)]
            yield f"- {first}"
            yield from (f"  {line}" for line in others)


def _entry(head: str, value: Any) -> Iterator[str]:
    if _is_nested(value):
        yield head
        yield from (f"  {line}" for line in _lines(value))
    else:
        yield f"{head} {_scalar(value)}"


def _is_nested(value: Any) -> bool:
    return isinstance(value, dict | list) and bool(value)


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value if not value.endswith(":") else json.dumps(value)
    return json.dumps(value, ensure_ascii=False)
