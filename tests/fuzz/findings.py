"""What a target has found: made small, and kept in a file with the command that repeats it."""

import hashlib
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.inputs import SEPARATOR, Input

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "var/fuzz"

type Check = Callable[[Input], None]
"""Raises whatever is wrong with the input."""


@dataclass(frozen=True)
class Finding:
    target: str
    data: bytes
    said: str
    """The error, or what a C target has said."""

    def keep(self, folder: Path = FOLDER) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.target}-{hashlib.blake2s(self.data, digest_size=5).hexdigest()}"
        path.write_bytes(self.data)
        return path

    def told(self, path: Path) -> str:
        return (
            f"{self.said.rstrip()}\n\n{self.target}: {Input.of(self.data).payloads!r}\n"
            f"repeat it with:  bin/fuzz --repeat {path} {self.target}"
        )


def failure(check: Check, one: Input) -> BaseException | None:
    try:
        check(one)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a panic of some library, too, is a finding
        return error
    return None


def found(target: str, check: Check, one: Input, error: BaseException, most_tries: int = 2000) -> Finding:
    """The finding, made as small as so many tries make it."""
    small = smaller(check, one, error, most_tries)
    last = failure(check, small) or error
    return Finding(target, small.data, "".join(traceback.format_exception(last)))


def smaller(check: Check, one: Input, error: BaseException, most_tries: int) -> Input:
    """An input that fails alike, from which nothing more can be taken out."""
    left = most_tries

    def fails(content: bytes) -> bool:
        nonlocal left
        left -= 1
        now = failure(check, Input(one.choices, content))
        return now is not None and _kind(now) == _kind(error)

    content = one.content
    for separator in (SEPARATOR, b""):
        content = _with_fewer(content, separator, fails, lambda: left > 0)
    return Input(one.choices, content)


def _with_fewer(
    content: bytes, separator: bytes, fails: Callable[[bytes], bool], goes_on: Callable[[], bool]
) -> bytes:
    """Without those of its pieces that are not needed, first many at once."""
    pieces = (
        content.split(separator)
        if separator
        else [content[place : place + 1] for place in range(len(content))]
    )
    step = max(len(pieces) // 2, 1)
    while step and goes_on():
        place = 0
        while place < len(pieces) and goes_on():
            without = pieces[:place] + pieces[place + step :]
            if without and fails(separator.join(without)):
                pieces = without
            else:
                place += step
        step //= 2
    return separator.join(pieces)


def _kind(error: BaseException) -> tuple[str, str]:
    """What fails alike has the same: numbers and quotes in a message may be others."""
    first_line = str(error).partition("\n")[0]
    return type(error).__name__, "".join(filter(str.isalpha, first_line))[:60]
