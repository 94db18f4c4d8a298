"""`module:function`: found, loaded, and called for one payload after the other. The settings' transform and that of a
redrive keep to this one contract.

The function gets a record as a dict (or as bytes, where its first parameter is annotated so) and returns a dict, bytes
that are JSON, a list of these, or None to filter the record. What it returns may depend on the record alone.
"""

import hashlib
import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from consumer.domain.dead_letters import Reason
from consumer.domain.transformed import MOST_OUTPUTS
from consumer.transforms import VERSION
from consumer.transforms.numbers import decode, encode, has_not_finite

MOST_OUTPUT_BYTES = 10 * 1024 * 1024
"""Of all outputs of a record: as much as a record of Kinesis has at most."""

_NOT_DECODED = (msgspec.MsgspecError, ValueError, RecursionError)
_KINDS = "a dict, bytes, a list of these, or None"


class TransformError(Exception):
    """There is no such function, or it cannot be loaded."""


class TransformFailed(Exception):
    """The function has made nothing of this payload that can be delivered."""

    def __init__(self, detail: str, reason: Reason = "transform_failed") -> None:
        super().__init__(detail)
        self.reason: Reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Transform:
    """`digest` stands for the function and the files that it comes from; `file` is its module's."""

    place: str
    function: Callable[[Any], Any]
    takes_bytes: bool = False
    digest: str = ""
    file: str = ""

    def outputs(self, payload: bytes) -> list[bytes]:
        """The payloads in its place, none to filter it: the same object where the function has left it as it was.
        Raises TransformFailed; MemoryError, which says nothing of the record."""
        given, before = (payload, None) if self.takes_bytes else _read(payload)
        try:
            made = self.function(given)
        except (MemoryError, KeyboardInterrupt):
            raise
        except BaseException as error:  # whatever it raises is about this record, and ends nothing else
            raise TransformFailed(_last_line(error)) from error
        if made is None:
            return []
        many = made if isinstance(made, list | tuple) else (made,)
        if len(many) > MOST_OUTPUTS:
            raise TransformFailed(f"made {len(many)} records of one, more than {MOST_OUTPUTS}")
        outputs = [_written(one) for one in many]
        size = sum(map(len, outputs))
        if size > max(MOST_OUTPUT_BYTES, len(payload)):
            raise TransformFailed(
                f"made {size} bytes of one record, more than {MOST_OUTPUT_BYTES}", "too_large"
            )
        return [payload if one == before else one for one in outputs]


def _read(payload: bytes) -> tuple[dict[str, Any], bytes]:
    """The record, and how it is written where nothing has changed it."""
    try:
        record = decode(payload)
    except _NOT_DECODED as error:
        raise TransformFailed(f"the record cannot be read: {error}") from error
    if not isinstance(record, dict):
        raise TransformFailed("JSON, but not an object", "not_an_object")
    return record, encode(record)


def _written(made: Any) -> bytes:
    if isinstance(made, bytes):
        return made
    if not isinstance(made, dict):
        raise TransformFailed(f"returned a {type(made).__name__} where it has to return {_KINDS}")
    try:
        text = encode(made)
    except MemoryError:
        raise
    except Exception as error:
        raise TransformFailed(f"what it returned is not JSON: {_last_line(error)}") from error
    if b"null" in text and has_not_finite(made):
        raise TransformFailed("returned a number that JSON has not: NaN or an infinity")
    return text


def _last_line(error: BaseException) -> str:
    """Of its traceback."""
    return traceback.format_exception_only(error)[-1].strip()


def load_transform(place: str, *, folder: Path | None = None, with_folder: bool = True) -> Transform:
    """The function at `module:function`, which is looked for behind everything that is installed in `folder`, too,
    whose files are part of its digest unless `with_folder` says otherwise. Raises TransformError."""
    module_name, colon, name = place.partition(":")
    if not (module_name and colon and name):
        raise TransformError(f"{place} is not module:function")
    if folder is not None and str(folder) not in sys.path:
        sys.path.append(str(folder))
        importlib.invalidate_caches()
    try:
        module = importlib.import_module(module_name)
        function = getattr(module, name)
    except MemoryError:
        raise
    except (Exception, SystemExit) as error:
        where = f" (looked for in {folder}, too)" if folder is not None else ""
        raise TransformError(f"{place} cannot be loaded{where}: {_last_line(error)}") from error
    if not callable(function):
        raise TransformError(f"{place} is no function but a {type(function).__name__}")
    file = getattr(module, "__file__", None) or ""
    return Transform(
        place=place,
        function=function,
        takes_bytes=_takes_bytes(function),
        digest=_digest(place, file, folder if with_folder else None),
        file=file,
    )


def _takes_bytes(function: Callable[[Any], Any]) -> bool:
    with suppress(TypeError, ValueError):
        first = next(iter(inspect.signature(function).parameters.values()), None)
        return first is not None and first.annotation in (bytes, "bytes")
    return False


def _digest(place: str, file: str, folder: Path | None) -> str:
    """Of what decides how many records there are: the function's place, its module's file with all that stands beside
    it in the folder, and the version of what is ready."""
    digest = hashlib.sha256(f"{VERSION} {place}\n".encode())
    for path in _files(file, folder):
        digest.update(f"{path.name} {path.stat().st_size}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:32]


def _files(file: str, folder: Path | None) -> Iterator[Path]:
    if folder is not None and file and Path(file).resolve().is_relative_to(folder.resolve()):
        for place, inner, names in os.walk(folder):
            inner[:] = sorted(name for name in inner if not name.startswith(".") and name != "__pycache__")
            paths = (Path(place, name) for name in sorted(names) if not name.startswith("."))
            yield from (path for path in paths if path.is_file())
    elif file:
        yield Path(file)
