"""`--transform module:function`: an operator's own code that mends payloads."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from consumer.operate.errors import Refused

type Transform = Callable[[bytes], list[bytes]]
"""From a payload to those to be delivered in its place, none to drop it. Raises TransformFailed."""


class TransformFailed(Exception):
    """The function did not take this payload; the dead letter stays."""


def unchanged(payload: bytes) -> list[bytes]:
    return [payload]


def load_transform(place: str) -> Transform:
    """The function at `module:function`, which is looked for in the working directory, too; it gets bytes and returns
    bytes, a list of them, or None. Raises Refused."""
    module, colon, name = place.partition(":")
    if not (module and colon and name):
        raise Refused(f"--transform: {place} is not module:function")
    sys.path.insert(0, str(Path.cwd()))
    try:
        function = getattr(importlib.import_module(module), name)
    except Exception as error:
        raise Refused(f"--transform: {place} cannot be loaded: {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)
    if not callable(function):
        raise Refused(f"--transform: {place} is no function")
    return lambda payload: _payloads(function, payload)


def _payloads(function: Callable[[bytes], Any], payload: bytes) -> list[bytes]:
    try:
        made = function(payload)
    except Exception as error:
        raise TransformFailed(f"{type(error).__name__}: {error}") from error
    if made is None:
        return []
    if isinstance(made, bytes):
        return [made]
    if isinstance(made, (list, tuple)) and made and all(isinstance(each, bytes) for each in made):
        return list(made)
    raise TransformFailed("it has to return bytes, a list of bytes, or None")
